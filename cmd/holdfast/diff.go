package main

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// diffFlags are the flags of diff.
type diffFlags struct {
	filter   filterFlags
	metadata bool
}

func (a *app) diffCommand() *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff [flags] SNAPSHOT[:PATH] SNAPSHOT[:PATH]",
		Short: "Show what differs between two snapshots",
		Long: `Show what must change in the first snapshot, or folder of one, to make it the second:

  +  added
  -  removed
  M  its contents changed
  T  its type changed (a file became a folder, for instance)
  U  its mode, owner, times or attributes changed (with --metadata)

What both share is not read, so that this is fast however large they are.`,
		Example: `  holdfast diff latest~1 latest
  holdfast diff --metadata 4bba301e:/etc latest:/etc`,
		Args: between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runDiff(cmd.Context(), &f, args) },
	}
	f.filter.register(cmd.Flags())
	a.global.registerSalvage(cmd.Flags())
	cmd.Flags().BoolVar(&f.metadata, "metadata", false, "show what differs in mode, owner, times or attributes only, too")
	a.completeSnapshots(cmd)
	return cmd
}

// diffSide is one of the two that are compared.
type diffSide struct {
	ID   string
	root repo.Pair
}

func (f *diffFlags) side(ctx context.Context, r *openRepo, arg string) (diffSide, error) {
	name, p := snapshot.SplitPath(arg)
	m, err := f.filter.find(ctx, r, name)
	if err != nil {
		return diffSide{}, err
	}
	n, err := resolve(ctx, r, m, p)
	if err == nil && n.Type != tree.Directory {
		err = fmt.Errorf("snapshot %s: %s is a %s, not a folder", m.ShortID(), path.Clean("/"+p), n.Type)
	}
	if err != nil {
		return diffSide{}, err
	}
	return diffSide{ID: m.ID.String(), root: n.Dir}, nil
}

// diffCount counts what was added or removed.
type diffCount struct {
	Files  uint64 `json:"files"`
	Dirs   uint64 `json:"dirs"`
	Others uint64 `json:"others"`
	Bytes  uint64 `json:"bytes"`
}

func (c *diffCount) add(n *tree.Node) {
	switch {
	case n.Type == tree.Directory:
		c.Dirs++
	case n.Type.HasContent():
		c.Files++
		c.Bytes += uint64(n.Content.Size)
	default:
		c.Others++
	}
}

// diffStatistics is the last line of `diff --json`.
type diffStatistics struct {
	Type    string    `json:"message_type"`
	Source  string    `json:"source_snapshot"`
	Target  string    `json:"target_snapshot"`
	Changed uint64    `json:"changed_files"`
	Added   diffCount `json:"added"`
	Removed diffCount `json:"removed"`
}

func (a *app) runDiff(ctx context.Context, f *diffFlags, args []string) (err error) {
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	from, err := f.side(ctx, r, args[0])
	if err != nil {
		return err
	}
	to, err := f.side(ctx, r, args[1])
	if err != nil {
		return err
	}
	a.out.infof("comparing snapshot %.8s to %.8s:\n\n", from.ID, to.ID)
	stats := diffStatistics{Type: "statistics", Source: from.ID, Target: to.ID}
	faults := 0
	for c, err := range tree.Diff(ctx, r, from.root, to.root) {
		if err == nil {
			a.printChange(&c, &stats, f.metadata)
			continue
		}
		if _, ok := errors.AsType[*tree.Error](err); !ok {
			return err
		}
		faults++
		a.out.fault("diff", "", err)
	}
	a.printDiff(&stats)
	if faults > 0 {
		return errors.New("the snapshots could not be compared to the end")
	}
	return nil
}

// printChange prints and counts one change.
func (a *app) printChange(c *tree.Change, stats *diffStatistics, metadata bool) {
	modifier, n := "", c.B
	switch {
	case c.Kind == tree.Added:
		modifier = "+"
		stats.Added.add(c.B)
	case c.Kind == tree.Removed:
		modifier, n = "-", c.A
		stats.Removed.add(c.A)
	case c.Aspect&tree.TypeChanged != 0:
		modifier = "T"
		stats.Removed.add(c.A)
		stats.Added.add(c.B)
	case c.Aspect&tree.ContentChanged != 0:
		modifier = "M"
		stats.Changed++
	case metadata && c.Aspect&tree.MetadataChanged != 0:
		modifier = "U"
	default:
		return
	}
	p := "/" + c.Path
	if n.Type == tree.Directory {
		p += "/"
	}
	if a.out.json {
		a.out.object(struct {
			Type     string `json:"message_type"`
			Path     string `json:"path"`
			Modifier string `json:"modifier"`
		}{"change", jsonName(p), modifier})
		return
	}
	a.out.printf("%-5s%s\n", modifier, a.out.name(p))
}

func (a *app) printDiff(s *diffStatistics) {
	if a.out.json {
		a.out.object(s)
		return
	}
	a.out.infof("\nFiles:   %7d added, %7d removed, %7d changed\n", s.Added.Files, s.Removed.Files, s.Changed)
	a.out.infof("Folders: %7d added, %7d removed\n", s.Added.Dirs, s.Removed.Dirs)
	a.out.infof("Others:  %7d added, %7d removed\n", s.Added.Others, s.Removed.Others)
	a.out.infof("Size of files: %s added, %s removed\n", bytesText(s.Added.Bytes), bytesText(s.Removed.Bytes))
}
