package repo_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// TestRestorePacks damages every pack a little, and has parity make that good, with and without a key.
func TestRestorePacks(t *testing.T) {
	for _, keyless := range []bool{true, false} {
		base, key := mem.New(nil), keyFile(t)
		config := small
		config.Parity = 10
		r, err := repo.Init(t.Context(), base, &repo.InitOptions{Config: config, Sealer: key})
		require.NoError(t, err)
		save(t, r, someChunks(1, 200, 10<<10))
		require.Equal(t, 10, openRepo(t, base, key).Config().Parity)
		packs := objects(t, base, "packs/")
		store := base.Crash()
		for i, k := range packs {
			change(t, store, k, func(b []byte) []byte {
				b[len(b)*i/len(packs)] ^= 1
				b[len(b)-1] ^= 1
				return b
			})
		}
		var credential repo.Credential = key
		repair := (*repo.Repository).RepairPacks
		if keyless {
			credential, repair = nil, (*repo.Repository).RestorePacks
		}
		repairer, err := repo.Open(t.Context(), store, &repo.Options{Credential: credential})
		require.NoError(t, err)
		dry, err := repair(repairer, t.Context(), &repo.RepairOptions{DryRun: true})
		require.NoError(t, err)
		require.ElementsMatch(t, packs, dry.RestoredPacks)
		report, err := repair(repairer, t.Context(), &repo.RepairOptions{Packs: packs[1:]})
		require.NoError(t, err)
		require.ElementsMatch(t, packs[1:], report.RestoredPacks)
		report, err = repair(repairer, t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, packs[:1], report.RestoredPacks)
		require.Empty(t, report.DamagedPacks)
		require.Empty(t, objects(t, store, "quarantine/"))
		for _, k := range packs {
			want, err := backend.ReadAll(t.Context(), base, k, 1<<30)
			require.NoError(t, err)
			got, err := backend.ReadAll(t.Context(), store, k, 1<<30)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.Len(t, requireWhole(t, openRepo(t, store, key)), 1)
		require.NoError(t, repairer.Close())
	}
}

// TestRestoreTooMuch has more damage than parity can make good: the rest of the repair deals with it.
func TestRestoreTooMuch(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	config := small
	config.Parity = 10
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	chunks := someChunks(1, 200, 10<<10)
	save(t, r, chunks)
	damaged := largePacks(t, store)[0]
	change(t, store, damaged, func(b []byte) []byte {
		clear(b[len(b)/4 : len(b)/2])
		return b
	})
	report, err := r.RestorePacks(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{damaged}, report.DamagedPacks)
	require.Empty(t, report.RestoredPacks)
	report, err = r.RepairPacks(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{damaged}, report.DamagedPacks)
	require.NotZero(t, report.SavedChunks)
	require.NotEmpty(t, report.LostChunks)
	_, err = r.RestorePacks(t.Context(), &repo.RepairOptions{Packs: []string{"packs/none"}})
	require.ErrorIs(t, err, repo.ErrNotFound)
	save(t, openRepo(t, store, key), chunks)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
}

// TestRestoreLongerPacks: what was added to packs takes nothing from them, with or without other damage.
func TestRestoreLongerPacks(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 90, 10<<10))
	packs := objects(t, base, "packs/")
	store := base.Crash()
	for _, k := range packs {
		change(t, store, k, func(b []byte) []byte { return append(b, "more"...) })
	}
	report, err := openRepo(t, store, key).RestorePacks(t.Context(), nil)
	require.NoError(t, err)
	require.ElementsMatch(t, packs, report.RestoredPacks)
	requireSame(t, base, store, "")

	damaged := largePacks(t, store)[0]
	change(t, store, damaged, func(b []byte) []byte {
		b[len(b)/3] ^= 1
		return append(b, 'm', 'o', 'r', 'e')
	})
	report, err = openRepo(t, store, key).RepairPacks(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{damaged}, report.DamagedPacks)
	require.NotZero(t, report.SavedChunks)
	kept, err := backend.ReadAll(t.Context(), store, "quarantine/"+damaged, 1<<30)
	require.NoError(t, err)
	there, err := backend.ReadAll(t.Context(), store, damaged, 1<<30)
	require.NoError(t, err)
	require.Equal(t, there[:len(kept)], kept, "the bytes as they were found")
}

// TestRestorePacksBesidePrune takes nothing for damaged that a prune deletes meanwhile, and makes whole what is condemned.
func TestRestorePacksBesidePrune(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	config := small
	config.Parity = 10
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	old := save(t, r, someChunks(1, 100, 10<<10))
	save(t, r, someChunks(2, 100, 10<<10))
	condemned := objects(t, store, "packs/")
	require.NoError(t, r.Forget(t.Context(), []repo.ID{old}, ""))
	open := begin(t, r, "a writer")
	require.NotZero(t, collect(t, r, everything()).Condemned)
	for _, k := range condemned {
		change(t, store, k, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	}
	report, err := auditor(t, store).RestorePacks(t.Context(), nil)
	require.NoError(t, err)
	require.ElementsMatch(t, condemned, report.RestoredPacks)

	require.NoError(t, open.Close(t.Context(), "done"))
	race := &racing{Store: store, prefix: "index/"}
	late, err := repo.Open(t.Context(), race, nil)
	require.NoError(t, err)
	race.hook = func() { collect(t, openRepo(t, store, key), everything()) }
	report, err = late.RestorePacks(t.Context(), nil)
	require.NoError(t, err)
	require.Nil(t, race.hook)
	require.Empty(t, report.DamagedPacks)
	require.NoError(t, late.Close())
	require.NoError(t, r.Close())
}
