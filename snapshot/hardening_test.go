package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// TestCutStreamIsNoSuccess: a stream that ends with io.ErrUnexpectedEOF, as a cut connection does, is not complete.
func TestCutStreamIsNoSuccess(t *testing.T) {
	r := newRepo(t)
	body := io.MultiReader(strings.NewReader("half of it"), failing{io.ErrUnexpectedEOF})
	_, err := snapshot.Backup(t.Context(), r, []snapshot.Item{snapshot.Stream("/dump", source.NewStream(t.Context(), body))}, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// TestSourcesInsideOthers: a source inside another one is in the snapshot, also when the other's filter leaves it out.
func TestSourcesInsideOthers(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	for _, name := range []string{"a", "left-out/keep/x", "left-out/other", "z"} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	f, err := source.NewFilter(&source.FilterOptions{Exclude: []string{"left-out"}})
	require.NoError(t, err)
	tr, err := source.NewTree(&source.TreeOptions{Filter: f})
	require.NoError(t, err)
	stream := snapshot.Stream(filepath.Join(dir, "dump"), source.NewStream(t.Context(), strings.NewReader("sql")))
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{snapshot.Files(tr, dir), files(t, filepath.Join(dir, "left-out/keep")), stream}, nil)
	require.NoError(t, err)
	require.True(t, m.Complete)
	for _, name := range []string{"a", "left-out/keep/x", "z"} {
		require.Equal(t, name, string(read(t, r, m, filepath.Join(dir, name))))
	}
	require.Equal(t, "sql", string(read(t, r, m, filepath.Join(dir, "dump"))))
	_, err = snapshot.OpenImage(t.Context(), r, m.ID, filepath.Join(dir, "left-out/other"))
	require.ErrorIs(t, err, os.ErrNotExist)

	for _, items := range [][]snapshot.Item{
		{snapshot.Stream("/", nil)},
		{snapshot.Stream("/a", nil), snapshot.Stream("/a/b", nil)},
		{snapshot.Stream("/a/b", nil), snapshot.Stream("/a", nil)},
		{snapshot.Stream("relative", nil)},
	} {
		_, err := snapshot.Backup(t.Context(), r, items, nil)
		require.Error(t, err)
	}
}

// TestWriterWithoutItsState: a writer that lost its cache, or cannot read what another of its kind stored, reads the files again.
func TestWriterWithoutItsState(t *testing.T) {
	_, admin := crypto.NewKeyFile()
	_, key := crypto.NewKeyFile()
	store := mem.New(nil)
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: admin})
	require.NoError(t, err)
	_, err = r.AddKey(t.Context(), crypto.Writer, "w", key)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	dir, cache := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "sub/x"), []byte("x"))
	for i := range 5 {
		if i == 1 {
			cache = t.TempDir()
		}
		write(t, filepath.Join(dir, "y"), fmt.Appendf(nil, "y%d", i))
		w, err := repo.Open(t.Context(), store, &repo.Options{Credential: key, CacheDir: cache})
		require.NoError(t, err)
		_, err = snapshot.Backup(t.Context(), w, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{Force: i == 4})
		require.NoError(t, err, "run %d", i)
		require.NoError(t, w.Close())
	}
}

// TestDamagedParent: a parent that cannot be read whole does not keep the next backup from being made.
func TestDamagedParent(t *testing.T) {
	store := mem.New(nil)
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sub/x"), []byte("x"))
	_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	old := map[string]bool{}
	for info, err := range store.List(t.Context(), "packs/") {
		require.NoError(t, err)
		old[info.Key] = true
	}
	write(t, filepath.Join(dir, "z"), []byte("z"))
	_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	for key := range old {
		require.NoError(t, store.Delete(t.Context(), key))
	}
	for _, force := range []bool{false, true} {
		r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key})
		require.NoError(t, err)
		_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{Force: force})
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
}

// TestWhatCannotBeListedIsRefused before anything is stored.
func TestWhatCannotBeListedIsRefused(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), []byte("x"))
	_, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{Tags: []string{strings.Repeat("t", 5000)}})
	require.ErrorContains(t, err, "tags")
	_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{Chunker: 9})
	require.Error(t, err)
	_, err = snapshot.Backup(t.Context(), r, nil, nil)
	require.ErrorIs(t, err, snapshot.ErrNothing)
}

// TestLargeNodes: many long names and symlinks make directory nodes larger than the smallest segment.
func TestLargeNodes(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	for i := range 60 {
		require.NoError(t, os.Symlink(strings.Repeat("long/", 700), filepath.Join(dir, fmt.Sprintf("%s%02d", strings.Repeat("n", 200), i))))
	}
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	require.True(t, m.Complete)
}

// TestFailingStoreInterruptsWaiting: a backup whose repository fails does not wait for a stream that delivers nothing.
func TestFailingStoreInterruptsWaiting(t *testing.T) {
	r := newRepo(t)
	pr, pw := io.Pipe()
	defer pw.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = pw.Write(make([]byte, 100))
		cancel()
	}()
	s := &closing{Reader: pr, close: pr.Close}
	_, err := snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream("/s", s)}, nil)
	require.ErrorIs(t, err, context.Canceled)
}

type closing struct {
	io.Reader
	close func() error
}

func (c *closing) Close() error { return c.close() }

// TestFullStore: a store that runs full in the middle ends the backup with its error, whatever is under way.
func TestFullStore(t *testing.T) {
	_, key := crypto.NewKeyFile()
	full := errors.New("no space left")
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(8, 8))
	for i := range 30 {
		write(t, filepath.Join(dir, fmt.Sprintf("%02d/%d", i%5, i)), random(rng, 300<<10))
	}
	for n := range 12 {
		store := mem.New(nil)
		r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
		require.NoError(t, err)
		require.NoError(t, r.Close())
		faulty, err := fault.New(store, nil)
		require.NoError(t, err)
		r, err = repo.Open(t.Context(), faulty, &repo.Options{Credential: key})
		require.NoError(t, err)
		require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{backend.OpPut}, After: n, Kind: fault.Before, Err: full}))
		_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
		require.ErrorIs(t, err, full, "after %d writes", n)
	}
}
