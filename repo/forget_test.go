package repo_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

func TestForget(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	var ids []repo.ID
	for range 3 {
		id, err := backup(t.Context(), r, crashChunks())
		require.NoError(t, err)
		ids = append(ids, id)
	}
	left := func(r *repo.Repository) (left []repo.ID) {
		list, err := r.Snapshots()
		require.NoError(t, err)
		for _, s := range list {
			left = append(left, s.ID)
			require.NotZero(t, s.Order)
			require.False(t, s.Opened.IsZero())
		}
		return left
	}
	require.NoError(t, r.Forget(t.Context(), nil, ""))
	require.ErrorIs(t, r.Forget(t.Context(), []repo.ID{ids[0], {1}}, ""), repo.ErrNotFound)
	require.Equal(t, ids, left(r), "all of them or none")

	keys := map[crypto.Role]*crypto.KeyFile{}
	for _, role := range []crypto.Role{crypto.Writer, crypto.Reader, crypto.Collector} {
		keys[role] = keyFile(t)
		_, err := r.AddKey(t.Context(), role, "", keys[role])
		require.NoError(t, err)
	}
	for _, role := range []crypto.Role{crypto.Writer, crypto.Reader} {
		other := openRepo(t, store, keys[role])
		require.ErrorIs(t, other.Forget(t.Context(), ids[:1], ""), repo.ErrNotAllowed, role)
		require.NoError(t, other.Close())
	}
	collector := openRepo(t, store, keys[crypto.Collector])
	require.NoError(t, collector.Forget(t.Context(), ids[:1], "a test"))
	require.Equal(t, ids[1:], left(collector))
	require.ErrorIs(t, collector.Forget(t.Context(), ids[:1], ""), repo.ErrNotFound, "forgotten before")
	require.NoError(t, collector.Close())

	require.ErrorIs(t, r.Forget(t.Context(), ids[:1], ""), repo.ErrNotFound, "by somebody else meanwhile")
	require.Equal(t, ids[1:], left(r))
	require.NoError(t, r.Close())
}

// TestForgetFaults: the entry is stored, and the store's answer is not heard. Or nothing is stored, and nothing is forgotten.
func TestForgetFaults(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Before, fault.After} {
		inner, key := mem.New(nil), keyFile(t)
		store, err := fault.New(inner, nil)
		require.NoError(t, err)
		r := initRepo(t, store, key)
		id, err := backup(t.Context(), r, crashChunks())
		require.NoError(t, err)
		broken := errors.New("broken")
		require.NoError(t, store.Add(fault.Rule{Ops: []backend.Op{backend.OpPut}, Prefix: "log/", Kind: kind, Err: broken}))
		err = r.Forget(t.Context(), []repo.ID{id}, "")
		list, lerr := r.Snapshots()
		require.NoError(t, lerr)
		if kind == fault.Before {
			require.ErrorIs(t, err, broken)
			require.Len(t, list, 1)
		} else {
			require.NoError(t, err, "what is there decides")
			require.Empty(t, list)
		}
		store.Clear()
		require.NoError(t, r.Close())
	}
}
