//go:build unix

package snapshot_test

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
)

func TestTreeFSPipe(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o640))
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	tr, err := snapshot.OpenTree(t.Context(), r, m.ID)
	require.NoError(t, err)
	sub, err := fs.Sub(tr.FS(), strings.TrimPrefix(dir, "/"))
	require.NoError(t, err)
	require.NoError(t, fstest.TestFS(sub, "pipe"))
	info, err := fs.Stat(sub, "pipe")
	require.NoError(t, err)
	require.Equal(t, fs.ModeNamedPipe, info.Mode().Type())
	b, err := fs.ReadFile(sub, "pipe")
	require.NoError(t, err)
	require.Empty(t, b)
}
