package snapshot

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// grow makes a file small, looks at it, and makes it large: 1 MiB of data on both sides of where two parts meet.
func grow(t *testing.T, tr *source.Tree, path string) (e *source.Entry, data int64) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte("small"), 0o600))
	e, err := tr.Lstat(t.Context(), path)
	require.NoError(t, err)
	b := make([]byte, 2<<20)
	_, _ = rand.Read(b)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt(b, partSize-1<<20)
	require.NoError(t, err)
	return e, int64(len(b))
}

// TestGrownFileIsReadInParts: a file that became large after it was looked at is not left to one worker.
func TestGrownFileIsReadInParts(t *testing.T) {
	tr, err := source.NewTree(nil)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "f")
	var data int64
	node, _, b := testRun(t, 1, func(ctx context.Context, b *backup) *pending {
		e, n := grow(t, tr, path)
		data = n
		return b.entry(ctx, path, e, nil, func(ctx context.Context) (*source.File, error) { return tr.OpenFile(ctx, path, e) })
	})
	require.EqualValues(t, partSize+1<<20, node.Content.Size)
	require.Zero(t, node.Flags&^2, "it is complete")
	require.EqualValues(t, partSize-1<<20-holeBlock, b.tally.holes.Load())
	require.Greater(t, b.counters.read.Load(), uint64(data+holeBlock), "the second part begins before where it starts")
}

// TestGrownFilesAndTheEnd: files that are handed out beside the workers do no harm when the backup ends early.
func TestGrownFilesAndTheEnd(t *testing.T) {
	tr, err := source.NewTree(nil)
	require.NoError(t, err)
	dir := t.TempDir()
	o, err := (&BackupOptions{Workers: 2}).withDefaults()
	require.NoError(t, err)
	b := &backup{repo: testRepo(t), opts: o}
	b.session, err = b.repo.Begin(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	require.NoError(t, b.prepare(ctx))
	for i := range 8 {
		path := filepath.Join(dir, string(rune('a'+i)))
		e, _ := grow(t, tr, path)
		if i == 5 {
			cancel()
		}
		n := b.entry(b.pool.ctx, path, e, nil, func(context.Context) (*source.File, error) { return tr.OpenFile(t.Context(), path, e) })
		require.True(t, i >= 4 || !n.broken())
	}
	require.ErrorIs(t, b.pool.wait(), context.Canceled)
	require.NoError(t, b.session.Close(t.Context(), "test"))
}
