// Command stream backs up its standard input, and writes what it backed up last to its standard output.
//
//	stream -repo /srv/backups -key /root/holdfast.key init
//	pg_dump shop | stream -repo /srv/backups -key /root/holdfast.key save
//	stream -repo /srv/backups -key /root/holdfast.key load | psql shop
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// place is where the stream is in its snapshots. A backup of the same place finds what the last one has stored already.
const place = "/stream"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("stream", flag.ContinueOnError)
	dir := flags.String("repo", "", "`folder` of the repository")
	keyFile := flags.String("key", "", "`file` with the key to it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch flags.Arg(0) {
	case "init":
		return initRepo(ctx, *dir, *keyFile)
	case "save":
		return withRepo(ctx, *dir, *keyFile, func(r *repo.Repository) error { return save(ctx, r, in) })
	case "load":
		return withRepo(ctx, *dir, *keyFile, func(r *repo.Repository) error { return load(ctx, r, out) })
	}
	return errors.New("say what to do: init, save or load")
}

// save makes a snapshot of everything that in has. If in fails, nothing is committed: half a dump is no backup.
func save(ctx context.Context, r *repo.Repository, in io.Reader) (err error) {
	stream := source.NewStream(ctx, in)
	defer func() { err = errors.Join(err, stream.Close()) }()
	m, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream(place, stream)}, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "snapshot %s: %d bytes, %d of them new\n", m.ShortID(), m.Stats.BytesProcessed, m.Stats.BytesAdded)
	return nil
}

// load writes the newest snapshot to out, reading ahead with all processors.
func load(ctx context.Context, r *repo.Repository, out io.Writer) error {
	m, err := snapshot.Find(ctx, r, "latest", &snapshot.Filter{Paths: []string{place}})
	if err != nil {
		return err
	}
	img, err := snapshot.OpenImage(ctx, r, m.ID, place)
	if err != nil {
		return err
	}
	return restore.Dump(ctx, r, img.Node().Content, out, nil)
}

// initRepo makes a repository, and the file with the key that opens it. Keep a copy of that somewhere else.
func initRepo(ctx context.Context, dir, keyFile string) error {
	text, key := crypto.NewKeyFile()
	f, err := os.OpenFile(keyFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	store, err := local.Create(dir, nil)
	if err != nil {
		return err
	}
	r, err := repo.Init(ctx, store, &repo.InitOptions{Sealer: key, Label: "key file"})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	return errors.Join(r.Close(), store.Close())
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
