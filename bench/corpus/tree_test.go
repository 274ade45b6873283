//go:build linux

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func buildTestTree(t *testing.T, seed uint64) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tree")
	notes, err := makeTree(context.Background(), root, seed, 100)
	require.NoError(t, err)
	for _, n := range notes {
		t.Log(n)
	}
	return root
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(path, &st))
	return st
}

func TestTreeHasItsOddities(t *testing.T) {
	t.Parallel()
	root := buildTestTree(t, 1)
	at := func(rel string) string { return filepath.Join(root, rel) }

	require.Equal(t, stat(t, at("links/a/original")).Ino, stat(t, at("links/b/other-folder")).Ino)
	require.EqualValues(t, 103, stat(t, at("links/a/original")).Nlink)
	target, err := os.Readlink(at("symlinks/dangling"))
	require.NoError(t, err)
	require.Equal(t, "no/such/file", target)
	hole := stat(t, at("sparse/all-hole"))
	require.EqualValues(t, 16<<20, hole.Size)
	require.Zero(t, hole.Blocks)
	require.EqualValues(t, unix.S_IFIFO, stat(t, at("special/fifo")).Mode&unix.S_IFMT)
	require.EqualValues(t, unix.S_IFSOCK, stat(t, at("special/socket")).Mode&unix.S_IFMT)
	require.EqualValues(t, 0o4755, stat(t, at("modes/setuid")).Mode&0o7777)
	require.EqualValues(t, 0o1777, stat(t, at("modes/sticky-folder")).Mode&0o7777)
	old := stat(t, at("times/before-1970"))
	require.EqualValues(t, -86_401, old.Mtim.Sec)
	require.EqualValues(t, 123_456_789, old.Mtim.Nsec)
	data, err := os.ReadFile(at("names/bad\xff\xfename"))
	require.NoError(t, err)
	require.Equal(t, "bad\xff\xfename", string(data))
	require.Zero(t, stat(t, at("sizes/0.bin")).Size)
	small, err := filepath.Glob(at("small/*/*"))
	require.NoError(t, err)
	require.Len(t, small, 100)
	if os.Geteuid() == 0 {
		require.EqualValues(t, 54321, stat(t, at("owners/unknown")).Uid)
	}
}

func TestTreeIsTheSameFromTheSameSeed(t *testing.T) {
	t.Parallel()
	one, err := digestTree(buildTestTree(t, 7))
	require.NoError(t, err)
	two, err := digestTree(buildTestTree(t, 7))
	require.NoError(t, err)
	require.Equal(t, one.blake3, two.blake3)
	require.Equal(t, one.entries, two.entries)
	other, err := digestTree(buildTestTree(t, 8))
	require.NoError(t, err)
	require.NotEqual(t, one.blake3, other.blake3)
}

func TestDigestSeesEachKindOfChange(t *testing.T) {
	t.Parallel()
	root := buildTestTree(t, 3)
	path := filepath.Join(root, "sizes/4096.bin")
	before, err := digestTree(root)
	require.NoError(t, err)
	last := before.blake3
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"content", func() error { return os.WriteFile(path, make([]byte, 4096), 0o644) }},
		{"mode", func() error { return os.Chmod(path, 0o600) }},
		{"time", func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{}, {Nsec: 5}}, 0) }},
		{"link", func() error { return os.Link(path, path+"2") }},
		{"name", func() error { return os.Rename(path+"2", path+"3") }},
	} {
		require.NoError(t, change.do(), change.name)
		now, err := digestTree(root)
		require.NoError(t, err)
		require.NotEqual(t, last, now.blake3, change.name)
		last = now.blake3
	}
}

func TestCopyShuffledCopiesEverything(t *testing.T) {
	t.Parallel()
	src := buildTestTree(t, 5)
	if os.Geteuid() != 0 {
		t.Log("not root: the tree has no devices or foreign owners")
	}
	dst := t.TempDir()
	require.NoError(t, copyShuffled(context.Background(), src, dst, 9))
	want, err := digestTree(src)
	require.NoError(t, err)
	got, err := digestTree(dst)
	require.NoError(t, err)
	require.Equal(t, want.blake3, got.blake3)
	require.Equal(t, want.size, got.size)
	require.InEpsilon(t, want.allocated, got.allocated, 0.05, "holes are kept")
}

func TestCopyShuffledStopsWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, copyShuffled(ctx, t.TempDir(), t.TempDir(), 1), context.Canceled)
}

func TestShuffleDependsOnSeedAndNamesOnly(t *testing.T) {
	t.Parallel()
	var names []string
	require.NoError(t, filepath.WalkDir(buildTestTree(t, 2), func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	one, two, other := append([]string(nil), names...), append([]string(nil), names...), append([]string(nil), names...)
	sort.Sort(sort.Reverse(sort.StringSlice(two)))
	shuffle(one, 1)
	shuffle(two, 1)
	shuffle(other, 2)
	require.Equal(t, one, two)
	require.NotEqual(t, one, other)
	require.NotEqual(t, names, one)
	require.ElementsMatch(t, names, one)
}

func TestSoftKeepsRealErrors(t *testing.T) {
	m := &treeMaker{}
	require.NoError(t, m.soft(nil, "x"))
	require.NoError(t, m.soft(unix.EPERM, "x"))
	require.NoError(t, m.soft(unix.ENOTSUP, "y"))
	require.Len(t, m.notes, 2)
	require.True(t, strings.HasPrefix(m.notes[0], "left out x"))
	require.ErrorIs(t, m.soft(unix.ENOSPC, "z"), unix.ENOSPC)
	require.Error(t, m.soft(errors.New("other"), "z"))
}
