// Command serve-disk backs up a disk, a device or an image file, and serves the snapshot over HTTP: clients read any range of it straight
// from the repository, without a restore.
//
//	holdfast init -r /srv/backups --new-key-file /root/holdfast.key
//	serve-disk -repo /srv/backups -key /root/holdfast.key -listen localhost:8080 /var/lib/vms/db.img
//	curl -r 1048576-1052671 http://localhost:8080/ | hexdump -C
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// diskName is where the disk is in its snapshots.
const diskName = "disk.img"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve-disk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("serve-disk", flag.ContinueOnError)
	dir := flags.String("repo", "", "`folder` of the repository")
	keyFile := flags.String("key", "", "`file` with the key to it")
	listen := flags.String("listen", "localhost:8080", "`address` to serve on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("say which disk to back up")
	}
	return withRepo(ctx, *dir, *keyFile, func(r *repo.Repository) error {
		m, err := backup(ctx, r, flags.Arg(0))
		if err != nil {
			return err
		}
		t, err := snapshot.OpenTree(ctx, r, m.ID)
		if err != nil {
			return err
		}
		return serve(ctx, *listen, handler(t), out)
	})
}

// backup makes a snapshot of a disk. OpenDisk refuses one that somebody is writing to.
func backup(ctx context.Context, r *repo.Repository, path string) (m *snapshot.Manifest, err error) {
	disk, err := source.OpenDisk(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	item := snapshot.Disk("/"+diskName, disk, nil, disk.Device())
	return snapshot.Backup(ctx, r, []snapshot.Item{item}, &snapshot.BackupOptions{
		// What cannot be read does not fail the backup: it is reported, and reading it from the snapshot is an error too.
		Report: func(e snapshot.Event) {
			if e.Kind == snapshot.EventError {
				fmt.Fprintln(os.Stderr, "serve-disk:", e.Path, e.Err)
			}
		},
	})
}

// handler serves the disk of a snapshot to any number of clients at once.
func handler(t *snapshot.Tree) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		// What is read for a request ends with it, and not with the program.
		file, err := t.WithContext(req.Context()).FS().Open(diskName)
		if err != nil {
			http.Error(w, "the snapshot cannot be read", http.StatusInternalServerError)
			return
		}
		defer file.Close()
		// A snapshot never changes, so its id tells clients and caches whether two ranges belong together.
		w.Header().Set("ETag", `"`+t.Manifest().ID.String()+`"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		// The file is the Image as an io.ReadSeeker that reads ahead. io.NewSectionReader over the Image works too.
		http.ServeContent(w, req, diskName, t.Manifest().Point, file.(io.ReadSeeker))
	})
}

// serve serves until ctx ends, and then waits a moment for those who are being served.
func serve(ctx context.Context, address string, h http.Handler, out io.Writer) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Fprintf(out, "http://%s/\n", listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
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
