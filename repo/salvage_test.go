package repo_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// TestSalvage loses any entries of the ledger but the first, all of them at last, and reads every snapshot.
func TestSalvage(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 20, 10<<10))
	forgotten := save(t, r, someChunks(2, 20, 10<<10))
	writer := keyFile(t)
	_, err := r.AddKey(t.Context(), crypto.Writer, "writer", writer)
	require.NoError(t, err)
	save(t, openRepo(t, base, writer), someChunks(3, 20, 10<<10))
	require.NoError(t, r.Refresh(t.Context()))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{forgotten}, ""))
	collect(t, r, everything())
	save(t, r, someChunks(1, 30, 10<<10))
	entries := objects(t, base, "log/")[1:]
	for i := range 60 {
		store := base.Crash()
		lost := pick(rng, entries)
		if i == 0 {
			lost = entries
		}
		damageEntries(t, rng, store, lost...)
		before := store.Crash()
		r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key, Salvage: true})
		require.NoError(t, err)
		list, err := r.Snapshots()
		require.NoError(t, err)
		list = slices.DeleteFunc(list, func(s repo.Snapshot) bool { return s.ID == forgotten }) // it may be back, without its chunks
		require.Len(t, list, 3, "%v", lost)
		for _, s := range list {
			c := &chaos{t: t}
			require.NoError(t, c.compare(t.Context(), r, &s))
		}
		_, err = r.Begin(t.Context(), nil)
		require.ErrorIs(t, err, repo.ErrSalvaged)
		require.ErrorIs(t, r.Forget(t.Context(), []repo.ID{list[0].ID}, ""), repo.ErrSalvaged)
		_, err = r.Collect(t.Context(), nil)
		require.ErrorIs(t, err, repo.ErrSalvaged)
		require.NoError(t, r.Close())
		requireSame(t, before, store, "")
	}
}
