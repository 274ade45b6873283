package repo_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// TestHealFromCopy loses packs of all kinds, and takes what is lost from an older copy of the repository.
func TestHealFromCopy(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 90, 10<<10))
	old := openRepo(t, base.Crash(), key)
	save(t, r, someChunks(2, 30, 10<<10))
	packs := objects(t, base, "packs/")
	for i, gone := range append([][]string{packs}, singles(packs)...) {
		store := base.Crash()
		for _, k := range gone {
			require.NoError(t, store.Delete(t.Context(), k))
		}
		r := openRepo(t, store, key)
		repaired, err := r.RepairPacks(t.Context(), nil)
		require.NoError(t, err)
		require.ElementsMatch(t, gone, repaired.DamagedPacks)
		dry, err := r.Heal(t.Context(), &repo.HealOptions{DryRun: true})
		require.NoError(t, err)
		require.NotEmpty(t, dry.Lost)

		healed, err := r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{from(t, r, old), from(t, r, openRepo(t, base, key))}})
		require.NoError(t, err)
		require.Empty(t, healed.Lost)
		require.GreaterOrEqual(t, healed.Healed, uint64(len(dry.Lost)))
		if i > 0 {
			require.LessOrEqual(t, len(dry.Lost), len(repaired.LostChunks))
		}
		require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
		collect(t, r, everything())
		requireClean(t, r)
		require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
		again, err := r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{from(t, r, old)}})
		require.NoError(t, err)
		require.Equal(t, &repo.HealReport{}, again)
	}
}

func from(t *testing.T, r, other *repo.Repository) repo.Healer {
	h, err := r.HealFrom(other)
	require.NoError(t, err)
	return h
}

func singles(list []string) (lists [][]string) {
	for _, x := range list {
		lists = append(lists, []string{x})
	}
	return lists
}

// TestHealInPart finds some of what is lost, and says what is left.
func TestHealInPart(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 90, 10<<10)
	save(t, r, chunks)
	for _, k := range largePacks(t, store) {
		require.NoError(t, store.Delete(t.Context(), k))
	}
	repaired, err := r.RepairPacks(t.Context(), nil)
	require.NoError(t, err)
	before := len(objects(t, store, "packs/"))
	_, err = r.HealFrom(initRepo(t, mem.New(nil), key))
	require.ErrorContains(t, err, "no copy")
	report, err := r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{someOf(chunks[:20], someChunks(2, 50, 10<<10))}})
	require.NoError(t, err)
	require.EqualValues(t, 20, report.Healed)
	require.Len(t, report.Lost, len(repaired.LostChunks)-20)
	require.Equal(t, before+1, len(objects(t, store, "packs/")))
	require.Equal(t, repo.Data, report.Lost[0].Class)
	report, err = r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{someOf(chunks)}})
	require.NoError(t, err)
	require.EqualValues(t, len(repaired.LostChunks)-20, report.Healed)
	require.Len(t, requireWhole(t, r), 1)
}

// someOf heals with what may or may not be lost.
func someOf(lists ...[][]byte) repo.Healer {
	return func(ctx context.Context, s *repo.Session, _ []repo.LostChunk) error {
		for _, list := range lists {
			for _, chunk := range list {
				if _, err := s.Save(ctx, repo.Data, chunk); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// boundRing opens the first slot of a store with its key, for making entries with a sealed part.
func boundRing(t *testing.T, store backend.Store, key *crypto.KeyFile) *crypto.Keyring {
	t.Helper()
	ring := ringOf(t, store, key)
	b, err := backend.ReadAll(t.Context(), store, ledger.EntryKey(0), 1<<20)
	require.NoError(t, err)
	state, err := ledger.NewState(b, nil)
	require.NoError(t, err)
	g := state.Genesis()
	require.NoError(t, ring.Bind(g.Domain, g.Suite, g.Keys))
	return ring
}

// TestHealBesideFaultyWriters: a reference with a wrong length, and snapshots that nobody can read, keep nothing else from being healed.
func TestHealBesideFaultyWriters(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 100, 10<<10))
	whole := base.Crash()
	packs := largePacks(t, base)
	require.NoError(t, base.Delete(t.Context(), packs[0]))

	s := begin(t, r, "a faulty writer")
	h, err := r.NewHasher(repo.Data)
	require.NoError(t, err)
	kept := []byte("a chunk")
	_, err = s.Save(t.Context(), repo.Data, kept)
	require.NoError(t, err)
	wrong := reftree.Reference{Kind: reftree.RefData, Ref: repo.Ref{ID: h.Sum(kept), Length: uint32(len(kept)) + 1}}
	_, err = s.Commit(t.Context(), savePair(t, s, "wrong", []reftree.Reference{wrong}), nil)
	require.NoError(t, err)
	nonsense, err := ledger.ParseSessionID(begin(t, r, "nonsense").ID())
	require.NoError(t, err)
	appendRaw(t, base, boundRing(t, base, key), &ledger.Commit{Session: nonsense, Snapshot: repo.ID{7}, Facts: []byte("nonsense")})
	require.NoError(t, r.Refresh(t.Context()))
	_, err = r.Snapshots()
	require.Error(t, err)

	_, err = r.RepairPacks(t.Context(), nil)
	require.NoError(t, err)
	healed, err := r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{from(t, r, openRepo(t, whole, key))}})
	require.NoError(t, err)
	require.NotZero(t, healed.Healed)
	require.Empty(t, healed.Lost)
}
