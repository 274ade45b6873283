package snapshot_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// way is one of the ways to do the same: none may make a difference to what comes out.
type way struct {
	config      repo.Config
	chunker     chunk.Kind
	compression pack.Level
	cache       string // "none", "warm", or "lost" before each operation
	crashes     bool   // operations are killed at some call to the store, and done again
}

var ways = map[string]way{
	"plain":   {repo.Config{ChunkMean: 16 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20}, 0, pack.Fastest, "warm", false},
	"small":   {repo.Config{ChunkMean: 4 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20, Suite: crypto.XChaCha20Poly1305}, chunk.Gear, pack.LevelS2, "none", false},
	"rabin":   {repo.Config{ChunkMean: 64 << 10, SegmentSize: 256 << 10, PackSize: 2 << 20}, chunk.Rabin, pack.Default, "lost", false},
	"crashes": {repo.Config{ChunkMean: 8 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20}, chunk.Fixed, pack.Off, "warm", true},
	"parity":  {repo.Config{ChunkMean: 16 << 10, SegmentSize: 128 << 10, PackSize: 1 << 20, Parity: 20}, chunk.Aligned, pack.Best, "lost", true},
}

// TestMetamorphic does the same random operations in several ways, and compares everything that can be read with what was backed up. METAMORPHIC is how many
// seeds are run.
func TestMetamorphic(t *testing.T) {
	seeds, err := strconv.Atoi(os.Getenv("METAMORPHIC"))
	if err != nil {
		seeds = 1
	}
	first := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("HOLDFAST_TEST_SEED"), 10, 64); err == nil {
		first = s
	}
	for seed := range uint64(seeds) {
		for name, w := range ways {
			t.Run(name, func(t *testing.T) {
				t.Logf("HOLDFAST_TEST_SEED=%d", first+seed)
				newTwin(t, w, first+seed).run(30)
			})
		}
	}
}

// contents are files by their names.
type contents map[string][]byte

// twin is a repository and what it should hold.
type twin struct {
	*testing.T
	way
	rng    *rand.Rand // the same in all ways
	chance *rand.Rand // of crashes
	store  *mem.Store
	key    *crypto.KeyFile
	cached string
	dir    string
	files  contents
	live   map[int64]contents // snapshots by their times
	n      int
}

func newTwin(t *testing.T, w way, seed uint64) *twin {
	_, key := crypto.NewKeyFile()
	c := &twin{
		T: t, way: w, rng: rand.New(rand.NewPCG(seed, 1)), chance: rand.New(rand.NewPCG(seed, 2)), store: mem.New(nil), key: key,
		cached: t.TempDir(), dir: t.TempDir(), files: contents{}, live: map[int64]contents{},
	}
	r, err := repo.Init(t.Context(), c.store, &repo.InitOptions{Config: w.config, Sealer: key})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return c
}

func (c *twin) run(steps int) {
	for c.n = range steps {
		switch k := c.rng.IntN(10); {
		case k < 3 || len(c.live) == 0:
			c.edit()
			c.backup()
		case k < 5:
			c.forget()
		case k < 7:
			c.collect()
		case k < 8:
			c.rewrite()
		default:
			c.verify(false)
		}
	}
	c.verify(true)
}

// open opens the repository for one operation; kill lets so many calls through to the store, all if it is negative.
func (c *twin) open(kill int) *repo.Repository {
	o := &repo.Options{Credential: c.key}
	switch c.cache {
	case "lost":
		require.NoError(c, os.RemoveAll(c.cached))
		o.CacheDir = c.cached
	case "warm":
		o.CacheDir = c.cached
	}
	faulty, err := fault.New(c.store, nil)
	require.NoError(c, err)
	r, err := repo.Open(c.Context(), faulty, o)
	require.NoError(c, err)
	faulty.KillAfter(kill)
	return r
}

// do does an operation, in some ways after it was killed in the middle. done reports whether it had come to its end then.
func (c *twin) do(op func(*repo.Repository) error, done func(*repo.Repository) bool) {
	if c.crashes && c.chance.IntN(2) == 0 {
		r := c.open(c.chance.IntN(30))
		failed := op(r) != nil
		_ = r.Close()
		c.store = c.store.Crash()
		if !failed {
			return
		}
		r = c.open(-1)
		defer func() { require.NoError(c, r.Close()) }()
		if done(r) {
			return
		}
		require.NoError(c, op(r))
		return
	}
	r := c.open(-1)
	require.NoError(c, op(r))
	require.NoError(c, r.Close())
}

