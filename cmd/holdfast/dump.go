package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// dumpFlags are the flags of dump.
type dumpFlags struct {
	filter   filterFlags
	target   string
	zeroFill bool
}

func (a *app) dumpCommand() *cobra.Command {
	var f dumpFlags
	cmd := &cobra.Command{
		Use:   "dump [flags] SNAPSHOT[:PATH] [PATH]",
		Short: "Write one file of a snapshot to standard output",
		Long: `Write one file, or disk image, of a snapshot to standard output. Paths are as ls
prints them; the slash in front may be left out, and the whole path if the snapshot
holds one file only. A part that cannot be read ends the output with an error,
unless --zero-fill is given: zeros take its place then, and the exit code is 1.`,
		Example: `  holdfast dump latest /etc/fstab
  holdfast dump latest:/mydb.sql | psql mydb
  holdfast dump 4bba301e --target fstab.old /etc/fstab`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runDump(cmd.Context(), &f, args) },
	}
	f.filter.register(cmd.Flags())
	a.global.registerSalvage(cmd.Flags())
	cmd.Flags().StringVarP(&f.target, "target", "t", "", "write to this `file`, which must not exist, instead of standard output")
	cmd.Flags().BoolVar(&f.zeroFill, "zero-fill", false, "write zeros where the contents are lost, and go on")
	a.completeSnapshots(cmd)
	return cmd
}

func (a *app) runDump(ctx context.Context, f *dumpFlags, args []string) (err error) {
	name, p := snapshot.SplitPath(args[0])
	if len(args) == 2 {
		if p != "" {
			return usagef("dump: there are two paths: %q and %q", p, args[1])
		}
		p = args[1]
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	m, err := f.filter.find(ctx, r, name)
	if err != nil {
		return err
	}
	p, n, err := fileOf(ctx, r, m, p)
	if err != nil {
		return err
	}
	out := os.Stdout
	if f.target != "" {
		if out, err = os.OpenFile(f.target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
			return err
		}
		defer func() { err = f.finish(out, err) }()
	}
	return restore.Dump(ctx, r.Repository, n.Content, out, &restore.DumpOptions{Path: p, ZeroFill: f.zeroFill})
}

// finish closes the target. Half a file is removed, unless it is whole but for the zeros that were asked for.
func (f *dumpFlags) finish(out *os.File, err error) error {
	_, filled := errors.AsType[*restore.IncompleteError](err)
	closed := errors.Join(out.Sync(), out.Close())
	if closed != nil || err != nil && !filled {
		closed = errors.Join(closed, os.Remove(f.target))
	}
	return errors.Join(err, closed)
}

// resolve returns the entry of a snapshot at a path.
func resolve(ctx context.Context, r *openRepo, m *snapshot.Manifest, p string) (*tree.Node, error) {
	n, err := tree.Resolve(ctx, r, m.Root, p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("snapshot %s: %s: no such file or folder", m.ShortID(), path.Clean("/"+p))
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", m.ShortID(), err)
	}
	return n, nil
}

// fileOf returns a file of a snapshot with its path; of one that holds a single file the path may be empty.
func fileOf(ctx context.Context, r *openRepo, m *snapshot.Manifest, p string) (string, *tree.Node, error) {
	if p == "" {
		p, n, err := snapshot.OnlyFile(ctx, r.Repository, m)
		if err != nil {
			return "", nil, fmt.Errorf("snapshot %s: %w", m.ShortID(), err)
		}
		return path.Clean("/" + p), n, nil
	}
	n, err := resolve(ctx, r, m, p)
	if err == nil && !n.Type.HasContent() {
		err = fmt.Errorf("snapshot %s: %s is a %s: %w", m.ShortID(), path.Clean("/"+p), n.Type, snapshot.ErrNotFile)
	}
	return path.Clean("/" + p), n, err
}
