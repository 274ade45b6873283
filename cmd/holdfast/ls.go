package main

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// lsFlags are the flags of ls.
type lsFlags struct {
	filter    filterFlags
	long      bool
	recursive bool
}

func (a *app) lsCommand() *cobra.Command {
	var f lsFlags
	cmd := &cobra.Command{
		Use:   "ls [flags] SNAPSHOT[:PATH] [PATH...]",
		Short: "List what is in a snapshot",
		Long: `List the paths in a snapshot: all of them, or what is directly in the folders
given, and with --recursive what is below them. The paths are those that dump and
restore take. SNAPSHOT is the start of an id, "latest", or "latest~2" (two before).

Names are printed as they are, except on a terminal. In JSON, which prints an
array, each byte that is not part of UTF-8 is written \xNN.`,
		Example: `  holdfast ls latest
  holdfast ls -l latest:/etc
  holdfast ls 4bba301e /home/joe --recursive --json`,
		Args: between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runLs(cmd.Context(), &f, args) },
	}
	f.filter.register(cmd.Flags())
	a.global.registerSalvage(cmd.Flags())
	cmd.Flags().BoolVarP(&f.long, "long", "l", false, "print modes, owners, sizes and times, too")
	cmd.Flags().BoolVar(&f.recursive, "recursive", false, "print all that is below the folders given")
	a.completeSnapshots(cmd)
	return cmd
}

func (a *app) runLs(ctx context.Context, f *lsFlags, args []string) (err error) {
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	name, sub := snapshot.SplitPath(args[0])
	m, err := f.filter.find(ctx, r, name)
	if err != nil {
		return err
	}
	paths := args[1:]
	if sub != "" {
		paths = append([]string{sub}, paths...)
	}
	all := f.recursive
	if len(paths) == 0 {
		paths, all = []string{"/"}, true
	}
	nodes := make([]*tree.Node, len(paths))
	for i, p := range paths {
		if nodes[i], err = resolve(ctx, r, m, p); err != nil {
			return err
		}
	}
	l := &lister{app: a, repo: r, long: f.long}
	if a.out.json {
		l.array = &array{o: a.out}
		defer l.array.end()
	}
	for i, p := range paths {
		if err := l.list(ctx, path.Clean("/"+p), nodes[i], all); err != nil {
			return err
		}
	}
	if l.faults > 0 {
		return fmt.Errorf("snapshot %s: %s could not be read", m.ShortID(), count(int64(l.faults), "folder"))
	}
	return nil
}

// lister prints entries of one snapshot.
type lister struct {
	app    *app
	repo   *openRepo
	long   bool
	array  *array // of --json
	faults int
}

func (l *lister) print(p string, n *tree.Node) {
	if l.array != nil {
		l.array.add(newNodeJSON(p, n))
		return
	}
	l.app.printNode(p, n, l.long)
}

// list prints what is at a path: a file itself, of a folder what is in it.
func (l *lister) list(ctx context.Context, p string, n *tree.Node, all bool) error {
	if n.Type != tree.Directory {
		l.print(p, n)
		return nil
	}
	return tree.Walk(ctx, l.repo, n.Dir, func(sub string, n *tree.Node, err error) error {
		at := path.Join(p, sub)
		if err != nil {
			l.faults++
			l.app.out.fault("ls", at, err)
			return nil
		}
		l.print(at, n)
		if n.Type == tree.Directory && !all {
			return fs.SkipDir
		}
		return nil
	})
}
