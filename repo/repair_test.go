package repo_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// change replaces an object's bytes.
func change(t *testing.T, store backend.Store, key string, f func([]byte) []byte) {
	t.Helper()
	r, err := store.Get(t.Context(), key, 0, -1)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, backend.PutBytes(t.Context(), store, key, f(b), nil))
}

// TestRepairIndex loses every index file, and makes new ones of the packs.
func TestRepairIndex(t *testing.T) {
	for _, how := range []string{"missing", "damaged"} {
		for _, role := range []crypto.Role{crypto.Admin, crypto.Collector} {
			store, key := mem.New(nil), keyFile(t)
			r := initRepo(t, store, key)
			save(t, r, someChunks(1, 30, 40<<10))
			save(t, r, someChunks(2, 30, 40<<10))
			failed, err := r.Begin(t.Context(), nil)
			require.NoError(t, err)
			_, err = saveAll(t.Context(), failed, someChunks(3, 30, 40<<10))
			require.NoError(t, err)
			require.NoError(t, failed.Flush(t.Context()))
			require.NoError(t, failed.Close(t.Context(), "given up"))
			for _, k := range objects(t, store, "index/") {
				if how == "missing" {
					require.NoError(t, store.Delete(t.Context(), k))
				} else {
					change(t, store, k, func(b []byte) []byte { return append(b[:40], b[41:]...) })
				}
			}
			other := keyFile(t)
			_, err = r.AddKey(t.Context(), role, "other", other)
			require.NoError(t, err)
			repairer := openRepo(t, store, other)
			_, err = repairer.Collect(t.Context(), everything())
			require.ErrorContains(t, err, "repair index", "nothing is collected without the index")

			dry, err := repairer.RepairIndex(t.Context(), &repo.RepairOptions{DryRun: true})
			require.NoError(t, err)
			report, err := repairer.RepairIndex(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, dry.LostIndexFiles, report.LostIndexFiles)
			require.Len(t, report.LostIndexFiles, 2)
			require.NotZero(t, report.RebuiltPacks)
			require.Empty(t, report.Skipped)
			require.False(t, report.Pending)
			require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
			collect(t, repairer, everything())
			require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
			require.Empty(t, objects(t, store, "packs/"+failed.ID()+"/"))
			requireClean(t, openRepo(t, store, key))
			again, err := repairer.RepairIndex(t.Context(), nil)
			require.NoError(t, err)
			require.Equal(t, &repo.RepairReport{}, again)
		}
	}
}

// TestRepairIndexBesideWriter leaves the end of the repair to a later one, because a session is open.
func TestRepairIndexBesideWriter(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	save(t, r, someChunks(1, 30, 40<<10))
	writer := openRepo(t, store, key)
	s, err := writer.Begin(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), objects(t, store, "index/")[0]))
	report, err := r.RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, report.Pending)
	require.NoError(t, s.Close(t.Context(), ""))
	require.Len(t, requireSnapshots(t, r), 1)
	_, err = r.RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, requireWhole(t, r), 1)
	require.Zero(t, collect(t, r, everything()).Condemned)
}

func requireSnapshots(t *testing.T, r *repo.Repository) []repo.Snapshot {
	list, err := r.Snapshots()
	require.NoError(t, err)
	return list
}

// largePacks returns the packs that hold data for certain.
func largePacks(t *testing.T, store backend.Store) (data []string) {
	for _, k := range objects(t, store, "packs/") {
		info, err := store.Stat(t.Context(), k)
		require.NoError(t, err)
		if info.Size > 100<<10 {
			data = append(data, k)
		}
	}
	require.NotEmpty(t, data)
	return data
}

