package fsx_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/fsx"
)

func openDir(t *testing.T, path string) *fsx.Dir {
	t.Helper()
	d, err := fsx.OpenDir(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() }) // some tests close it before
	return d
}

func create(t *testing.T, d *fsx.Dir, name, content string) {
	t.Helper()
	f, err := d.Create(name, 0o600)
	require.NoError(t, err)
	_, err = f.WriteString(content)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func requireContent(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(b))
}

func TestMkdirAll(t *testing.T) {
	base := t.TempDir()
	path := filepath.Join(base, "a", "b", "c")
	require.NoError(t, fsx.MkdirAll(path, 0o700))
	require.DirExists(t, path)
	require.NoError(t, fsx.MkdirAll(path, 0o700), "again")
	require.NoError(t, os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	require.ErrorIs(t, fsx.MkdirAll(filepath.Join(base, "file"), 0o700), fs.ErrExist)
	require.Error(t, fsx.MkdirAll(filepath.Join(base, "file", "below"), 0o700))
	t.Chdir(base)
	require.NoError(t, fsx.MkdirAll(filepath.Join("x", "y"), 0o700))
	require.DirExists(t, filepath.Join(base, "x", "y"))
}

func TestDir(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	require.Equal(t, path, d.Name())
	create(t, d, "file", "1")
	_, err := d.Create("file", 0o600)
	require.ErrorIs(t, err, fs.ErrExist)
	require.NoError(t, d.Mkdir("dir", 0o700))
	require.ErrorIs(t, d.Mkdir("dir", 0o700), fs.ErrExist)
	sub, err := d.Open("dir")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(path, "dir"), sub.Name())
	require.NoError(t, sub.Close())
	_, err = d.Open("file")
	require.True(t, fsx.IsNotDir(err))
	_, err = d.Open("missing")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, d.Sync())
	for name, want := range map[string]bool{"file": true, "dir": true, "missing": false} {
		has, err := d.Has(name)
		require.NoError(t, err)
		require.Equal(t, want, has, name)
	}
	require.Error(t, d.Remove("dir"), "a folder is no file")
	require.Error(t, d.RemoveDir("file"), "a file is no folder")
	require.NoError(t, d.RemoveDir("dir"))
	require.NoError(t, d.Remove("file"))
	require.ErrorIs(t, d.Remove("file"), fs.ErrNotExist)
}

func TestNewNames(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	require.NoError(t, d.Mkdir("to", 0o700))
	to, err := d.Open("to")
	require.NoError(t, err)
	defer func() { require.NoError(t, to.Close()) }()

	create(t, d, "a", "a")
	create(t, d, "b", "b")
	require.NoError(t, fsx.Link(d, "a", to, "x"))
	require.True(t, fsx.Same(d, "a", to, "x"))
	require.False(t, fsx.Same(d, "b", to, "x"))
	require.False(t, fsx.Same(d, "missing", to, "x"))
	require.ErrorIs(t, fsx.Link(d, "b", to, "x"), fs.ErrExist)
	requireContent(t, filepath.Join(path, "to", "x"), "a")

	err = fsx.RenameNoReplace(d, "b", to, "x")
	if errors.Is(err, errors.ErrUnsupported) && runtime.GOOS != "linux" {
		t.Log("this system has no rename without replacement")
	} else {
		require.ErrorIs(t, err, fs.ErrExist)
		requireContent(t, filepath.Join(path, "to", "x"), "a")
		require.NoError(t, fsx.RenameNoReplace(d, "b", to, "y"))
		requireContent(t, filepath.Join(path, "to", "y"), "b")
	}

	create(t, d, "c", "c")
	require.NoError(t, fsx.Rename(d, "c", to, "x"))
	requireContent(t, filepath.Join(path, "to", "x"), "c")
	require.ErrorIs(t, fsx.Rename(d, "c", to, "x"), fs.ErrNotExist)
}

// TestRemovedFolder: an open folder that was removed takes nothing more, even when another has its path.
func TestRemovedFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders are not held open on this system")
	}
	path := t.TempDir()
	d := openDir(t, path)
	create(t, d, "a", "a")
	require.NoError(t, d.Mkdir("to", 0o700))
	to, err := d.Open("to")
	require.NoError(t, err)
	defer func() { require.NoError(t, to.Close()) }()
	require.NoError(t, d.RemoveDir("to"))
	require.NoError(t, d.Mkdir("to", 0o700))
	require.ErrorIs(t, fsx.Link(d, "a", to, "x"), fs.ErrNotExist)
	require.ErrorIs(t, fsx.Rename(d, "a", to, "x"), fs.ErrNotExist)
	require.ErrorIs(t, to.Mkdir("x", 0o700), fs.ErrNotExist)
	_, err = to.Create("x", 0o600)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestTryLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		require.NoError(t, err)
		return f
	}
	a, b := open(), open()
	require.NoError(t, fsx.TryLock(a))
	require.ErrorIs(t, fsx.TryLock(b), fsx.ErrLocked)
	require.NoError(t, a.Close())
	require.NoError(t, fsx.TryLock(b))
	require.NoError(t, b.Close())
	require.Error(t, fsx.TryLock(b), "a closed file")
}

func TestSpace(t *testing.T) {
	d := openDir(t, t.TempDir())
	free, total, err := d.Space()
	require.NoError(t, err)
	require.Positive(t, total)
	require.LessOrEqual(t, free, total)
	require.NoError(t, d.Close())
	_, _, err = d.Space()
	if runtime.GOOS != "windows" {
		require.Error(t, err)
	}
}

func TestPreallocate(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	require.NoError(t, fsx.Preallocate(f, 0))
	require.NoError(t, fsx.Preallocate(f, 1<<20))
	_, err = f.WriteString("content")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.Equal(t, "content", string(b[:7]))
}
