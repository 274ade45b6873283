//go:build linux

package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testFiles makes a folder like /usr, for speed and so that the test knows its size.
func testFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	rows := newRowMaker(dice(1, "usr"))
	for i := range 450 {
		sub := filepath.Join(dir, []string{"bin", "lib/x", "share/doc", "share/man"}[i%4])
		require.NoError(t, os.MkdirAll(sub, 0o755))
		var data []byte
		for len(data) < 30_000+i*10 {
			data = rows.appendEvent(data, i, 1000)
		}
		require.NoError(t, os.WriteFile(filepath.Join(sub, "f"+itoa(i)), data, 0o755))
	}
	require.NoError(t, os.Symlink("f0", filepath.Join(dir, "bin/link")))
	return dir
}

func TestImagesOfFiles(t *testing.T) {
	t.Parallel()
	if m := missingTools(e2fsTools()...); m != "" {
		t.Skip(m)
	}
	ctx := context.Background()
	b := newTestBuilder(t, config{scale: 128, seed: 3})
	b.files = testFiles(t)
	require.NoError(t, b.buildVM(ctx))
	require.NoError(t, b.buildVM2(ctx))
	again := newTestBuilder(t, config{scale: 128, seed: 3})
	again.files = b.files
	require.NoError(t, again.buildVM(ctx))
	require.NoError(t, again.buildVM2(ctx))
	for _, e := range b.man.Files {
		require.Equal(t, e.BLAKE3, again.mustFind(t, e.Name).BLAKE3, "%s is not the same from the same seed", e.Name)
	}

	day0, day1, vm2 := b.mustFind(t, "vm-day0.img"), b.mustFind(t, "vm-day1.img"), b.mustFind(t, "vm2.img")
	require.EqualValues(t, 32<<20, day0.Size)
	require.Less(t, day0.Allocated, day0.Size*3/4)
	share := float64(day1.ChangedBlocks*blockSize) / float64(day0.Allocated)
	require.InDelta(t, 0.1, share, 0.07, "about a tenth changes in a day")
	require.Greater(t, vm2.ChangedBlocks*blockSize, day0.Allocated/2, "another layout")

	one, err := b.extract(ctx, b.path("vm-day0.img"))
	require.NoError(t, err)
	two, err := b.extract(ctx, b.path("vm2.img"))
	require.NoError(t, err)
	require.Greater(t, len(one.files), 100)
	require.Equal(t, contents(t, one), contents(t, two), "the same files")

	next, err := b.extract(ctx, b.path("vm-day1.img"))
	require.NoError(t, err)
	log, err := os.ReadFile(one.root + logFile)
	require.NoError(t, err)
	rotated, err := os.ReadFile(next.root + logFile + ".1")
	require.NoError(t, err)
	require.Equal(t, string(log), string(rotated))
}

func (b *builder) mustFind(t *testing.T, name string) entry {
	t.Helper()
	e, ok := b.man.find(name)
	require.True(t, ok, name)
	return e
}

// contents maps each name to its content or link target.
func contents(t *testing.T, x extracted) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range x.files {
		if f.target != "" {
			out[f.path] = "-> " + f.target
			continue
		}
		hash, err := hashFile(filepath.Join(x.root, f.path))
		require.NoError(t, err)
		out[f.path] = hash
	}
	return out
}

func TestPickFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 50 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f"+itoa(i)), make([]byte, 1000+i), 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "with space"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "too-big"), make([]byte, 100_000), 0o644))
	require.NoError(t, os.Symlink("f1", filepath.Join(dir, "link")))
	ctx := context.Background()
	first, second, err := pickFiles(ctx, dir, 1, 20*blockSize, 10*blockSize)
	require.NoError(t, err)
	require.Len(t, first, 20)
	require.Len(t, second, 10)
	require.True(t, strings.Compare(first[0].path, first[19].path) < 0)
	seen := map[string]bool{}
	for _, p := range append(append([]picked{}, first...), second...) {
		require.False(t, seen[p.path])
		require.NotContains(t, p.path, " ")
		require.NotContains(t, p.path, "too-big")
		seen[p.path] = true
	}
	again, _, err := pickFiles(ctx, dir, 1, 20*blockSize, 0)
	require.NoError(t, err)
	require.Equal(t, first, again)
	other, _, err := pickFiles(ctx, dir, 2, 20*blockSize, 0)
	require.NoError(t, err)
	require.NotEqual(t, first, other)
}

func TestDeleteSome(t *testing.T) {
	dir := t.TempDir()
	for i := range 500 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f"+itoa(i)), nil, 0o644))
	}
	var w want
	require.NoError(t, deleteSome(dir, 1, &w))
	left := 0
	require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if d.Type().IsRegular() {
			left++
		}
		return err
	}))
	require.InDelta(t, 450, left, 25)
	require.Equal(t, []string{itoa(500-left) + " files deleted"}, w.notes)
}

func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, appendFile(path, logBytes(1, "x", 0, 10_000)))
	require.NoError(t, rotate(path))
	require.NoFileExists(t, path)
	fi, err := os.Stat(path + ".1.gz")
	require.NoError(t, err)
	require.Positive(t, fi.Size())
	require.Less(t, fi.Size(), int64(10_000))
}
