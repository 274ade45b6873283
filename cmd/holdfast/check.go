package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// checkFlags are the flags of check.
type checkFlags struct {
	readData bool
	subset   string
	repair   bool
	apply    bool
	from     healFlags
}

func (a *app) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [flags]",
		Short: "Verify the repository",
		Long: `Verify the repository: every entry and signature of its ledger, key slots,
snapshots, indexes, that every object is there in its size, and that each snapshot refers to
chunks that are there. With --read-data every byte of every object is read and verified;
with --read-data-subset a part of them:

  2/7    the second of seven parts, the same ones each time
  5%     a share, other objects each time
  10G    about that much, other objects each time

With --repair it also says what 'holdfast repair ledger', 'repair index' and 'repair packs'
would do about what it found, and with --apply it does it; --source and --source-repo say
where to look for what is lost.

Each fault is one line on standard error; if there are any, the exit code is 1. Entries of
the ledger that are void, because of who signed them or what came before, are told as
notes. With --no-key everything is verified that is not sealed.`,
		Example: `  holdfast check
  holdfast check --read-data
  holdfast check --read-data-subset 5%
  holdfast check --read-data --repair --apply
  holdfast check --repair --apply --source-repo /mnt/copy/repo`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runCheck(cmd.Context(), &f) },
	}
	a.global.credential.registerNoKey(cmd.Flags())
	cmd.Flags().BoolVar(&f.readData, "read-data", false, "read and verify every byte")
	cmd.Flags().BoolVar(&f.repair, "repair", false, "say how the damage can be repaired")
	cmd.Flags().BoolVar(&f.apply, "apply", false, "with --repair: repair it")
	f.from.register(cmd.Flags())
	cmd.Flags().StringVar(&f.subset, "read-data-subset", "", "read and verify a `part`: n/t, a percentage or a size")
	return cmd
}

// subset is the part of the data that is to be read: a fixed one, or as many bytes by chance.
type subset struct {
	repo.Subset
	bytes int64
}

// parseSubset reads n/t, p% or a size.
func parseSubset(s string) (*subset, error) {
	bad := usagef("--read-data-subset %q: give n/t (with 1 <= n <= t), a percentage such as 5%%, or a size such as 10G", s)
	if part, of, ok := strings.Cut(s, "/"); ok {
		n, err1 := strconv.ParseUint(part, 10, 32)
		t, err2 := strconv.ParseUint(of, 10, 32)
		if err1 != nil || err2 != nil || n < 1 || n > t {
			return nil, bad
		}
		return &subset{Subset: repo.Subset{Part: n, Of: t}}, nil
	}
	if p, ok := strings.CutSuffix(s, "%"); ok {
		share, err := strconv.ParseFloat(p, 64)
		if err != nil || !(share > 0 && share <= 100) {
			return nil, bad
		}
		return &subset{Subset: repo.Subset{Share: share / 100, Seed: rand.Uint64()}}, nil
	}
	n, err := parseSize(s)
	if err != nil || n <= 0 {
		return nil, bad
	}
	return &subset{Subset: repo.Subset{Seed: rand.Uint64()}, bytes: n}, nil
}

func (f *checkFlags) parse() (*subset, error) {
	switch {
	case (f.apply || !f.from.empty()) && !f.repair:
		return nil, usagef("--apply, --source and --source-repo belong to --repair")
	case f.readData && f.subset != "":
		return nil, usagef("--read-data and --read-data-subset exclude each other")
	case f.readData:
		return &subset{Subset: *repo.ReadAll()}, nil
	case f.subset != "":
		return parseSubset(f.subset)
	}
	return nil, nil
}

// resolve turns a number of bytes into a share of what is stored.
func (s *subset) resolve(ctx context.Context, store backend.Store) (*repo.Subset, error) {
	if s == nil {
		return nil, nil
	}
	if s.bytes > 0 {
		stored, err := storedObjects(ctx, store)
		if err != nil {
			return nil, err
		}
		s.Share = min(1, float64(s.bytes)/float64(max(1, stored["packs"].Bytes)))
	}
	return &s.Subset, nil
}

