package repo_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// succeeding is a store that tells the key that follows another one, and counts how often it was asked for an object.
type succeeding struct {
	*mem.Store
	stats int
	stale bool // the next key is never there yet
}

func (s *succeeding) Stat(ctx context.Context, key string) (backend.Info, error) {
	s.stats++
	return s.Store.Stat(ctx, key)
}

func (s *succeeding) Next(ctx context.Context, prefix, after string) (backend.Info, bool, error) {
	for info, err := range s.List(ctx, prefix) {
		if s.stale {
			break
		}
		if err != nil || info.Key > after {
			return info, err == nil, err
		}
	}
	return backend.Info{}, false, nil
}

// TestSuccessor: on a store that tells the key that follows another one, a lost entry is noticed however far off the next one is, and no names are tried for that.
func TestSuccessor(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	for i := range 4 {
		save(t, r, someChunks(uint64(i), 3, 1000))
	}
	require.NoError(t, r.Close())
	s := &succeeding{Store: store}
	require.NoError(t, openRepo(t, s, key).Refresh(t.Context()))
	require.Zero(t, s.stats)
	entries := objects(t, store, "log/")
	require.Len(t, entries, 9)
	for _, k := range entries[3:8] {
		require.NoError(t, store.Delete(t.Context(), k))
	}
	_, err := repo.Open(t.Context(), s, &repo.Options{Credential: key})
	require.ErrorContains(t, err, "missing, but entry 8 is there")
	require.Equal(t, 1, s.stats, "of the missing entry, once more")
}

// TestStaleSuccessor: who appends while the store does not tell of others' entries yet comes behind them all the same.
func TestStaleSuccessor(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	s := &succeeding{Store: store}
	r := openRepo(t, s, key)
	s.stale = true
	for i := range 4 {
		save(t, openRepo(t, store, key), someChunks(uint64(i), 3, 1000))
	}
	save(t, r, someChunks(9, 3, 1000))
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 5)
}
