package fsx_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/fsx"
)

func TestLinksAreNotFollowed(t *testing.T) {
	path, outside := t.TempDir(), t.TempDir()
	d := openDir(t, path)
	require.NoError(t, os.Symlink(outside, filepath.Join(path, "link")))
	_, err := d.Open("link")
	require.Error(t, err)
	require.NoError(t, os.Symlink(filepath.Join(outside, "new"), filepath.Join(path, "file")))
	_, err = d.Create("file", 0o600)
	require.Error(t, err)
	require.NoFileExists(t, filepath.Join(outside, "new"))
}

func TestIsFull(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		require.True(t, fsx.IsFull(fmt.Errorf("writing: %w", err)))
	}
	require.False(t, fsx.IsFull(syscall.EIO))
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("needs /dev/full: %v", err)
	}
	_, err = f.Write([]byte("x"))
	require.True(t, fsx.IsFull(err))
	require.NoError(t, f.Close())
}

func TestSetDirect(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer f.Close()
	if err := fsx.SetDirect(f, true); err != nil {
		t.Skipf("needs a file system that writes past the page cache: %v", err)
	}
	b := make([]byte, 2<<20)
	require.True(t, fsx.Aligned(b))
	require.False(t, fsx.Aligned(b[1:]))
	_, err = f.Write(b[:1<<20])
	require.NoError(t, err)
	if _, err = f.Write(b[:100]); err != nil {
		require.True(t, fsx.IsNotDirect(err), err)
		require.NoError(t, fsx.SetDirect(f, false))
		_, err = f.Write(b[:100])
	}
	require.NoError(t, err)
	info, err := f.Stat()
	require.NoError(t, err)
	require.EqualValues(t, 1<<20+100, info.Size())
	require.False(t, fsx.IsNotDirect(syscall.ENOSPC))
}