func (a *app) runCheck(ctx context.Context, f *checkFlags) (err error) {
	part, err := f.parse()
	if err != nil {
		return err
	}
	how := reading
	if f.apply {
		how = writing
	}
	r, err := a.openRepo(ctx, how)
	if err != nil {
		return err
	}
	defer r.close(&err)
	healers, err := f.from.open(ctx, a, r)
	defer healers.close(&err)
	if err != nil {
		return err
	}
	o := &repo.CheckOptions{}
	if o.ReadData, err = part.resolve(ctx, r.store); err != nil {
		return err
	}
	show := newMeter(a.out, "verified")
	o.Progress = func(done, total uint64) { show.show(state{Bytes: done, TotalBytes: total}) }
	report, err := r.Check(ctx, o)
	if err != nil {
		return err
	}
	faults := len(report.Errors) + int(report.Suppressed)
	for _, fault := range report.Errors {
		a.out.fault("check", "", fault)
	}
	if report.Suppressed > 0 {
		a.out.note("%d more faults were found, and are not listed", report.Suppressed)
	}
	a.printVoid(report.Void)
	more, err := a.checkTrees(ctx, r, report.Errors)
	if err != nil {
		return err
	}
	if f.repair {
		p := sortFaults(append(report.Errors, more...), report.Suppressed > 0)
		if err := a.repairFound(ctx, r, p, healers, f); err != nil {
			return err
		}
	}
	return a.printCheck(report, faults+len(more), part != nil)
}

// printVoid tells of the entries of the ledger that changed nothing.
func (a *app) printVoid(list []ledger.VoidEntry) {
	for _, v := range list {
		if a.out.json {
			a.out.object(struct {
				Type   string `json:"message_type"`
				Number uint64 `json:"number"`
				Entry  string `json:"type"`
				Actor  string `json:"actor"`
				Reason string `json:"reason"`
			}{"void_entry", v.N, v.Type.String(), v.Actor.String(), oneLine(v.Why)})
			continue
		}
		a.out.note("ledger entry %d is void, and changes nothing: %s by actor %s: %s", v.N, v.Type, v.Actor, v.Why)
	}
}

// checkTrees compares directories and reference trees, if this key can read them, and returns the faults that are new.
func (a *app) checkTrees(ctx context.Context, r *openRepo, known []error) (faults []error, _ error) {
	if !r.CanRead(repo.Meta) {
		return nil, nil
	}
	told := map[string]bool{}
	for _, err := range known {
		told[rootCause(err)] = true
	}
	for err := range snapshot.Check(ctx, r.Repository, nil) {
		if ctx.Err() != nil {
			return faults, context.Cause(ctx)
		}
		if cause := rootCause(err); !told[cause] {
			told[cause] = true
			faults = append(faults, err)
			a.out.fault("check", "", err)
		}
	}
	return faults, nil
}

// rootCause names what is wrong without who noticed, so that it is told once.
func rootCause(err error) string {
	if c, ok := errors.AsType[*repo.CorruptError](err); ok {
		return c.Error()
	}
	return err.Error()
}

// checkSummary is the last line of `check --json`.
type checkSummary struct {
	Type              string       `json:"message_type"`
	Errors            int          `json:"num_errors"`
	Entries           uint64       `json:"ledger_entries"`
	VoidEntries       int          `json:"void_entries"`
	Snapshots         uint64       `json:"snapshots"`
	IndexFiles        uint64       `json:"index_files"`
	Packs             uint64       `json:"packs"`
	Nodes             uint64       `json:"nodes"`
	PacksRead         uint64       `json:"packs_read"`
	BytesRead         uint64       `json:"bytes_read"`
	Unreferenced      uint64       `json:"unreferenced_objects"`
	UnreferencedBytes uint64       `json:"unreferenced_bytes"`
	Traffic           *trafficJSON `json:"traffic,omitempty"`
}

func (a *app) printCheck(c *repo.CheckReport, faults int, read bool) error {
	if a.out.json {
		a.out.object(checkSummary{"summary", faults, c.Entries, len(c.Void), c.Snapshots, c.IndexFiles, c.Packs, c.Nodes, c.PacksRead, c.BytesRead, c.Unreferenced, c.UnreferencedBytes, a.traffic()})
	} else {
		a.out.infof("verified %d ledger entries, %s, %s, %s, %s of reference trees\n", c.Entries, count(int64(c.Snapshots), "snapshot"),
			count(int64(c.IndexFiles), "index file"), count(int64(c.Packs), "pack"), count(int64(c.Nodes), "node"))
		if read {
			a.out.infof("read %s, %s\n", count(int64(c.PacksRead), "pack"), bytesText(c.BytesRead))
		}
		if c.Unreferenced > 0 {
			a.out.infof("%s (%s) are of no use any more, left over from work that was given up; that is no damage\n",
				count(int64(c.Unreferenced), "object"), bytesText(c.UnreferencedBytes))
		}
	}
	if faults > 0 {
		return fmt.Errorf("the repository is damaged: %s found", count(int64(faults), "fault"))
	}
	a.out.infof("no errors were found\n")
	return nil
}