// edit changes some files.
func (c *twin) edit() {
	for range 1 + c.rng.IntN(4) {
		name := fmt.Sprintf("d%d/f%d", c.rng.IntN(3), c.rng.IntN(4))
		b := bytes.Clone(c.files[name])
		switch c.rng.IntN(6) {
		case 0:
			b = nil
		case 1:
			delete(c.files, name)
			_ = os.Remove(filepath.Join(c.dir, name))
			continue
		case 2:
			b = append(b, make([]byte, c.rng.IntN(200<<10))...)
		case 3:
			at := c.rng.IntN(len(b) + 1)
			b = slices.Insert(b, at, random(c.rng, c.rng.IntN(1000))...)
		default:
			b = append(b, random(c.rng, c.rng.IntN(200<<10))...)
		}
		c.files[name] = b
		write(c, filepath.Join(c.dir, name), b)
	}
}

func (c *twin) backup() {
	at := time.Unix(1_700_000_000+int64(c.n)*3600, 0)
	c.do(func(r *repo.Repository) error {
		_, err := snapshot.Backup(c.Context(), r, []snapshot.Item{files(c, c.dir)}, &snapshot.BackupOptions{
			Host: "twin", Time: at, Chunker: c.chunker, Compression: c.compression, Force: true,
		})
		return err
	}, func(r *repo.Repository) bool { return len(c.at(r, at.Unix())) > 0 })
	c.live[at.Unix()] = maps.Clone(c.files)
}

// at returns the snapshots of a time.
func (c *twin) at(r *repo.Repository, at int64) (found []*snapshot.Manifest) {
	list, err := snapshot.List(c.Context(), r, nil)
	require.NoError(c, err)
	for _, m := range list {
		if m.Time.Unix() == at {
			found = append(found, m)
		}
	}
	return found
}

// some returns the time of one of the snapshots.
func (c *twin) some() int64 {
	times := slices.Sorted(maps.Keys(c.live))
	return times[c.rng.IntN(len(times))]
}

func (c *twin) forget() {
	at := c.some()
	c.do(func(r *repo.Repository) error { return r.Forget(c.Context(), []repo.ID{c.at(r, at)[0].ID}, "") },
		func(r *repo.Repository) bool { return len(c.at(r, at)) == 0 })
	delete(c.live, at)
}

func (c *twin) collect() {
	o := &repo.CollectOptions{}
	if c.rng.IntN(2) == 0 {
		o.MaxUnused = &repo.Limit{}
	}
	c.do(func(r *repo.Repository) error {
		_, err := r.Collect(c.Context(), o)
		return err
	}, func(*repo.Repository) bool { return false })
}

// rewrite leaves a file out of a snapshot.
func (c *twin) rewrite() {
	at := c.some()
	names := slices.Sorted(maps.Keys(c.live[at]))
	if len(names) < 2 {
		return
	}
	gone := names[c.rng.IntN(len(names))]
	filter, err := source.NewFilter(&source.FilterOptions{Exclude: []string{filepath.Join(c.dir, gone)}})
	require.NoError(c, err)
	r := c.open(-1)
	old := c.at(r, at)[0]
	made, err := snapshot.Rewrite(c.Context(), r, old, &snapshot.RewriteOptions{Filter: filter})
	require.NoError(c, err)
	require.NotNil(c, made)
	require.NoError(c, r.Forget(c.Context(), []repo.ID{old.ID}, ""))
	require.NoError(c, r.Close())
	c.live[at] = maps.Clone(c.live[at])
	delete(c.live[at], gone)
}

// verify compares one snapshot, or all and every byte stored.
func (c *twin) verify(all bool) {
	r := c.open(-1)
	list, err := snapshot.List(c.Context(), r, nil)
	require.NoError(c, err)
	require.Len(c, list, len(c.live))
	if all {
		report, err := r.Check(c.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
		require.NoError(c, err)
		require.Empty(c, report.Errors)
	}
	if len(c.live) == 0 {
		require.NoError(c, r.Close())
		return
	}
	only := c.some()
	for _, m := range list {
		if !all && m.Time.Unix() != only {
			continue
		}
		require.True(c, m.Complete)
		c.compare(r, m)
	}
	require.NoError(c, r.Close())
}

func (c *twin) compare(r *repo.Repository, m *snapshot.Manifest) {
	want := c.live[m.Time.Unix()]
	tree, err := snapshot.OpenTree(c.Context(), r, m.ID)
	require.NoError(c, err)
	found := 0
	root := strings.TrimPrefix(filepath.ToSlash(c.dir), "/")
	require.NoError(c, fs.WalkDir(tree.FS(), root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(tree.FS(), path)
		require.NoError(c, err)
		name := strings.TrimPrefix(path, root+"/")
		require.Contains(c, want, name)
		require.True(c, bytes.Equal(want[name], b), "%s of %v", name, m.Time)
		found++
		return nil
	}))
	require.Equal(c, len(want), found)
}
