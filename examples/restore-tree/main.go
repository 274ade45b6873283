// Command restore-tree backs up a folder, and restores the snapshot into another one: a restore test, as it should be run every week.
//
//	holdfast init -r /srv/backups --new-key-file /root/holdfast.key
//	restore-tree -repo /srv/backups -key /root/holdfast.key /etc /var/tmp/etc-restored
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "restore-tree:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("restore-tree", flag.ContinueOnError)
	dir := flags.String("repo", "", "`folder` of the repository")
	keyFile := flags.String("key", "", "`file` with the key to it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("say which folder to back up, and where to restore it")
	}
	return withRepo(ctx, *dir, *keyFile, func(r *repo.Repository) error {
		folder, err := filepath.Abs(flags.Arg(0))
		if err != nil {
			return err
		}
		m, err := backup(ctx, r, folder)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "snapshot %s: %d bytes, %d of them read\n", m.ShortID(), m.Stats.BytesProcessed, m.Stats.BytesRead)
		stats, err := restoreFolder(ctx, r, m, folder, flags.Arg(1))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "restored %d files, %d bytes, in %v\n", stats.Files, stats.Bytes, stats.Duration)
		return nil
	})
}

// backup makes a snapshot of a folder, without what need not be kept. Files that have not changed since the last one are not read.
func backup(ctx context.Context, r *repo.Repository, folder string) (*snapshot.Manifest, error) {
	filter, err := source.NewFilter(&source.FilterOptions{Exclude: []string{"*.tmp"}})
	if err != nil {
		return nil, err
	}
	t, err := source.NewTree(&source.TreeOptions{Filter: filter})
	if err != nil {
		return nil, err
	}
	m, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Files(t, filepath.ToSlash(folder))}, &snapshot.BackupOptions{
		Report: func(e snapshot.Event) {
			if e.Kind == snapshot.EventError {
				fmt.Fprintln(os.Stderr, "restore-tree:", e.Path, e.Err)
			}
		},
	})
	if err == nil && !m.Complete {
		err = fmt.Errorf("snapshot %s is incomplete: something could not be read", m.ShortID())
	}
	return m, err
}

// restoreFolder restores what a folder had in a snapshot into target, reads it back, and compares.
func restoreFolder(ctx context.Context, r *repo.Repository, m *snapshot.Manifest, folder, target string) (*restore.Stats, error) {
	t, err := snapshot.OpenTree(ctx, r, m.ID)
	if err != nil {
		return nil, err
	}
	n, err := t.Lookup(filepath.ToSlash(folder))
	if err != nil {
		return nil, err
	}
	stats, err := restore.Tree(ctx, r, n.Dir, target, &restore.TreeOptions{Options: restore.Options{Verify: true}})
	var incomplete *restore.IncompleteError
	if errors.As(err, &incomplete) { // everything else was restored
		for _, d := range incomplete.Damages {
			fmt.Fprintf(os.Stderr, "restore-tree: %s: %d bytes from %d: %v\n", d.Path, d.Len, d.Off, d.Err)
		}
	}
	return stats, err
}

// withRepo opens a repository for the time of a call. A service opens one once, and uses it from many goroutines.
func withRepo(ctx context.Context, dir, keyFile string, use func(*repo.Repository) error) (err error) {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	key, err := crypto.ParseKeyFile(text)
	if err != nil {
		return fmt.Errorf("%s: %w", keyFile, err)
	}
	store, err := local.Open(dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r, err := repo.Open(ctx, store, &repo.Options{Credential: key})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return use(r)
}
