//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
)

func newTestBuilder(t *testing.T, cfg config) *builder {
	t.Helper()
	if cfg.out == "" {
		cfg.out = filepath.Join(t.TempDir(), "corpus")
	}
	cfg.scale = max(1, cfg.scale)
	var messages bytes.Buffer
	b, err := newBuilder(cfg, &messages)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.undo.runAll()) })
	return b
}

func TestManifestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.json")
	m, err := loadManifest(path)
	require.NoError(t, err)
	require.Empty(t, m.Files)
	m.put(entry{Name: "a", Size: 1})
	m.put(entry{Name: "b", Size: 2, Notes: []string{"n"}})
	m.put(entry{Name: "a", Size: 3})
	require.NoError(t, m.save())

	again, err := loadManifest(path)
	require.NoError(t, err)
	require.Equal(t, m, again)
	e, ok := again.find("a")
	require.True(t, ok)
	require.EqualValues(t, 3, e.Size)
	_, ok = again.find("c")
	require.False(t, ok)
}

func TestManifestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.json")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o644))
	_, err := loadManifest(path)
	require.ErrorContains(t, err, path)
}

func TestMeasureSparseFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, writeSparse(path, 10<<20, func(f *os.File) error {
		_, err := f.WriteAt(bytes.Repeat([]byte{7}, 8192), 1<<20)
		return err
	}))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var e entry
	require.NoError(t, e.measure(path))
	sum := blake3.Sum256(data)
	require.EqualValues(t, 10<<20, e.Size)
	require.Less(t, e.Allocated, int64(1<<20))
	require.Equal(t, hexOf(sum[:]), e.BLAKE3)
}

func TestChangedBlocks(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	data := make([]byte, 3<<20)
	require.NoError(t, os.WriteFile(a, data, 0o644))
	for _, at := range []int{0, 1, 4096, 1<<20 - 1, 1 << 20, 3<<20 - 1} {
		data[at] = 1
	}
	require.NoError(t, os.WriteFile(b, data, 0o644))
	n, err := changedBlocks(a, b)
	require.NoError(t, err)
	require.EqualValues(t, 5, n)

	require.NoError(t, os.WriteFile(b, make([]byte, 3<<20+5000), 0o644))
	n, err = changedBlocks(a, b)
	require.NoError(t, err)
	require.EqualValues(t, 2, n, "blocks that only one file has count")
}

func TestKept(t *testing.T) {
	b := newTestBuilder(t, config{seed: 1})
	w := b.want("rand", "f", "m")
	w.fallback = true
	make1 := func(content string) {
		tmp := b.temp("f")
		require.NoError(t, os.WriteFile(tmp, []byte(content), 0o644))
		require.NoError(t, b.finish(w, tmp, time.Now()))
	}
	check := func(want bool, w want) {
		t.Helper()
		ok, err := b.kept(w)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	check(false, w)
	make1("hello")
	check(true, w)

	better := w
	better.fallback = false
	check(false, better)

	seed2 := newTestBuilder(t, config{seed: 2}).want("rand", "f", "m")
	check(false, seed2)

	require.NoError(t, os.Chtimes(b.path("f"), time.Unix(1, 0), time.Unix(1, 0)))
	check(true, w)
	require.NoError(t, os.WriteFile(b.path("f"), []byte("hellO"), 0o644))
	check(false, w)
	require.NoError(t, os.WriteFile(b.path("f"), []byte("longer"), 0o644))
	check(false, w)
	require.NoError(t, os.Remove(b.path("f")))
	check(false, w)

	make1("again")
	b.cfg.force = true
	check(false, w)
}

func TestKeptVerifyReadsContent(t *testing.T) {
	b := newTestBuilder(t, config{seed: 1})
	w := b.want("rand", "f", "m")
	require.NoError(t, os.WriteFile(b.temp("f"), []byte("hello"), 0o644))
	require.NoError(t, b.finish(w, b.temp("f"), time.Now()))
	e, _ := b.man.find("f")
	require.NoError(t, os.WriteFile(b.path("f"), []byte("hellO"), 0o644))
	when := time.Unix(0, e.ModTimeNS)
	require.NoError(t, os.Chtimes(b.path("f"), when, when))
	ok, err := b.kept(w)
	require.NoError(t, err)
	require.True(t, ok, "same size and time are trusted")
	b.cfg.verify = true
	ok, err = b.kept(w)
	require.NoError(t, err)
	require.False(t, ok)
}

func TestKeptFollowsBase(t *testing.T) {
	b := newTestBuilder(t, config{seed: 1})
	base, w := b.want("vm", "base", "m"), b.want("vm", "next", "m")
	w.base = "base"
	put := func(w want, content string) {
		require.NoError(t, os.WriteFile(b.temp(w.name), []byte(content), 0o644))
		require.NoError(t, b.finish(w, b.temp(w.name), time.Now()))
	}
	put(base, "one")
	put(w, "two")
	e, _ := b.man.find("next")
	require.EqualValues(t, 1, e.ChangedBlocks)
	ok, err := b.kept(w)
	require.NoError(t, err)
	require.True(t, ok)
	put(base, "other")
	ok, err = b.kept(w)
	require.NoError(t, err)
	require.False(t, ok, "made from a base that is no more")
}

func TestFolderIsLocked(t *testing.T) {
	b := newTestBuilder(t, config{})
	_, err := newBuilder(b.cfg, &bytes.Buffer{})
	require.ErrorContains(t, err, "another run")
}
