package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/retention"
)

// scrubFlags are the flags of scrub.
type scrubFlags struct {
	maxAge string
	limit  string
	status bool
}

func (a *app) scrubCommand() *cobra.Command {
	var f scrubFlags
	cmd := &cobra.Command{
		Use:   "scrub [flags]",
		Short: "Verify a part of the repository, what was verified longest ago first",
		Long: `Verify the structure of the repository, as 'holdfast check' does, and read and verify the
packs whose last verification is longest ago. Run once a day, it verifies every byte at
least every --max-age, and reads about the same amount each time; after days without a run
it catches up. What was verified when is kept in the cache folder of this machine.

--status reads no pack, and tells how things stand; the exit code is 1 when something was
not verified for longer than --max-age.`,
		Example: `  holdfast scrub
  holdfast scrub --max-age 90d --limit 500G
  holdfast scrub --status --json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runScrub(cmd.Context(), &f) },
	}
	s := cmd.Flags()
	s.StringVar(&f.maxAge, "max-age", "30d", "verify every byte at least this `often`, such as 30d or 1y")
	s.StringVar(&f.limit, "limit", "", "read at most this `size` now")
	s.BoolVar(&f.status, "status", false, "read nothing, and tell what was verified when")
	return cmd
}

func (f *scrubFlags) options() (*repo.ScrubOptions, error) {
	age, err := retention.ParseDuration(f.maxAge)
	if err != nil {
		return nil, usagef("--max-age: %w", err)
	}
	o := &repo.ScrubOptions{MaxAge: time.Since(age.Before(time.Now())), Status: f.status}
	if o.MaxAge < time.Hour {
		return nil, usagef("--max-age %q: give at least an hour, such as 30d", f.maxAge)
	}
	if f.limit != "" {
		n, err := parseSize(f.limit)
		if err != nil || n <= 0 {
			return nil, usagef("--limit %q: give a size such as 500G", f.limit)
		}
		o.Limit = uint64(n)
	}
	return o, nil
}

func (a *app) runScrub(ctx context.Context, f *scrubFlags) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	show := newMeter(a.out, "verified")
	o.Progress = func(done, total uint64) { show.show(state{Bytes: done, TotalBytes: total}) }
	report, err := r.Scrub(ctx, o)
	if err != nil {
		return err
	}
	faults := 0
	if report.Check != nil {
		faults = len(report.Check.Errors) + int(report.Check.Suppressed)
		for _, fault := range report.Check.Errors {
			a.out.fault("scrub", "", fault)
		}
	}
	a.printScrub(report, faults, f.maxAge)
	switch {
	case faults > 0:
		return fmt.Errorf("the repository is damaged: %s found", count(int64(faults), "fault"))
	case report.Overdue > 0:
		return fmt.Errorf("%s were not verified within %s: run 'holdfast scrub' more often, or without --limit", count(int64(report.Overdue), "pack"), f.maxAge)
	}
	return nil
}

// scrubJSON is the last line of `scrub --json`.
type scrubJSON struct {
	Type       string    `json:"message_type"`
	Errors     int       `json:"num_errors"`
	Packs      uint64    `json:"packs"`
	Bytes      uint64    `json:"bytes"`
	Fresh      uint64    `json:"fresh_bytes"`
	Unverified uint64    `json:"unverified_packs"`
	Overdue    uint64    `json:"overdue_packs"`
	PacksRead  uint64    `json:"packs_read"`
	BytesRead  uint64    `json:"bytes_read"`
	Oldest     *jsonTime `json:"oldest,omitempty"`
	Due        *jsonTime `json:"due,omitempty"`
}

func (a *app) printScrub(r *repo.ScrubReport, faults int, maxAge string) {
	read := repo.CheckReport{}
	if r.Check != nil {
		read = *r.Check
	}
	if a.out.json {
		j := scrubJSON{
			Type: "summary", Errors: faults, Packs: r.Packs, Bytes: r.Bytes, Fresh: r.FreshBytes, Unverified: r.Unverified, Overdue: r.Overdue,
			PacksRead: read.PacksRead, BytesRead: read.BytesRead,
		}
		if r.Packs > 0 {
			oldest, due := jsonTime(r.Oldest), jsonTime(r.Due)
			j.Oldest, j.Due = &oldest, &due
		}
		a.out.object(j)
		return
	}
	if r.Check != nil {
		a.out.infof("read and verified %s, %s\n", count(int64(read.PacksRead), "pack"), bytesText(read.BytesRead))
	}
	a.out.infof("%s of %s was verified, or is new, within %s; %s never verified here\n", bytesText(r.FreshBytes), bytesText(r.Bytes), maxAge, count(int64(r.Unverified), "pack"))
	if r.Packs > 0 {
		a.out.infof("the oldest verification is of %s, and due for the next %s\n", localTime(r.Oldest), localTime(r.Due))
	}
}
