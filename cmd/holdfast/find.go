package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
)

// findFlags are the flags of find.
type findFlags struct {
	filter         filterFlags
	snapshots      []string
	ignoreCase     bool
	long           bool
	newest, oldest string
}

func (a *app) findCommand() *cobra.Command {
	var f findFlags
	cmd := &cobra.Command{
		Use:   "find [flags] PATTERN...",
		Short: "Find files in all snapshots",
		Long: `Find the files and folders that match a pattern, in all snapshots or those selected,
the newest first. A pattern matches the last parts of a path: "foo*" any name that begins
with foo, "etc/*.conf" what ends with .conf in any folder etc, "/etc/**/passwd" what
is called passwd anywhere below /etc.`,
		Example: `  holdfast find '*.sql'
  holdfast find -l --host db1 --snapshot latest '/etc/**/*.conf'
  holdfast find --oldest 2026-01-01 report.odt`,
		Args: between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runFind(cmd.Context(), &f, args) },
	}
	s := cmd.Flags()
	a.global.registerSalvage(s)
	f.filter.register(s)
	s.StringArrayVarP(&f.snapshots, "snapshot", "s", nil, "look in this `snapshot` (repeatable)")
	s.BoolVarP(&f.ignoreCase, "ignore-case", "i", false, "ignore the case of letters")
	s.BoolVarP(&f.long, "long", "l", false, "print modes, owners, sizes and times, too")
	s.StringVarP(&f.newest, "newest", "N", "", "only what was modified at this `time` or before")
	s.StringVarP(&f.oldest, "oldest", "O", "", "only what was modified at this `time` or after")
	return cmd
}

func (f *findFlags) options(patterns []string) (*snapshot.SearchOptions, error) {
	o := &snapshot.SearchOptions{Patterns: patterns, IgnoreCase: f.ignoreCase}
	err := o.Validate()
	if err != nil {
		return nil, asUsage(err)
	}
	if f.oldest != "" {
		if o.Since, err = parseTime(f.oldest); err != nil {
			return nil, err
		}
	}
	if f.newest != "" {
		if o.Until, err = parseTime(f.newest); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (a *app) runFind(ctx context.Context, f *findFlags, patterns []string) (err error) {
	o, err := f.options(patterns)
	if err != nil {
		return err
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	sf := snapshotsFlags{filter: f.filter}
	list, unread, err := sf.list(ctx, r, f.snapshots)
	if err != nil {
		return err
	}
	var arr *array
	if a.out.json {
		arr = &array{o: a.out}
		defer func() { arr.end() }()
	}
	faults := 0
	for i := len(list) - 1; i >= 0; i-- {
		n, err := a.findIn(ctx, r, list[i], o, f.long, arr)
		if err != nil {
			return err
		}
		faults += n
	}
	if faults > 0 {
		return errors.Join(unread, fmt.Errorf("%s could not be read", count(int64(faults), "folder")))
	}
	return unread
}

// findIn searches one snapshot, and returns how many folders could not be read.
func (a *app) findIn(ctx context.Context, r *openRepo, m *snapshot.Manifest, o *snapshot.SearchOptions, long bool, arr *array) (faults int, err error) {
	hits := 0
	defer func() {
		if arr != nil && hits > 0 {
			a.out.printf(`],"hits":%d,"snapshot":"%s"}`, hits, m.ID)
		}
	}()
	for hit, err := range snapshot.Search(ctx, r.Repository, m, o) {
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case err != nil:
			faults++
			a.out.fault("find", hit.Path, fmt.Errorf("snapshot %s: %w", m.ShortID(), err))
			continue
		}
		hits++
		a.printHit(m, &hit, hits == 1, long, arr)
	}
	return faults, nil
}

// printHit prints an entry: under a title, or as part of an object that holds all those of a snapshot.
func (a *app) printHit(m *snapshot.Manifest, hit *snapshot.Found, first, long bool, arr *array) {
	if arr == nil {
		if first {
			a.out.infof("snapshot %s of %s:\n", m.ShortID(), localTime(m.Time))
		}
		a.printNode(hit.Path, hit.Node, long)
		return
	}
	if first {
		arr.next()
		a.out.printf(`{"matches":[`)
	} else {
		a.out.printf(",")
	}
	a.out.value(newNodeJSON(hit.Path, hit.Node))
}
