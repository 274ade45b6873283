//go:build unix

package local_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/local"
)

func TestPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x", "store")
	s := create(t, dir)
	put(t, s, "a/b/c", "1")
	require.NoError(t, backend.PutBytes(t.Context(), s, "a/b/d", nil, &backend.PutOptions{IfAbsent: true}))
	lock, err := s.TryLock(t.Context(), "l/m")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	require.NoError(t, filepath.WalkDir(filepath.Dir(dir), func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		require.Equal(t, want, info.Mode().Perm(), path)
		return nil
	}))
}

func TestSymbolicLinks(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	real := t.TempDir()
	dir := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(real, dir))
	s := create(t, dir)
	put(t, s, "packs/a", "1")
	requireValue(t, s, "packs/a", "1")
	require.FileExists(t, filepath.Join(real, "packs", "a"))

	require.NoError(t, os.Symlink(secret, filepath.Join(real, "packs", "leak")))
	require.NoError(t, os.Symlink(outside, filepath.Join(real, "out")))
	require.Equal(t, []string{"packs/a"}, keys(t, s))
	for _, key := range []string{"packs/leak", "out/secret"} {
		_, err := s.Get(t.Context(), key, 0, -1)
		require.Error(t, err)
		_, err = s.Stat(t.Context(), key)
		require.Error(t, err)
		require.Error(t, s.Delete(t.Context(), key))
	}
	for _, opts := range []*backend.PutOptions{nil, {IfAbsent: true}} {
		require.Error(t, backend.PutBytes(t.Context(), s, "out/new", nil, opts))
	}
	require.NoFileExists(t, filepath.Join(outside, "new"))
	require.FileExists(t, secret)
}

func TestPipeIsNoObject(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	put(t, s, "a", "1")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	_, err := s.Get(t.Context(), "pipe", 0, -1)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = s.Stat(t.Context(), "pipe")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, s.Delete(t.Context(), "pipe"), fs.ErrNotExist)
	require.ErrorIs(t, backend.PutBytes(t.Context(), s, "pipe", nil, &backend.PutOptions{IfAbsent: true}), backend.ErrConflict)
	require.Equal(t, []string{"a"}, keys(t, s))
}

func TestRefusedPermission(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	put(t, s, "a/readable", "1")
	put(t, s, "a/unreadable", "2")
	require.NoError(t, os.Chmod(filepath.Join(dir, "a", "readable"), 0o444))
	require.NoError(t, os.Chmod(filepath.Join(dir, "a", "unreadable"), 0))
	closed := filepath.Join(dir, "closed")
	require.NoError(t, os.Mkdir(closed, 0))
	for _, d := range []string{dir, filepath.Join(dir, "a"), filepath.Join(dir, "tmp")} {
		require.NoError(t, os.Chmod(d, 0o555))
		defer func() { require.NoError(t, os.Chmod(d, 0o755)) }()
	}
	defer func() { require.NoError(t, os.Chmod(closed, 0o755)) }()

	unprivileged(t, func() {
		requireValue(t, s, "a/readable", "1")
		_, err := s.Get(t.Context(), "a/unreadable", 0, -1)
		requireRefused(t, err, "a/unreadable", dir)
		info, err := s.Stat(t.Context(), "a/unreadable")
		require.NoError(t, err)
		require.EqualValues(t, 1, info.Size)
		requireRefused(t, s.Delete(t.Context(), "a/readable"), "a/readable", dir)
		for _, opts := range []*backend.PutOptions{nil, {IfAbsent: true}} {
			requireRefused(t, backend.PutBytes(t.Context(), s, "a/new", nil, opts), "a/new", dir)
		}
		require.Equal(t, backend.PrimitiveNone, s.CreateIfAbsent())
		_, err = s.TryLock(t.Context(), "l")
		requireRefused(t, err, "l", dir)
		_, err = s.Stat(t.Context(), "closed/x")
		requireRefused(t, err, "closed/x", dir)
		var last error
		for _, last = range s.List(t.Context(), "closed/") {
			require.Error(t, last)
		}
		requireRefused(t, last, "closed/", dir)
	})
	requireEmptyFolder(t, filepath.Join(dir, "tmp"))
}

func requireRefused(t *testing.T, err error, key, dir string) {
	t.Helper()
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorIs(t, err, syscall.EACCES)
	require.True(t, backend.IsPermanent(err))
	require.ErrorContains(t, err, key)
	require.ErrorContains(t, err, dir)
}

// TestOpenWithoutPermission opens a folder for writing that may only be read, which is no error until it is written.
func TestOpenWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	put(t, create(t, dir), "a", "1")
	old := filepath.Join(dir, "tmp", "old")
	require.NoError(t, os.WriteFile(old, nil, 0o600))
	makeOld(t, old)
	require.NoError(t, os.Chmod(filepath.Join(dir, "a"), 0o444))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	for _, d := range []string{dir, filepath.Join(dir, "tmp")} {
		require.NoError(t, os.Chmod(d, 0o555))
		defer func() { require.NoError(t, os.Chmod(d, 0o755)) }()
	}
	unprivileged(t, func() {
		s, err := local.Open(dir, nil)
		require.NoError(t, err)
		requireValue(t, s, "a", "1")
		require.Equal(t, []string{"a"}, keys(t, s))
		requireRefused(t, backend.PutBytes(t.Context(), s, "b", nil, nil), "b", dir)
		require.NoError(t, s.Close())
	})
	require.FileExists(t, old)
}