// TestRepairPacks damages packs in several ways, saves what can be read, and heals the rest by the next backup of the same data.
func TestRepairPacks(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 90, 10<<10)
	save(t, r, chunks)
	data := largePacks(t, store)
	change(t, store, data[0], func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	if len(data) > 1 {
		change(t, store, data[1], func(b []byte) []byte { return b[:len(b)/2] })
	}
	before := objects(t, store, "")
	dry, err := r.RepairPacks(t.Context(), &repo.RepairOptions{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, before, objects(t, store, ""))
	report, err := r.RepairPacks(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, dry.DamagedPacks, report.DamagedPacks)
	require.Equal(t, dry.LostChunks, report.LostChunks)
	require.Len(t, report.DamagedPacks, min(2, len(data)))
	require.NotZero(t, report.SavedChunks)
	require.NotEmpty(t, report.LostChunks)
	require.Less(t, len(report.LostChunks), 60)
	require.Len(t, objects(t, store, "quarantine/"), len(report.DamagedPacks))
	for _, id := range report.LostChunks {
		_, found, err := r.Locate(t.Context(), repo.Data, id)
		require.NoError(t, err)
		require.False(t, found, "so that it is stored again")
	}
	other := openRepo(t, store, key)
	save(t, other, chunks)
	require.NoError(t, r.Refresh(t.Context()))
	require.Len(t, requireWhole(t, r), 2, "both are whole again")
	collect(t, r, everything())
	require.Len(t, requireWhole(t, r), 2)
	requireClean(t, r)
	again, err := r.RepairPacks(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, &repo.RepairReport{}, again)
}

// TestRepairIndexOfUnreadablePack keeps the bytes of a pack that says nothing of its contents any more.
func TestRepairIndexOfUnreadablePack(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	save(t, r, someChunks(1, 30, 40<<10))
	for _, k := range objects(t, store, "index/") {
		require.NoError(t, store.Delete(t.Context(), k))
	}
	damaged := largePacks(t, store)[0]
	change(t, store, damaged, func(b []byte) []byte { return append([]byte("not"), b[3:]...) })
	want, err := backend.ReadAll(t.Context(), store, damaged, 1<<30)
	require.NoError(t, err)
	repairer := openRepo(t, store, key)
	dry, err := repairer.RepairIndex(t.Context(), &repo.RepairOptions{DryRun: true})
	require.NoError(t, err)
	require.Len(t, dry.Skipped, 1)
	require.Empty(t, objects(t, store, "quarantine/"))
	report, err := repairer.RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, report.Skipped, 1)
	require.ErrorContains(t, report.Skipped[0], damaged)
	collect(t, openRepo(t, store, key), everything())
	require.NotContains(t, objects(t, store, "packs/"), damaged)
	got, err := backend.ReadAll(t.Context(), store, "quarantine/"+damaged, 1<<30)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestRepairUnknownPacks refuses names that mean nothing, rather than finding no damage.
func TestRepairUnknownPacks(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	save(t, r, someChunks(1, 30, 40<<10))
	_, err := r.RepairPacks(t.Context(), &repo.RepairOptions{Packs: []string{"packs/nothing"}})
	require.ErrorIs(t, err, repo.ErrNotFound)
	require.ErrorContains(t, err, `"packs/nothing"`)
}

// TestRepairOvertaken: a repair that read the index before a collection changed it does nothing.
func TestRepairOvertaken(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 30, 40<<10))
	save(t, r, someChunks(2, 30, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	packs := objects(t, store, "packs/")
	change(t, store, packs[0], func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	race := &racing{Store: store, prefix: "packs/"}
	repairer := openRepo(t, race, key)
	race.hook = func() {
		other := openRepo(t, store, key)
		_, err := other.Collect(t.Context(), everything())
		require.ErrorIs(t, err, repo.ErrCollecting)
		other.SetClock(func() time.Time { return time.Now().Add(time.Hour) }) // in which the repair was not heard of
		collect(t, other, everything())
	}
	_, err := repairer.RepairPacks(t.Context(), nil)
	require.ErrorIs(t, err, repo.ErrCollecting)
	_, err = repairer.RepairPacks(t.Context(), nil)
	require.NoError(t, err)
}

// TestRepairCrash kills repairs at their calls to the store: what was there to be saved is still there, and the next one saves it.
func TestRepairCrash(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	chunks := someChunks(1, 60, 10<<10)
	save(t, r, chunks)
	damaged := objects(t, base, "packs/")[0] // of what is saved again below
	save(t, r, someChunks(2, 10, 10<<10))
	require.NoError(t, r.Close())
	change(t, base, damaged, func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	undisturbed := base.Crash()
	want, err := openRepo(t, undisturbed, key).RepairPacks(context.Background(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{damaged}, want.DamagedPacks)
	for n := phase(t); ; n += stride {
		store := base.Crash()
		faulty, err := fault.New(store, nil)
		require.NoError(t, err)
		r, err := repo.Open(t.Context(), faulty, &repo.Options{Credential: key})
		require.NoError(t, err)
		faulty.KillAfter(n)
		_, err = r.RepairPacks(t.Context(), nil)
		after := openRepo(t, store.Crash(), key)
		_, rerr := after.RepairPacks(t.Context(), nil)
		require.NoError(t, rerr)
		for _, id := range want.LostChunks {
			_, found, lerr := after.Locate(t.Context(), repo.Data, id)
			require.NoError(t, lerr)
			require.False(t, found)
		}
		save(t, after, chunks)
		require.Len(t, requireWhole(t, after), 3)
		if err == nil {
			require.Greater(t, n, 20)
			return
		}
	}
}
