package snapshot_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

func TestCheck(t *testing.T) {
	store := mem.New(nil)
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	dir := t.TempDir()
	for range 2 {
		write(t, filepath.Join(dir, "a/b/c"), []byte("x"))
		_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
		require.NoError(t, err)
		write(t, filepath.Join(dir, "d"), []byte("y"))
	}
	var calls [][2]int
	for err := range snapshot.Check(t.Context(), r, &snapshot.CheckOptions{Progress: func(done, total int) { calls = append(calls, [2]int{done, total}) }}) {
		require.NoError(t, err)
	}
	require.Equal(t, [][2]int{{1, 2}, {2, 2}}, calls)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var last error
	for err := range snapshot.Check(ctx, r, nil) {
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
	require.NoError(t, r.Close())

	for info, err := range store.List(t.Context(), "packs/") {
		require.NoError(t, err)
		require.NoError(t, store.Delete(t.Context(), info.Key))
	}
	r, err = repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.NoError(t, err)
	defer r.Close()
	faults := 0
	for err := range snapshot.Check(t.Context(), r, nil) {
		require.ErrorAs(t, err, new(*repo.CorruptError))
		require.Regexp(t, "^snapshot [0-9a-f]{8}: ", err.Error())
		faults++
	}
	require.Positive(t, faults)
}
