// Command profile makes the profile by which the command is built (cmd/holdfast/default.pgo): it backs up a disk into a new repository, in full and once more, checks every byte, and restores it.
//
//	go run ./bench/profile -out cmd/holdfast/default.pgo DISK
//
// The compiler inlines by it, and aligns the loops that it finds hot. Without it the speed of the codecs' loops depends on where the linker happens to put them: by up to a
// seventh of a whole backup from one commit to the next.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

func main() {
	out := flag.String("out", "default.pgo", "the profile")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: profile -out FILE DISK")
		os.Exit(2)
	}
	if err := run(context.Background(), *out, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "profile:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, disk string) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(disk), "holdfast-profile-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	store, err := local.Create(filepath.Join(dir, "repo"), nil)
	if err != nil {
		return err
	}
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(ctx, store, &repo.InitOptions{Options: repo.Options{Credential: key}, Sealer: key})
	if err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	err = work(ctx, r, disk, filepath.Join(dir, "back"))
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close(), r.Close(), store.Close())
}

func work(ctx context.Context, r *repo.Repository, disk, target string) error {
	var last *snapshot.Manifest
	for range 2 {
		d, err := source.OpenDisk(ctx, disk, nil)
		if err != nil {
			return err
		}
		last, err = snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Disk("/disk", d, nil, true)}, &snapshot.BackupOptions{Force: true})
		if err = errors.Join(err, d.Close()); err != nil {
			return err
		}
	}
	report, err := r.Check(ctx, &repo.CheckOptions{ReadData: repo.ReadAll()})
	if err == nil {
		err = errors.Join(report.Errors...)
	}
	if err != nil {
		return err
	}
	image, err := snapshot.OpenImage(ctx, r, last.ID, "/disk")
	if err != nil {
		return err
	}
	_, err = restore.ImageFile(ctx, r, image.Node().Content, target, nil)
	return err
}
