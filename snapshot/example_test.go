package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// exampleRepo makes a repository in memory; see the examples of package repo.
func exampleRepo(ctx context.Context) (*repo.Repository, error) {
	_, key := crypto.NewKeyFile()
	return repo.Init(ctx, mem.New(nil), &repo.InitOptions{Sealer: key})
}

// Two dumps are backed up, listed, and a piece of the newest is read.
func Example() {
	ctx := context.Background()
	r, err := exampleRepo(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	for day, dump := range []string{"one\n", "one\ntwo\n"} {
		stream := source.NewStream(ctx, strings.NewReader(dump))
		_, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream("/dump.sql", stream)}, &snapshot.BackupOptions{
			Host: "db1", Tags: []string{"nightly"}, Time: time.Date(2026, 5, day+1, 3, 0, 0, 0, time.UTC),
		})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	list, err := snapshot.List(ctx, r, &snapshot.Filter{Hosts: []string{"db1"}})
	if err != nil {
		fmt.Println(err)
	}
	for _, m := range list {
		fmt.Println(m.Time.Format(time.DateOnly), m.Paths, m.Tags, m.Complete)
	}
	img, err := snapshot.OpenImage(ctx, r, list[len(list)-1].ID, "dump.sql")
	if err != nil {
		fmt.Println(err)
		return
	}
	p := make([]byte, 3)
	n, err := img.ReadAt(p, 4)
	fmt.Printf("%q of %d bytes %v\n", p[:n], img.Size(), err)
	// Output:
	// 2026-05-01 [/dump.sql] [nightly] true
	// 2026-05-02 [/dump.sql] [nightly] true
	// "two" of 8 bytes <nil>
}

// A disk of which a dirty bitmap says what changed since the last snapshot: only that is read.
func ExampleItem_Since() {
	ctx := context.Background()
	r, err := exampleRepo(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	img := &memDisk{bytes.NewReader(bytes.Repeat([]byte("block"), 1<<18))}
	first, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Disk("/vm.img", img, nil, true)}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	changes, err := source.ParseChangeMap(strings.NewReader(`[{"offset": 0, "length": 1310720, "type": 0, "description": "clean"}]`))
	if err != nil {
		fmt.Println(err)
		return
	}
	disk := snapshot.Disk("/vm.img", img, nil, true).Since(first.ID, changes)
	m, err := snapshot.Backup(ctx, r, []snapshot.Item{disk}, &snapshot.BackupOptions{Parent: first.ID})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.Stats.BytesRead, m.Stats.BytesRead, m.Deltas[0].Kind, m.Deltas[0].Deltas)
	// Output: 1310720 0 nbd dirty bitmap 1
}

// memDisk is a disk in memory.
type memDisk struct{ *bytes.Reader }

func (d *memDisk) Changed() error { return nil }
func (d *memDisk) Close() error   { return nil }

func (d *memDisk) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) {
		if n = min(n, d.Size()-off); n > 0 {
			yield(source.Extent{Off: off, Len: n, Kind: source.Data}, nil)
		}
	}
}

// A folder and a disk image become one snapshot.
func ExampleBackup() {
	ctx := context.Background()
	r, err := exampleRepo(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	dir, err := exampleFolder()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	disk, err := source.OpenDisk(ctx, filepath.Join(dir, "vm.img"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer disk.Close()
	t, err := source.NewTree(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	items := []snapshot.Item{snapshot.Files(t, filepath.Join(dir, "etc")), snapshot.Disk("/disks/vm", disk, nil, disk.Device())}
	m, err := snapshot.Backup(ctx, r, items, &snapshot.BackupOptions{
		Report: func(e snapshot.Event) {
			if e.Kind == snapshot.EventError {
				fmt.Println(e.Path, e.Err)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Stats.FilesNew, "files,", m.Stats.BytesProcessed, "bytes,", m.Stats.HoleBytes, "of them in holes")
	// Output: 3 files, 1048593 bytes, 1048576 of them in holes
}

// exampleFolder makes a folder with etc/hosts, etc/name and an empty disk.
func exampleFolder() (string, error) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(filepath.Join(dir, "etc"), fstest.MapFS{
		"hosts": {Data: []byte("127.0.0.1 db1")}, "name": {Data: []byte("db1\n")},
	}); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "vm.img"), make([]byte, 1<<20), 0o600)
}

// A disk is read at any place, by any number of goroutines at once.
func ExampleOpenImage() {
	ctx := context.Background()
	r, err := exampleRepo(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	data := append(make([]byte, 1<<20), "the end"...)
	stream := source.NewStream(ctx, bytes.NewReader(data))
	m, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream("/disk", stream)}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	img, err := snapshot.OpenImage(ctx, r, m.ID, "disk")
	if err != nil {
		fmt.Println(err)
		return
	}
	tail, err := io.ReadAll(io.NewSectionReader(img, 1<<20, img.Size()))
	fmt.Printf("%s %v\n", tail, err)
	// Output: the end <nil>
}

// The newest snapshot of a host is looked for.
func ExampleFind() {
	ctx := context.Background()
	r, err := exampleRepo(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	stream := source.NewStream(ctx, strings.NewReader("x"))
	if _, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream("/x", stream)}, &snapshot.BackupOptions{Host: "db1"}); err != nil {
		fmt.Println(err)
		return
	}
	m, err := snapshot.Find(ctx, r, "latest", &snapshot.Filter{Hosts: []string{"db1"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Host, m.Paths)
	_, err = snapshot.Find(ctx, r, "latest", &snapshot.Filter{Hosts: []string{"db2"}})
	fmt.Println(err)
	// Output:
	// db1 [/x]
	// snapshot latest: not in the repository: 0 snapshots match
}

// A snapshot is read by whatever takes an fs.FS.
func ExampleTree_FS() {
	ctx := context.Background()
	r, err := exampleRepo(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	stream := source.NewStream(ctx, strings.NewReader("create table\n"))
	m, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream("/dumps/caf\xe9.sql", stream)}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := snapshot.OpenTree(ctx, r, m.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = fs.WalkDir(t.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		fmt.Println(path, d.IsDir())
		return err
	})
	fmt.Println(err)
	b, err := fs.ReadFile(t.FS(), "dumps/caf%{E9}.sql")
	fmt.Printf("%q %v\n", b, err)
	// Output:
	// . true
	// dumps true
	// dumps/caf%{E9}.sql false
	// <nil>
	// "create table\n" <nil>
}
