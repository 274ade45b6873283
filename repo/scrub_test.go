package repo_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

const day = 24 * time.Hour

// TestScrub runs a scrub a day for months, while packs come and go: none is ever unverified for longer than was asked for, and no run reads much more than its
// share. After a week without a run it catches up.
func TestScrub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := uint64(time.Now().UnixNano()) + rand.Uint64()
		t.Logf("seed %d", seed)
		rng := rand.New(rand.NewPCG(seed, 1))
		store, key, cache := mem.New(nil), keyFile(t), t.TempDir()
		require.NoError(t, initRepo(t, store, key).Close())
		r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key, CacheDir: cache})
		require.NoError(t, err)
		defer func() { require.NoError(t, r.Close()) }()
		var ids []repo.ID
		o := &repo.ScrubOptions{MaxAge: 10 * day}
		for n := range 45 {
			if n%3 == 0 {
				ids = append(ids, save(t, r, someChunks(rng.Uint64(), 3, 40<<10)))
			}
			if n%11 == 10 {
				require.NoError(t, r.Forget(t.Context(), ids[:1], ""))
				ids = ids[1:]
				collect(t, r, everything())
			}
			if n == 20 {
				time.Sleep(7 * day)
			}
			report, err := r.Scrub(t.Context(), o)
			require.NoError(t, err)
			require.Empty(t, report.Check.Errors)
			require.Zero(t, report.Overdue, "day %d", n)
			require.Equal(t, report.Bytes, report.FreshBytes)
			require.False(t, report.Due.Before(time.Now().Add(day)), "day %d: due %v", n, time.Until(report.Due))
			if n > 0 && n != 20 {
				require.LessOrEqual(t, report.Check.BytesRead, report.Bytes/2+(1<<20), "day %d", n)
			}
			time.Sleep(day)
		}
		status, err := r.Scrub(t.Context(), &repo.ScrubOptions{MaxAge: 10 * day, Status: true})
		require.NoError(t, err)
		require.Nil(t, status.Check)
		require.Zero(t, status.Overdue)
		time.Sleep(20 * day)
		status, err = r.Scrub(t.Context(), &repo.ScrubOptions{MaxAge: 10 * day, Status: true})
		require.NoError(t, err)
		require.Equal(t, status.Packs, status.Overdue)
		require.Zero(t, status.FreshBytes)
	})
}

// TestScrubDamaged does not count as verified what is damaged.
func TestScrubDamaged(t *testing.T) {
	store, key, cache := mem.New(nil), keyFile(t), t.TempDir()
	require.NoError(t, initRepo(t, store, key).Close())
	r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key, CacheDir: cache})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	save(t, r, someChunks(1, 10, 40<<10))
	change(t, store, objects(t, store, "packs/")[0], func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	report, err := r.Scrub(t.Context(), &repo.ScrubOptions{MaxAge: time.Second})
	require.NoError(t, err)
	require.Len(t, report.Check.Errors, 1)
	require.EqualValues(t, 1, report.Unverified)
	require.Equal(t, report.Packs, report.Check.PacksRead)

	limited, err := r.Scrub(t.Context(), &repo.ScrubOptions{MaxAge: time.Second, Limit: 1})
	require.NoError(t, err)
	require.Zero(t, limited.Check.PacksRead)
	_, err = openRepo(t, store, key).Scrub(t.Context(), nil)
	require.ErrorIs(t, err, repo.ErrNotAllowed)
}
