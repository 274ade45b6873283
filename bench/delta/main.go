// Command delta measures backups by change maps: what they cost against what changed, on a disk that is generated as it is read, and so
// may be of any size.
//
//	go run ./bench/delta -dir /var/tmp/delta
//
// It makes a repository in a new folder below -dir, which needs room for 2.5 times -data, and removes it. Each step opens the repository
// by a key file with a warm cache, as a run of the command does; its time includes that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

func main() {
	var b bench
	dir := flag.String("dir", "/var/tmp", "folder for the repository")
	flag.Int64Var(&b.size, "size", 1<<40, "size of the disk in bytes")
	flag.Int64Var(&b.data, "data", 2<<30, "bytes of data on it, in runs of 1 MiB")
	flag.Int64Var(&b.changed, "changed", 1<<30, "bytes of it that change, in whole runs")
	flag.IntVar(&b.scattered, "scattered", 2048, "how many single blocks of 4 KiB change")
	flag.IntVar(&b.mean, "chunk-size", 64<<10, "mean size of chunks in bytes")
	flag.Parse()
	if flag.NArg() > 0 || b.changed > b.data || b.data > b.size || b.data < 1<<20 {
		flag.Usage()
		os.Exit(2)
	}
	if err := b.run(context.Background(), *dir); err != nil {
		fmt.Fprintln(os.Stderr, "delta:", err)
		os.Exit(1)
	}
}

const run = 1 << 20

// bench is one series of measurements.
type bench struct {
	size, data, changed int64
	scattered, mean     int
	root                string
	key                 crypto.Credential
	disk                *disk
	parent              repo.ID
}

func (b *bench) run(ctx context.Context, dir string) (err error) {
	if b.root, err = os.MkdirTemp(dir, "holdfast-delta-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.root)) }()
	if err := b.init(ctx); err != nil {
		return err
	}
	b.disk = newDisk(b.size, b.data, run)
	fmt.Printf("disk of %d GiB with %d MiB of data, chunks of %d KiB\n", b.size>>30, b.data>>20, b.mean>>10)
	fmt.Printf("%-52s %8s %10s %10s %10s %10s\n", "step", "s", "read MB", "data MB", "maps MB", "index MB")
	for _, s := range []struct {
		what string
		item func() (snapshot.Item, error)
	}{
		{"first full", b.full},
		{"unchanged, by an empty map", func() (snapshot.Item, error) { return b.delta(nil) }},
		{"unchanged, by an empty map, again", func() (snapshot.Item, error) { return b.delta(nil) }},
		{"unchanged, a full", b.full},
		{fmt.Sprintf("%d MiB changed in runs of 1 MiB", b.changed>>20), func() (snapshot.Item, error) { return b.delta(b.runs()) }},
		{fmt.Sprintf("%d MiB of new data, a full of another disk", b.changed*13/10>>20), b.another},
		{fmt.Sprintf("%d blocks of 4 KiB changed", b.scattered), func() (snapshot.Item, error) { return b.delta(b.blocks()) }},
		{"unchanged, a full, which must add nothing", b.full},
	} {
		if err := b.step(ctx, s.what, s.item); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

func (b *bench) init(ctx context.Context) error {
	store, err := local.Create(filepath.Join(b.root, "repository"), nil)
	if err != nil {
		return err
	}
	_, key := crypto.NewKeyFile()
	b.key = key
	r, err := repo.Init(ctx, store, &repo.InitOptions{Sealer: key, Config: repo.Config{ChunkMean: b.mean}})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	return errors.Join(r.Close(), store.Close())
}

func (b *bench) full() (snapshot.Item, error) { return snapshot.Disk("/disk", b.disk, nil, true), nil }

// another is a disk with as much new data as should take as long as the changes.
func (b *bench) another() (snapshot.Item, error) {
	n := b.changed * 13 / 10 / run * run
	other := newDisk(2*n, n, run)
	for _, e := range other.data {
		other.write(extent{e.off, e.n})
		other.write(extent{e.off, e.n})
		other.write(extent{e.off, e.n})
	}
	return snapshot.Disk("/other", other, nil, true), nil
}

func (b *bench) delta(changed []extent) (snapshot.Item, error) {
	for _, e := range changed {
		b.disk.write(e)
	}
	m, err := b.disk.changes(changed)
	return snapshot.Disk("/disk", b.disk, nil, true).Since(b.parent, m), err
}

// runs chooses every so many runs of the data.
func (b *bench) runs() []extent {
	var list []extent
	for i := int64(0); i < b.changed/run; i++ {
		list = append(list, b.disk.data[i*(b.data/run)/(b.changed/run)])
	}
	return list
}

// blocks chooses single blocks of the data by chance, always the same ones.
func (b *bench) blocks() []extent {
	rng := rand.New(rand.NewPCG(1, 2))
	var list []extent
	for range b.scattered {
		e := b.disk.data[rng.IntN(len(b.disk.data))]
		list = append(list, extent{e.off + rng.Int64N(e.n/block)*block, block})
	}
	slices.SortFunc(list, func(x, y extent) int { return int((x.off - y.off) / block) })
	return slices.Compact(list)
}

// step makes one backup and prints what it cost.
func (b *bench) step(ctx context.Context, what string, item func() (snapshot.Item, error)) error {
	it, err := item()
	if err != nil {
		return err
	}
	before, err := b.stats(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	m, err := b.backup(ctx, it)
	took := time.Since(start)
	if err != nil {
		return err
	}
	if len(m.Paths) == 1 && m.Paths[0] == "/disk" {
		b.parent = m.ID
	}
	after, err := b.stats(ctx)
	if err != nil {
		return err
	}
	added := func(c repo.Class) float64 { return float64(after.Classes[c].Stored-before.Classes[c].Stored) / 1e6 }
	fmt.Printf("%-52s %8.3f %10.1f %10.2f %10.3f %10.3f\n", what, took.Seconds(), float64(m.Stats.BytesRead)/1e6, added(repo.Data),
		added(repo.Map)+added(repo.Meta), float64(after.IndexBytes-before.IndexBytes)/1e6)
	return nil
}

func (b *bench) open(ctx context.Context) (*repo.Repository, func() error, error) {
	store, err := local.Open(filepath.Join(b.root, "repository"), nil)
	if err != nil {
		return nil, nil, err
	}
	r, err := repo.Open(ctx, store, &repo.Options{Credential: b.key, CacheDir: filepath.Join(b.root, "cache")})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return r, func() error { return errors.Join(r.Close(), store.Close()) }, nil
}

func (b *bench) backup(ctx context.Context, it snapshot.Item) (m *snapshot.Manifest, err error) {
	r, closeRepo, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeRepo()) }()
	var mu sync.Mutex
	var notes []error
	report := func(e snapshot.Event) {
		mu.Lock()
		defer mu.Unlock()
		notes = append(notes, e.Err)
	}
	m, err = snapshot.Backup(ctx, r, []snapshot.Item{it}, &snapshot.BackupOptions{Host: "benchmark", User: "benchmark", Report: report})
	return m, errors.Join(err, errors.Join(notes...))
}

func (b *bench) stats(ctx context.Context) (*repo.Stats, error) {
	r, closeRepo, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	s, err := r.Stats(ctx)
	return s, errors.Join(err, closeRepo())
}
