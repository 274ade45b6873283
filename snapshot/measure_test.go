package snapshot_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// TestMeasure compares with what a backup of the same items counts.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/one"), make([]byte, 1000))
	write(t, filepath.Join(dir, "a/b/two"), make([]byte, 70000))
	write(t, filepath.Join(dir, "skip.o"), make([]byte, 5000))
	write(t, filepath.Join(dir, "disk"), make([]byte, 1<<20))
	require.NoError(t, os.Symlink("one", filepath.Join(dir, "a/link")))
	filter, err := source.NewFilter(&source.FilterOptions{Exclude: []string{"*.o", "disk"}})
	require.NoError(t, err)
	tr, err := source.NewTree(&source.TreeOptions{Filter: filter, NoXattrs: true})
	require.NoError(t, err)
	disk, err := source.OpenDisk(t.Context(), filepath.Join(dir, "disk"), nil)
	require.NoError(t, err)
	defer disk.Close()
	items := []snapshot.Item{snapshot.Files(tr, dir), snapshot.Disk("/disk", disk, nil, false), snapshot.Files(tr, "/not/there")}

	m, known, err := snapshot.Measure(t.Context(), items)
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, snapshot.Measured{Files: 3, Dirs: 3, Bytes: 1000 + 70000 + 1<<20}, m)

	got, err := snapshot.Backup(t.Context(), newRepo(t), items[:2], nil)
	require.NoError(t, err)
	require.Equal(t, m.Bytes, got.Stats.BytesProcessed)
	require.Equal(t, m.Files, got.Stats.FilesNew)

	stream := snapshot.Stream("/s", source.NewStream(t.Context(), strings.NewReader("x")))
	_, known, err = snapshot.Measure(t.Context(), append(items, stream))
	require.NoError(t, err)
	require.False(t, known)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = snapshot.Measure(ctx, items)
	require.ErrorIs(t, err, context.Canceled)
}
