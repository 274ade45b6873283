package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// rewriteFlags are the flags of rewrite.
type rewriteFlags struct {
	filter  filterFlags
	exclude source.FilterOptions
	forget  bool
	dryRun  bool
}

func (a *app) rewriteCommand() *cobra.Command {
	var f rewriteFlags
	cmd := &cobra.Command{
		Use:   "rewrite [flags] [SNAPSHOT...]",
		Short: "Make snapshots anew without some of their files",
		Long: `Make the snapshots named, or all that --host, --tag and --path select, anew without what
matches a pattern: a secret that should not have been backed up, say. The new snapshots keep
the time, host, tags, paths and class of the old ones. Contents are not read or written.

The old ones stay, unless --forget takes them out of the repository, once all new ones are
there. What only they had is deleted by 'holdfast prune' then; with --max-unused 0 no copy
of it stays inside packs that hold something else.`,
		Example: `  holdfast rewrite --exclude '*.pem' --dry-run
  holdfast rewrite --exclude /home/ann/secret --forget && holdfast prune --max-unused 0
  holdfast rewrite --exclude-file patterns --host db1 latest`,
		Args: between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRewrite(cmd.Context(), &f, args) },
	}
	s := cmd.Flags()
	f.filter.register(s)
	s.StringArrayVarP(&f.exclude.Exclude, "exclude", "e", nil, "leave out what matches this `pattern` (repeatable)")
	s.StringArrayVar(&f.exclude.IExclude, "iexclude", nil, "leave out what matches this `pattern`, whatever the case")
	s.StringArrayVar(&f.exclude.ExcludeFiles, "exclude-file", nil, "leave out what matches a pattern in `file` (repeatable)")
	s.StringArrayVar(&f.exclude.IExcludeFiles, "iexclude-file", nil, "leave out what matches a pattern in `file`, whatever the case")
	s.BoolVar(&f.forget, "forget", false, "forget the old snapshots when the new ones are there")
	s.BoolVarP(&f.dryRun, "dry-run", "n", false, "store nothing, and say what would be left out")
	a.completeSnapshots(cmd)
	return cmd
}

func (f *rewriteFlags) validate() (*source.Filter, error) {
	x := &f.exclude
	if len(x.Exclude)+len(x.IExclude)+len(x.ExcludeFiles)+len(x.IExcludeFiles) == 0 {
		return nil, usagef("rewrite: what should be left out? use --exclude or one of its kind")
	}
	x.Getenv = os.Getenv
	return source.NewFilter(x)
}

func (a *app) runRewrite(ctx context.Context, f *rewriteFlags, args []string) error {
	filter, err := f.validate()
	if err != nil {
		return err
	}
	return a.replaceAll(ctx, f, args, "rewritten", func(r *openRepo, m *snapshot.Manifest) (bool, error) { return a.rewrite(ctx, r, f, filter, m) })
}

// replaceAll makes snapshots anew, and forgets the old ones once all new ones are there, if that was asked for.
func (a *app) replaceAll(ctx context.Context, f *rewriteFlags, args []string, reason string, replace func(*openRepo, *snapshot.Manifest) (bool, error)) (err error) {
	r, err := a.openRepo(ctx, unlessDry(f.dryRun))
	if err != nil {
		return err
	}
	defer r.close(&err)
	list, err := f.list(ctx, r, args)
	if err != nil {
		return err
	}
	for _, m := range list {
		if f.forget && m.Protected {
			return fmt.Errorf("snapshot %s: %w", m.ShortID(), repo.ErrProtected)
		}
	}
	var replaced []repo.ID
	for _, m := range list {
		changed, err := replace(r, m)
		if err != nil {
			return err
		}
		if changed {
			replaced = append(replaced, m.ID)
		}
	}
	if f.forget && !f.dryRun {
		if err := r.Forget(ctx, replaced, reason); err != nil {
			return err
		}
	}
	a.printRewritten(f, len(replaced), len(list))
	return nil
}

// list returns the snapshots that arguments name, each once, or those that the filter selects.
func (f *rewriteFlags) list(ctx context.Context, r *openRepo, args []string) ([]*snapshot.Manifest, error) {
	if len(args) == 0 {
		filter, err := f.filter.filter()
		if err != nil {
			return nil, err
		}
		return snapshot.List(ctx, r.Repository, filter)
	}
	return f.filter.named(ctx, r, args, false)
}

func (a *app) rewrite(ctx context.Context, r *openRepo, f *rewriteFlags, filter *source.Filter, m *snapshot.Manifest) (changed bool, err error) {
	paths := []string{}
	o := &snapshot.RewriteOptions{Filter: filter, Program: programVersion(), DryRun: f.dryRun, Report: func(path string) {
		paths = append(paths, jsonName(path))
		if !a.out.json {
			a.out.infof("  leaves out %s\n", a.out.name(path))
		}
	}}
	if !a.out.json {
		a.out.infof("snapshot %s of %s\n", m.ShortID(), localTime(m.Time))
	}
	made, err := snapshot.Rewrite(ctx, r.Repository, m, o)
	if err != nil {
		return false, err
	}
	id := a.printMade(f, made, "has nothing that matches")
	if a.out.json {
		a.out.object(struct {
			Type  string   `json:"message_type"`
			Old   string   `json:"original"`
			New   string   `json:"snapshot_id,omitempty"`
			Paths []string `json:"left_out"`
		}{"rewritten", m.ID.String(), id, paths})
	}
	return made != nil, nil
}

// printMade says which snapshot was made, and returns its id, or what it means that there is none.
func (a *app) printMade(f *rewriteFlags, made *snapshot.Manifest, none string) (id string) {
	if made != nil && !f.dryRun {
		id = made.ID.String()
	}
	switch {
	case a.out.json:
	case made == nil:
		a.out.infof("  %s\n", none)
	case !f.dryRun:
		a.out.infof("  is now %s\n", made.ShortID())
	}
	return id
}

func (a *app) printRewritten(f *rewriteFlags, made, of int) {
	if a.out.json {
		a.out.object(struct {
			Type      string `json:"message_type"`
			DryRun    bool   `json:"dry_run"`
			Rewritten int    `json:"rewritten"`
			Snapshots int    `json:"snapshots"`
			Forgot    bool   `json:"forgotten"`
		}{"summary", f.dryRun, made, of, f.forget && !f.dryRun})
		return
	}
	verb := "made anew"
	if f.dryRun {
		verb = "dry run: would make anew"
	}
	a.out.infof("%s %d of %s\n", verb, made, count(int64(of), "snapshot"))
}
