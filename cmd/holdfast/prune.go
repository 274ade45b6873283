package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// pruneFlags are the flags of prune, which forget --prune has, too.
type pruneFlags struct {
	maxUnused string
	maxRepack string
	wait      time.Duration
	revoke    []string
	after     time.Duration
	dryRun    bool
}

func (f *pruneFlags) register(s *pflag.FlagSet) {
	s.StringVar(&f.maxUnused, "max-unused", "5%", "leave at most this much unused in packs that hold something needed: a `size`, a percentage or 'unlimited'")
	s.StringVar(&f.maxRepack, "max-repack-size", "", "repack at most this `size` of packs")
	s.DurationVar(&f.after, "revoke-after", 15*time.Minute, "end sessions that were not heard of for this `long`; safe at any value, since one that lives starts again")
	s.StringArrayVar(&f.revoke, "revoke", nil, "end this `session` first (repeatable; see 'holdfast sessions')")
	s.DurationVar(&f.wait, "wait", 0, "wait this `long` for sessions that may still use what is to be deleted")
}

func (a *app) pruneCommand() *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune [flags]",
		Short: "Delete what no snapshot needs",
		Long: `Delete what no snapshot needs: packs that only forgotten snapshots referred to, and what
interrupted backups left. Packs of which little is needed are written anew, and many small
packs and index files are put together.

Backups, restores and other prunes may go on meanwhile, and nothing that they may need is
deleted: what a running backup may still refer to is condemned only, and deleted by a later
prune, or by this one if --wait is long enough. Beside a repair nothing is deleted: the next
prune does it. It may be interrupted at any point.

Backups that died are waited for no longer than --revoke-after, or not at all on a local
repository, where it is certain that their processes are gone. One that only slept
notices when it wakes, and says that it must be run again.

It takes the key of an admin or a collector. With a collector's, which cannot read what is
stored, whole segments of up to a megabyte are kept as long as a part of them is needed.`,
		Example: `  holdfast prune
  holdfast prune --max-unused 0 --wait 10m
  holdfast prune --max-repack-size 10G --dry-run`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runPrune(cmd.Context(), &f) },
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "delete nothing, and say what would be deleted")
	return cmd
}

// options turns the flags into what the library takes.
func (f *pruneFlags) options() (*repo.CollectOptions, error) {
	o := &repo.CollectOptions{DryRun: f.dryRun, Wait: f.wait, RevokeAfter: &f.after, Program: programVersion()}
	o.Host, _ = os.Hostname()
	switch {
	case f.wait < 0:
		return nil, usagef("--wait %v: give a time such as 10m", f.wait)
	case f.after < 0:
		return nil, usagef("--revoke-after %v: give a time such as 15m", f.after)
	}
	for _, name := range f.revoke {
		id, err := ledger.ParseSessionID(name)
		if err != nil {
			return nil, usagef("--revoke: %w", err)
		}
		o.Revoke = append(o.Revoke, id)
	}
	limit, err := parseLimit(f.maxUnused)
	if err != nil {
		return nil, err
	}
	o.MaxUnused = limit
	if f.maxRepack != "" {
		n, err := parseSize(f.maxRepack)
		if err != nil || n <= 0 {
			return nil, usagef("--max-repack-size %q: give a size such as 500M or 10GiB", f.maxRepack)
		}
		o.MaxRepack = uint64(n)
	}
	return o, nil
}

// parseLimit reads a percentage, a size or "unlimited".
func parseLimit(s string) (*repo.Limit, error) {
	bad := usagef("--max-unused %q: give a percentage such as 5%%, a size such as 10G, or 'unlimited'", s)
	if s == "unlimited" {
		return &repo.Limit{Share: 1}, nil
	}
	if p, ok := strings.CutSuffix(s, "%"); ok {
		share, err := strconv.ParseFloat(p, 64)
		if err != nil || !(share >= 0 && share < 100) {
			return nil, bad
		}
		return &repo.Limit{Share: share / 100}, nil
	}
	n, err := parseSize(s)
	if err != nil || n < 0 {
		return nil, bad
	}
	return &repo.Limit{Bytes: uint64(n)}, nil
}

func (a *app) runPrune(ctx context.Context, f *pruneFlags) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	r, err := a.openRepo(ctx, unlessDry(f.dryRun))
	if err != nil {
		return err
	}
	defer r.close(&err)
	return a.prune(ctx, r, o)
}

func (a *app) prune(ctx context.Context, r *openRepo, o *repo.CollectOptions) error {
	show := newStepMeter(a.out)
	o.Progress = func(p repo.CollectProgress) { show.show(p.Step, p.Done, p.Total) }
	report, err := r.Collect(ctx, o)
	if err != nil {
		return err
	}
	if a.out.json {
		sum := newPruneJSON(report, o.DryRun)
		sum.Traffic = a.traffic()
		a.out.object(sum)
		return nil
	}
	a.printPruned(report, o.DryRun)
	return nil
}

