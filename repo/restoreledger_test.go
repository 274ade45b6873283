package repo_test

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// damageEntries removes entries of the ledger, or changes them.
func damageEntries(t *testing.T, rng *rand.Rand, store *mem.Store, keys ...string) {
	for _, k := range keys {
		if rng.IntN(2) == 0 {
			require.NoError(t, store.Delete(t.Context(), k))
			continue
		}
		change(t, store, k, func(b []byte) []byte {
			b[rng.IntN(len(b))] ^= 1
			return b[:len(b)-rng.IntN(2)*rng.IntN(len(b))]
		})
	}
}

func requireSame(t *testing.T, want, got backend.Store, prefix string) {
	t.Helper()
	require.Equal(t, objects(t, want, prefix), objects(t, got, prefix))
	for _, k := range objects(t, want, prefix) {
		a, err := backend.ReadAll(t.Context(), want, k, 1<<30)
		require.NoError(t, err)
		b, err := backend.ReadAll(t.Context(), got, k, 1<<30)
		require.NoError(t, err)
		require.Equal(t, a, b, k)
	}
}

// TestRestoreLedger loses any entries but the last ones, which nothing that is there would prove, and takes them from a copy, or from the local cache.
func TestRestoreLedger(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	base, key, cache := mem.New(nil), keyFile(t), t.TempDir()
	r := initRepo(t, base, key)
	for i := range 3 {
		save(t, r, someChunks(uint64(i), 5, 10<<10))
	}
	copied := base.Crash()
	save(t, r, someChunks(9, 5, 10<<10))
	cached, err := repo.Open(t.Context(), base, &repo.Options{Credential: key, CacheDir: cache})
	require.NoError(t, err)
	require.NoError(t, cached.Close())
	entries := objects(t, base, "log/")
	inCopy := objects(t, copied, "log/")
	require.Greater(t, len(entries), len(inCopy))
	for range 60 {
		store := base.Crash()
		options := &repo.RestoreLedgerOptions{Copies: []backend.Store{mem.New(nil), copied}}
		lost := inCopy
		if rng.IntN(2) == 0 {
			options = &repo.RestoreLedgerOptions{CacheDir: cache}
			lost = entries[1:] // the cache begins after GENESIS
		}
		lost = pick(rng, lost)
		damageEntries(t, rng, store, lost...)
		before := store.Crash()
		options.DryRun = true
		dry, err := repo.RestoreLedger(t.Context(), store, options)
		require.NoError(t, err)
		requireSame(t, before, store, "")
		options.DryRun = false
		report, err := repo.RestoreLedger(t.Context(), store, options)
		require.NoError(t, err)
		require.Equal(t, dry, report)
		require.Equal(t, lost, report.Restored)
		require.EqualValues(t, len(entries), report.Entries)
		requireSame(t, base, store, "log/")
		require.Len(t, requireWhole(t, openRepo(t, store, key)), 4)
		report, err = repo.RestoreLedger(t.Context(), store, options)
		require.NoError(t, err)
		require.Empty(t, report.Restored)
	}
}

// pick returns some of a list, in order.
func pick(rng *rand.Rand, list []string) (some []string) {
	for _, x := range list {
		if rng.IntN(3) == 0 {
			some = append(some, x)
		}
	}
	return some
}

// TestRestoreLedgerRefuses: what a copy did after it went its own way is not taken over.
func TestRestoreLedgerRefuses(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 5, 10<<10))
	fork := base.Crash()
	save(t, openRepo(t, fork, key), someChunks(2, 5, 10<<10))
	save(t, openRepo(t, fork, key), someChunks(3, 5, 10<<10))
	common := len(objects(t, base, "log/"))
	report, err := repo.RestoreLedger(t.Context(), base.Crash(), &repo.RestoreLedgerOptions{Copies: []backend.Store{fork}})
	require.ErrorContains(t, err, "nothing that is left here proves")
	require.Empty(t, report.Restored)

	save(t, r, someChunks(4, 5, 10<<10))
	save(t, r, someChunks(5, 5, 10<<10))
	entries := objects(t, base, "log/")
	for what, lost := range map[string][]string{
		"the last one": entries[len(entries)-1:], "one in its own part": entries[common+1 : common+2], "the first of its own": entries[common : common+1],
	} {
		store := base.Crash()
		for _, k := range lost {
			require.NoError(t, store.Delete(t.Context(), k))
		}
		before := store.Crash()
		report, err := repo.RestoreLedger(t.Context(), store, &repo.RestoreLedgerOptions{Copies: []backend.Store{fork}})
		if what != "the last one" {
			require.Error(t, err, what)
		}
		require.Empty(t, report.Restored, what)
		requireSame(t, before, store, "")
	}
	gap := base.Crash() // of three entries, which no probe but a listing sees to have something behind it
	for _, k := range entries[common : common+3] {
		require.NoError(t, gap.Delete(t.Context(), k))
	}
	report, err = repo.RestoreLedger(t.Context(), gap, nil)
	require.ErrorIs(t, err, repo.ErrLedgerLost)
	require.EqualValues(t, common, report.Entries)
	_, err = repo.RestoreLedger(t.Context(), mem.New(nil), nil)
	require.ErrorIs(t, err, repo.ErrNoRepository)
}

// TestRestoreLedgerOverwritesNothing: sound entries stay, although a cache has seen others in their places before the store was rolled back.
func TestRestoreLedgerOverwritesNothing(t *testing.T) {
	base, key, cache := mem.New(nil), keyFile(t), t.TempDir()
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 5, 10<<10))
	store := base.Crash()
	common := len(objects(t, base, "log/"))
	for i := range 3 {
		save(t, r, someChunks(uint64(2+i), 5, 10<<10))
	}
	seen, err := repo.Open(t.Context(), base, &repo.Options{Credential: key, CacheDir: cache})
	require.NoError(t, err)
	require.NoError(t, seen.Close())
	for i := range 2 {
		save(t, openRepo(t, store, key), someChunks(uint64(7+i), 5, 10<<10))
	}
	lost := objects(t, store, "log/")[common]
	require.NoError(t, store.Delete(t.Context(), lost))
	before := store.Crash()
	report, err := repo.RestoreLedger(t.Context(), store, &repo.RestoreLedgerOptions{CacheDir: cache})
	require.ErrorIs(t, err, repo.ErrLedgerLost)
	require.ErrorContains(t, err, "which is sound")
	require.Empty(t, report.Restored)
	requireSame(t, before, store, "")
}

// TestRestoreLedgerKeeps keeps what was damaged.
func TestRestoreLedgerKeeps(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 5, 10<<10))
	copied := base.Crash()
	save(t, r, someChunks(2, 5, 10<<10))
	change(t, base, "log/000000000001", func([]byte) []byte { return []byte(strings.Repeat("x", 17<<20)) })
	report, err := repo.RestoreLedger(t.Context(), base, &repo.RestoreLedgerOptions{Copies: []backend.Store{copied}})
	require.NoError(t, err)
	require.Len(t, report.Restored, 1)
	kept, err := base.Get(t.Context(), "quarantine/log/000000000001", 0, 3)
	require.NoError(t, err)
	b, err := io.ReadAll(kept)
	require.NoError(t, err)
	require.Equal(t, "xxx", string(b))
	require.NoError(t, kept.Close())
}
