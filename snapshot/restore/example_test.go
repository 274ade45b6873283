package restore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// backUp stores a stream in a new repository in memory.
func backUp(ctx context.Context, path, text string) (*repo.Repository, *snapshot.Manifest, error) {
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(ctx, mem.New(nil), &repo.InitOptions{Sealer: key})
	if err != nil {
		return nil, nil, err
	}
	stream := source.NewStream(ctx, strings.NewReader(text))
	m, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream(path, stream)}, nil)
	return r, m, err
}

func ExampleTree() {
	ctx := context.Background()
	r, m, err := backUp(ctx, "/dumps/db.sql", "select 1;")
	if err != nil {
		log.Fatal(err)
	}
	target, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(target)

	stats, err := restore.Tree(ctx, r, m.Root, target, &restore.TreeOptions{Options: restore.Options{Verify: true}})
	if err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(target, "dumps", "db.sql"))
	fmt.Printf("%d file: %s %v\n", stats.Files, text, err)
	// Output: 1 file: select 1; <nil>
}

func ExampleDump() {
	ctx := context.Background()
	r, m, err := backUp(ctx, "/dumps/db.sql", "select 1;")
	if err != nil {
		log.Fatal(err)
	}
	n, err := tree.Resolve(ctx, r, m.Root, "dumps/db.sql")
	if err != nil {
		log.Fatal(err)
	}
	if err := restore.Dump(ctx, r, n.Content, os.Stdout, nil); err != nil {
		log.Fatal(err)
	}
	// Output: select 1;
}

func ExampleImageFile() {
	ctx := context.Background()
	r, m, err := backUp(ctx, "/disk.img", strings.Repeat("block", 1000))
	if err != nil {
		log.Fatal(err)
	}
	n, err := tree.Resolve(ctx, r, m.Root, "disk.img")
	if err != nil {
		log.Fatal(err)
	}
	target, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(target)

	path := filepath.Join(target, "disk.img")
	for range 2 { // the second time nothing differs
		stats, err := restore.ImageFile(ctx, r, n.Content, path, &restore.ImageOptions{InPlace: true})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d of %d bytes written\n", stats.Written, stats.Bytes)
	}
	// Output:
	// 5000 of 5000 bytes written
	// 0 of 5000 bytes written
}
