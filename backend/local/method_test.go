package local

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/backendtest"
	"github.com/holdfast-backup/holdfast/internal/fsx"
)

func openMethod(t testing.TB, dir string, m method) *Store {
	t.Helper()
	s, err := Create(dir, nil)
	require.NoError(t, err)
	s.method = m
	return s
}

func TestConformance(t *testing.T) {
	methods := map[string]method{"Link": methodLink, "LockFile": methodLockFile}
	if runtime.GOOS == "linux" || runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		methods["Rename"] = methodRename
	}
	for name, m := range methods {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait for the disk
			backendtest.Run(t, func(t *testing.T) backend.Store { return openMethod(t, t.TempDir(), m) })
		})
	}
}

func TestMethodIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	s := openMethod(t, dir, methodUnknown)
	defer func() { require.NoError(t, s.Close()) }()
	require.Equal(t, backend.PrimitiveAtomic, s.CreateIfAbsent())
	require.Equal(t, methodLink, s.method)
	entries, err := os.ReadDir(filepath.Join(dir, tmpFolder))
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestPrimitives(t *testing.T) {
	for m, want := range map[method]backend.Primitive{
		methodLink: backend.PrimitiveAtomic, methodRename: backend.PrimitiveAtomic, methodLockFile: backend.PrimitiveSingleWriter,
	} {
		s := openMethod(t, t.TempDir(), m)
		require.Equal(t, want, s.CreateIfAbsent())
		require.NoError(t, s.Close())
		require.Equal(t, backend.PrimitiveNone, s.CreateIfAbsent(), "closed")
	}
}

type creation = func(*fsx.Dir, string, *fsx.Dir, string) error

func TestWorks(t *testing.T) {
	broken := fmt.Errorf("input/output error")
	refuses := func(err error) creation { return func(*fsx.Dir, string, *fsx.Dir, string) error { return err } }
	cases := []struct {
		name   string
		create creation
		ok     bool
		err    error
	}{
		{"Link", fsx.Link, true, nil},
		{"Replaces", fsx.Rename, false, nil}, // a file system that ignores "do not replace"
		{"Unsupported", refuses(fmt.Errorf("no: %w", fs.ErrPermission)), false, nil},
		{"Broken", refuses(broken), false, broken},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			d, err := fsx.OpenDir(dir)
			require.NoError(t, err)
			ok, err := works(tc.create, d)
			require.Equal(t, tc.ok, ok)
			require.ErrorIs(t, err, tc.err)
			require.NoError(t, d.Close())
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, entries)
		})
	}
}

// TestCreateAloneWaits lets a Put wait for the lock file that another holds, until its context ends.
func TestCreateAloneWaits(t *testing.T) {
	s := openMethod(t, t.TempDir(), methodLockFile)
	defer func() { require.NoError(t, s.Close()) }()
	lock, err := s.openLock(createLock)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- backend.PutBytes(ctx, s, "a/b", nil, &backend.PutOptions{IfAbsent: true}) }()
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	go func() { result <- backend.PutBytes(t.Context(), s, "a/b", nil, &backend.PutOptions{IfAbsent: true}) }()
	_, err = s.Stat(t.Context(), "a/b")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, lock.Close())
	require.NoError(t, <-result)
}

// TestRepeatedLink imitates a network file system that carries out a link twice and reports the second.
func TestRepeatedLink(t *testing.T) {
	dir := t.TempDir()
	s := openMethod(t, dir, methodLink)
	defer func() { require.NoError(t, s.Close()) }()
	d, err := fsx.OpenDir(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.Close()) }()
	for _, name := range []string{"mine", "other"} {
		f, err := d.Create(name, filePerm)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	require.NoError(t, s.create(t.Context(), d, "mine", d, "final"))
	require.NoError(t, s.create(t.Context(), d, "mine", d, "final"))
	require.ErrorIs(t, s.create(t.Context(), d, "other", d, "final"), fs.ErrExist)
}