// pruneJSON is the last line of `prune --json`.
type pruneJSON struct {
	Type           string       `json:"message_type"`
	DryRun         bool         `json:"dry_run"`
	Packs          uint64       `json:"packs"`
	StoredBytes    uint64       `json:"stored_bytes"`
	UnusedBytes    uint64       `json:"unused_bytes"`
	Dropped        uint64       `json:"packs_dropped"`
	DroppedBytes   uint64       `json:"packs_dropped_bytes"`
	Repacked       uint64       `json:"packs_repacked"`
	RepackedBytes  uint64       `json:"packs_repacked_bytes"`
	RewrittenBytes uint64       `json:"rewritten_bytes"`
	Merged         uint64       `json:"index_files_replaced"`
	Rescued        uint64       `json:"packs_rescued"`
	Deleted        uint64       `json:"objects_deleted"`
	DeletedBytes   uint64       `json:"objects_deleted_bytes"`
	Refused        uint64       `json:"deletes_refused"`
	Revoked        []string     `json:"sessions_revoked"`
	Condemned      uint64       `json:"condemned_index_files"`
	Waiting        []string     `json:"waiting_for_sessions"`
	Repairs        []string     `json:"left_to_repairs"`
	LeftBytes      uint64       `json:"left_unused_bytes"`
	InsideBytes    uint64       `json:"left_inside_segments_bytes"`
	Traffic        *trafficJSON `json:"traffic,omitempty"`
}

func newPruneJSON(c *repo.CollectReport, dryRun bool) *pruneJSON {
	return &pruneJSON{
		Type: "summary", DryRun: dryRun, Packs: c.Packs, StoredBytes: c.Stored, UnusedBytes: c.Unused, Dropped: c.Dropped,
		DroppedBytes: c.DroppedBytes, Repacked: c.Repacked, RepackedBytes: c.RepackedBytes, RewrittenBytes: c.Rewritten,
		Merged: c.Merged, Rescued: c.Rescued, Deleted: c.Deleted, DeletedBytes: c.DeletedBytes, Refused: c.Refused,
		Revoked: texts(c.Revoked), Condemned: c.Condemned, Waiting: texts(c.Waiting), Repairs: texts(c.Repairs), LeftBytes: c.LeftUnused, InsideBytes: c.Inside,
	}
}

func (a *app) printPruned(c *repo.CollectReport, dryRun bool) {
	did := func(done, would string) string {
		if dryRun {
			return "would " + would
		}
		return done
	}
	out := a.out
	out.infof("%s, %s, of which %s is not needed\n", count(int64(c.Packs), "pack"), bytesText(c.Stored), bytesText(c.Unused))
	if c.Dropped > 0 {
		out.infof("%s %s, %s, with nothing needed\n", did("dropped", "drop"), count(int64(c.Dropped), "pack"), bytesText(c.DroppedBytes))
	}
	if c.Repacked > 0 {
		out.infof("%s %s, %s, as %s\n", did("repacked", "repack"), count(int64(c.Repacked), "pack"), bytesText(c.RepackedBytes), bytesText(c.Rewritten))
	}
	if c.Rescued > 0 {
		out.infof("kept %s that had been condemned and is needed again\n", count(int64(c.Rescued), "pack"))
	}
	if c.Deleted > 0 {
		out.infof("%s %s, %s\n", did("deleted", "delete"), count(int64(c.Deleted), "object"), bytesText(c.DeletedBytes))
	}
	if c.Refused > 0 {
		out.note("%s could not be deleted, and are left to the next prune", count(int64(c.Refused), "object"))
	}
	for _, id := range c.Revoked {
		out.infof("ended session %s, which was named, gone or not heard of\n", id)
	}
	for _, id := range c.Waiting {
		out.note("what session %s may still use is condemned, and left to a prune after it has ended", id)
	}
	for _, id := range c.Repairs {
		out.note("session %s repairs, and may still use what would be deleted: that is left to a prune after it", id)
	}
	out.infof("%s that is not needed %s in packs that hold something needed\n", bytesText(c.LeftUnused), did("is left", "be left"))
	if c.Inside > 0 {
		out.infof("%s of it is inside segments, which only a key that can read them cuts out\n", bytesText(c.Inside))
	}
}

// stepMeter shows how far the steps of some work are.
type stepMeter struct {
	out   *output
	every time.Duration
	last  time.Time
}

func newStepMeter(o *output) *stepMeter {
	m := newMeter(o, "")
	return &stepMeter{out: o, every: m.every, last: m.last}
}

// show tells it if it is time to.
func (m *stepMeter) show(step string, done, total uint64) {
	now := time.Now()
	if m.out.quiet || now.Sub(m.last) < m.every {
		return
	}
	m.last = now
	if m.out.json {
		m.out.object(struct {
			Type  string `json:"message_type"`
			Step  string `json:"step"`
			Done  uint64 `json:"done"`
			Total uint64 `json:"total"`
		}{"status", step, done, total})
		return
	}
	text := stepText(step, done, total)
	if m.out.errTerm {
		m.out.showStatus(text)
		return
	}
	m.out.errLine("holdfast: " + text)
}

func stepText(step string, done, total uint64) string {
	switch step {
	case "mark":
		return "marking what snapshots need: " + itoa(int64(done)) + " of " + itoa(int64(total))
	case "repack":
		return "repacking: " + bytesText(done) + " of " + bytesText(total)
	case "wait":
		return "waiting for " + count(int64(total), "session")
	}
	return "deleting: " + itoa(int64(done)) + " of " + count(int64(total), "object")
}
