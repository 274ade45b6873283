package repo_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/backend/meter"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// openEvery opens a repository that adds a CHECKPOINT after every few entries.
func openEvery(t testing.TB, store backend.Store, key crypto.Credential, cache string, every uint64) *repo.Repository {
	t.Helper()
	o := &repo.Options{Credential: key, CacheDir: cache}
	r, err := repo.Open(t.Context(), store, o.SetCheckpointEvery(every))
	require.NoError(t, err)
	return r
}

// withCheckpoints is a repository with several snapshots and CHECKPOINTs, and a void entry early on.
func withCheckpoints(t *testing.T) (*mem.Store, *crypto.KeyFile) {
	t.Helper()
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	r := openEvery(t, store, key, "", 5)
	save(t, r, someChunks(1, 3, 1000))
	require.Equal(t, uint64(3), appendVoid(t, store, key))
	for i := range 10 {
		save(t, r, someChunks(uint64(i), 3, 1000))
	}
	require.Len(t, objects(t, store, "checkpoints/"), 2)
	require.NoError(t, r.Close())
	return store, key
}

func appendVoid(t *testing.T, store backend.Store, key *crypto.KeyFile) uint64 {
	t.Helper()
	return appendRaw(t, store, ringOf(t, store, key), &ledger.Checkpoint{Size: 1})
}

// entriesRead opens a repository and returns how many entries it fetched for that.
func entriesRead(t *testing.T, store backend.Store, key crypto.Credential, cache string) int64 {
	t.Helper()
	counted := meter.New(store)
	r := openEvery(t, counted, key, cache, 1000)
	require.NoError(t, r.Close())
	return counted.Count(backend.OpGet).Calls
}

// TestCheckpointsAreAddedAndUsed: whoever knows nothing begins at the last one, and finds what is found from the beginning on.
func TestCheckpointsAreAddedAndUsed(t *testing.T) {
	store, key := withCheckpoints(t)
	entries := int64(len(objects(t, store, "log/")))
	require.Less(t, entriesRead(t, store, key, ""), entries)
	cold := openEvery(t, store, key, "", 5)
	require.Len(t, requireWhole(t, cold), 11)
	save(t, cold, someChunks(77, 3, 1000))
	requireClean(t, cold)
	report, err := cold.VerifyLedger(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Void, 1)
	e, err := cold.Entry(t.Context(), 3)
	require.NoError(t, err)
	require.NotEmpty(t, e.Void)
	require.NoError(t, cold.Close())
	require.Empty(t, check(t, auditor(t, store)).Errors, "without a key")
}

// TestWhoAddsCheckpoints: admins and collectors who have replayed all entries do, and nobody else.
func TestWhoAddsCheckpoints(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	keys := map[crypto.Role]*crypto.KeyFile{crypto.Writer: keyFile(t), crypto.Collector: keyFile(t)}
	for role, k := range keys {
		_, err := r.AddKey(t.Context(), role, role.String(), k)
		require.NoError(t, err)
	}
	w := openEvery(t, store, keys[crypto.Writer], "", 2)
	save(t, w, someChunks(1, 3, 1000))
	save(t, w, someChunks(2, 3, 1000))
	require.Empty(t, objects(t, store, "checkpoints/"))
	require.NoError(t, w.Close())
	c := openEvery(t, store, keys[crypto.Collector], "", 2)
	collect(t, c, everything())
	require.NoError(t, c.Close())
	require.NotEmpty(t, objects(t, store, "checkpoints/"))

	before := objects(t, store, "checkpoints/")
	cold := openEvery(t, store, key, "", 2)
	save(t, cold, someChunks(3, 3, 1000))
	save(t, cold, someChunks(4, 3, 1000))
	require.Equal(t, before, objects(t, store, "checkpoints/"), "who trusts one does not sign the next")
	collect(t, cold, everything())
	require.NotEqual(t, before, objects(t, store, "checkpoints/"), "who collects has replayed all")
	require.NoError(t, cold.Close())
}

// TestDamagedCheckpoints: one that is damaged, lost, or no CHECKPOINT at all is passed over, told by a check and made anew.
func TestDamagedCheckpoints(t *testing.T) {
	whole, key := withCheckpoints(t)
	kept := objects(t, whole, "checkpoints/")
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	for name, harm := range map[string]func(store *mem.Store){
		"the newest damaged": func(s *mem.Store) { change(t, s, kept[1], flip) },
		"the newest lost":    func(s *mem.Store) { require.NoError(t, s.Delete(t.Context(), kept[1])) },
		"the newest longer":  func(s *mem.Store) { change(t, s, kept[1], func(b []byte) []byte { return append(b, 0) }) },
		"both damaged":       func(s *mem.Store) { change(t, s, kept[0], flip); change(t, s, kept[1], flip) },
	} {
		t.Run(name, func(t *testing.T) {
			store := whole.Crash()
			harm(store)
			r := openEvery(t, store, key, "", 1000)
			defer func() { require.NoError(t, r.Close()) }()
			require.Len(t, requireSnapshots(t, r), 11)
			report, err := r.Check(t.Context(), nil)
			require.NoError(t, err)
			require.NotEmpty(t, report.Errors)
			require.ErrorContains(t, report.Errors[0], "checkpoints/")
			restored, err := repo.RestoreLedger(t.Context(), store, nil)
			require.NoError(t, err)
			require.Subset(t, kept, restored.Restored)
			requireSame(t, whole, store, "checkpoints/")
			require.Empty(t, check(t, r).Errors)
		})
	}
	store := whole.Crash()
	for _, n := range []uint64{1, 2, 3, 900, 1e9} { // of no CHECKPOINT, of a void one, of one to come, of one that is too far off for that
		require.NoError(t, backend.PutBytes(t.Context(), store, ledger.CheckpointKey(n), []byte("x"), nil))
	}
	r := openEvery(t, store, key, "", 5)
	require.Len(t, requireSnapshots(t, r), 11)
	require.EqualValues(t, 4, check(t, r).Unreferenced)
	collect(t, r, everything())
	require.Contains(t, objects(t, store, "checkpoints/"), ledger.CheckpointKey(900))
	require.NotContains(t, objects(t, store, "checkpoints/"), ledger.CheckpointKey(1e9))
	requireClean(t, r)
	require.NoError(t, r.Close())
}

// lie appends a CHECKPOINT by a collector that says something else than the entries before it: that the first session, which has ended, was opened at another time.
func lie(t *testing.T, store backend.Store, key *crypto.KeyFile) {
	t.Helper()
	state, first := stateOf(t, store, func(*ledger.State) {})
	was := binary.LittleEndian.AppendUint64(nil, uint64(first.Time))
	at := bytes.Index(state, first.ID[:])
	require.NotEqual(t, -1, at)
	at += bytes.Index(state[at:], was)
	binary.LittleEndian.PutUint64(state[at:], uint64(time.Unix(1, 0).UnixNano()))
	n := uint64(len(objects(t, store, "log/")))
	require.NoError(t, backend.PutBytes(t.Context(), store, ledger.CheckpointKey(n), state, nil))
	hash, err := ledger.HashState(state)
	require.NoError(t, err)
	require.Equal(t, n, appendRaw(t, store, ringOf(t, store, key), &ledger.Checkpoint{State: hash, Size: uint64(len(state))}))
}

// TestFalseCheckpoint: who knows nothing believes it, as the signer may be believed to forget snapshots; but nobody collects by it, and a check tells.
func TestFalseCheckpoint(t *testing.T) {
	whole, key := withCheckpoints(t)
	first := func(r *repo.Repository) time.Time {
		list := requireSnapshots(t, r)
		require.Len(t, list, 11)
		return list[0].Opened
	}
	honest := openEvery(t, whole, key, "", 1000)
	opened := first(honest)
	require.NoError(t, honest.Close())
	warm := t.TempDir()
	require.NoError(t, openEvery(t, whole, key, warm, 1000).Close())
	lie(t, whole, key)

	r := openEvery(t, whole, key, warm, 1000)
	require.Equal(t, opened, first(r), "who follows the ledger does not believe it")
	require.NoError(t, r.Close())
	for _, cache := range []string{"", t.TempDir()} {
		for _, examine := range []func(*repo.Repository) error{
			func(r *repo.Repository) error { _, err := r.Collect(t.Context(), everything()); return err },
			func(r *repo.Repository) error {
				_, err := r.RepairIndex(t.Context(), &repo.RepairOptions{DryRun: true})
				return err
			},
			func(r *repo.Repository) error { return check(t, r).Errors[0] },
			func(r *repo.Repository) error { _, err := r.Entry(t.Context(), 3); return err },
		} {
			store := whole.Crash()
			r := openEvery(t, store, key, cache, 1000)
			require.NotEqual(t, opened, first(r))
			require.ErrorContains(t, examine(r), "the entries before it do not lead to this state")
			require.Equal(t, opened, first(r))
			require.NoError(t, r.Close())
			if cache != "" {
				r := openEvery(t, store, key, cache, 1000)
				require.Equal(t, opened, first(r), "it is remembered")
				require.NoError(t, r.Close())
			}
			cache = fresh(t, cache)
		}
	}
	store := whole.Crash()
	cold := openEvery(t, store, key, "", 1000)
	_, err := cold.Collect(t.Context(), everything())
	require.Error(t, err)
	require.NoError(t, cold.Close())
	cold = openEvery(t, store, key, "", 1000)
	require.Equal(t, opened, first(cold), "who may delete has made sure that nobody begins there any more")
	collect(t, cold, everything())
	requireClean(t, cold)
	require.NoError(t, cold.Close())
}

// removeAll removes the files below a folder whose names begin with a word.
func removeAll(t *testing.T, dir, name string) {
	t.Helper()
	removed := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasPrefix(d.Name(), name) {
			return err
		}
		removed++
		return os.Remove(path)
	}))
	require.NotZero(t, removed, name)
}

func fresh(t *testing.T, cache string) string {
	if cache == "" {
		return ""
	}
	return t.TempDir()
}

// TestCheckpointCache: a warm client begins at the checkpoint that it kept, with what it knew of the entries before.
func TestCheckpointCache(t *testing.T) {
	store, key := withCheckpoints(t)
	known := map[string]bool{}
	for _, proved := range []bool{false, true} {
		cache := t.TempDir()
		r := openEvery(t, store, key, cache, 1000)
		if proved {
			_, err := r.VerifyLedger(t.Context())
			require.NoError(t, err)
		}
		require.NoError(t, r.Close())
		for range 2 {
			require.LessOrEqual(t, entriesRead(t, store, key, cache), int64(6), "GENESIS, a slot, the pinned entry, and what may come next")
		}
		counted := meter.New(store)
		r = openEvery(t, counted, key, cache, 5)
		before := counted.Count(backend.OpGet).Calls
		e, err := r.Entry(t.Context(), 3)
		require.NoError(t, err)
		require.NotEmpty(t, e.Void)
		known[fmt.Sprint(proved)] = counted.Count(backend.OpGet).Calls-before == 1
		save(t, r, someChunks(5, 3, 1000))
		require.Len(t, requireWhole(t, r), 12+len(known)-1)
		require.NoError(t, r.Close())
	}
	require.Equal(t, map[string]bool{"false": false, "true": true}, known, "whether the entries before it are replayed again")
}

// TestCheckpointCacheIsNoHarm: whatever of the cache is lost, or is of another time, the repository opens, and a rolled-back one does not.
func TestCheckpointCacheIsNoHarm(t *testing.T) {
	store, key := withCheckpoints(t)
	rolled := store.Crash()
	filled := func() string {
		cache := t.TempDir()
		r := openEvery(t, store, key, cache, 5)
		save(t, r, someChunks(uint64(len(cache)), 3, 1000))
		require.NoError(t, r.Close())
		return cache
	}
	for _, lost := range []string{"state", "ledger", "state ledger", ""} {
		cache := filled()
		for _, name := range strings.Fields(lost) {
			removeAll(t, cache, name)
		}
		_, err := repo.Open(t.Context(), rolled, &repo.Options{Credential: key, CacheDir: cache})
		require.ErrorIs(t, err, repo.ErrRolledBack, lost)
		r := openEvery(t, store, key, cache, 5)
		requireWhole(t, r)
		require.NoError(t, r.Close())
		require.LessOrEqual(t, entriesRead(t, store, key, cache), int64(6), lost)
	}
}

// TestCheckpointFails: whatever stops while one is added, what it was added after counts, and the next one is added.
func TestCheckpointFails(t *testing.T) {
	base, key := withCheckpoints(t)
	all := requireSnapshots(t, openRepo(t, base, key))
	prepared := t.TempDir()
	r := openEvery(t, base, key, prepared, 1000)
	_, err := r.VerifyLedger(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Close())
	protect := func(store backend.Store, id repo.ID) error {
		r := openEvery(t, store, key, prepared, 1)
		defer func() { require.NoError(t, r.Close()) }()
		if f, ok := store.(*fault.Store); ok {
			require.NoError(t, f.Add(fault.Rule{Ops: []backend.Op{backend.OpPut, backend.OpDelete, backend.OpList}, Prefix: "checkpoints/", Err: errFar}))
		}
		return r.Protect(t.Context(), []repo.ID{id}, "r")
	}
	store := base.Crash()
	far, err := fault.New(store, nil)
	require.NoError(t, err)
	require.NoError(t, protect(far, all[0].ID), "a checkpoint that fails is no failure")
	require.Equal(t, objects(t, base, "checkpoints/"), objects(t, store, "checkpoints/"))

	for n := range 12 {
		store := base.Crash()
		dying, err := fault.New(store, nil)
		require.NoError(t, err)
		r := openEvery(t, dying, key, fresh(t, prepared), 1)
		_, err = r.VerifyLedger(t.Context())
		require.NoError(t, err)
		dying.KillAfter(n)
		done := r.Protect(t.Context(), []repo.ID{all[0].ID}, "r") == nil
		require.NoError(t, r.Close())

		cold := openRepo(t, store, key)
		require.True(t, !done || requireSnapshots(t, cold)[0].Protected)
		require.Empty(t, check(t, cold).Errors, n)
		r = openEvery(t, store, key, "", 1)
		collect(t, r, everything())
		requireClean(t, r)
		require.Len(t, objects(t, store, "checkpoints/"), 2, n)
		require.NoError(t, r.Close())
	}
}

// TestCheckpointOvertaken: another's entry comes between the state and the CHECKPOINT, which is no conflict, and the state goes with the next one.
func TestCheckpointOvertaken(t *testing.T) {
	base, key := withCheckpoints(t)
	other := openRepo(t, base, key)
	all := requireSnapshots(t, other)
	overtaken := false
	store, err := fault.New(base, &fault.Options{OnOp: func(op backend.Op, key string) {
		if op == backend.OpPut && strings.HasPrefix(key, "checkpoints/") && !overtaken {
			overtaken = true
			require.NoError(t, other.Protect(context.Background(), []repo.ID{all[1].ID}, "r"))
		}
	}})
	require.NoError(t, err)
	r := openEvery(t, store, key, "", 5)
	_, err = r.VerifyLedger(t.Context())
	require.NoError(t, err)
	for i := range 6 {
		require.NoError(t, r.Protect(t.Context(), []repo.ID{all[2+i].ID}, "r"))
	}
	require.True(t, overtaken)
	require.Len(t, objects(t, base, "checkpoints/"), 2)
	requireClean(t, r)
	report, err := r.VerifyLedger(t.Context())
	require.NoError(t, err)
	require.Len(t, report.Void, 1, "the one that was there before")
	require.NoError(t, r.Close())
}

// TestNothingIsDeletedAfterAFalseCheckpoint: what a client read under a false state is not used for deciding anything, however often it tries.
func TestNothingIsDeletedAfterAFalseCheckpoint(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	old := save(t, r, someChunks(1, 30, 10<<10))
	save(t, r, append(someChunks(1, 30, 10<<10), someChunks(2, 30, 10<<10)...))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{old}, ""))
	require.NoError(t, r.Close())
	n := uint64(len(objects(t, store, "log/")))
	state, _ := stateOf(t, store, func(s *ledger.State) { s.Salvage(nil, s.IndexFiles()[1:]) })
	hash, err := ledger.HashState(state)
	require.NoError(t, err)
	require.NoError(t, backend.PutBytes(t.Context(), store, ledger.CheckpointKey(n), state, nil))
	appendRaw(t, store, ringOf(t, store, key), &ledger.Checkpoint{State: hash, Size: uint64(len(state))})

	c := openRepo(t, store, key)
	_, err = c.Stats(t.Context())
	require.NoError(t, err)
	for range 3 {
		_, err := c.Collect(t.Context(), everything())
		require.ErrorContains(t, err, "do not lead to this state")
	}
	_, err = c.Begin(t.Context(), nil)
	require.Error(t, err)
	c = openRepo(t, store, key)
	collect(t, c, everything())
	require.Len(t, requireWhole(t, c), 1)
}

// stateOf returns the encoded state of a store's ledger after a change, and the first session in it.
func stateOf(t *testing.T, store backend.Store, change func(*ledger.State)) ([]byte, ledger.Session) {
	t.Helper()
	genesis, err := backend.ReadAll(t.Context(), store, ledger.EntryKey(0), 1<<20)
	require.NoError(t, err)
	s, err := ledger.NewState(genesis, nil)
	require.NoError(t, err)
	var first ledger.Session
	for _, k := range objects(t, store, "log/")[1:] {
		b, err := backend.ReadAll(t.Context(), store, k, 1<<20)
		require.NoError(t, err)
		require.NoError(t, s.Apply(b))
		if live := s.LiveSessions(); len(live) > 0 && first.OpenedAt == 0 {
			first = live[0]
		}
	}
	change(s)
	return s.Encode(), first
}

// TestDoubtIsCleared: a client that was deceived, and remembers it, notices when an honest CHECKPOINT follows.
func TestDoubtIsCleared(t *testing.T) {
	store, key := withCheckpoints(t)
	cache := t.TempDir()
	honest := openEvery(t, store, key, "", 5)
	opened := requireSnapshots(t, honest)[0].Opened
	_, err := honest.VerifyLedger(t.Context())
	require.NoError(t, err)
	lie(t, store, key)
	r := openEvery(t, store, key, cache, 1000)
	require.NotEqual(t, opened, requireSnapshots(t, r)[0].Opened)
	require.NoError(t, r.Close())
	for i := range 4 {
		save(t, honest, someChunks(uint64(i), 3, 1000))
	}
	require.NoError(t, honest.Close())
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: key, CacheDir: cache})
	require.ErrorContains(t, err, "do not lead to this state")
	r = openEvery(t, store, key, cache, 1000)
	require.Equal(t, opened, requireSnapshots(t, r)[0].Opened)
	require.NoError(t, r.Close())
}

// TestProofOutlastsTheCache: who has replayed all entries once does not begin at a CHECKPOINT that was void, though the file of entries is lost.
func TestProofOutlastsTheCache(t *testing.T) {
	store, key := withCheckpoints(t)
	cache := t.TempDir()
	r := openEvery(t, store, key, cache, 1000)
	opened := requireSnapshots(t, r)[0].Opened
	_, err := r.VerifyLedger(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Close())
	lie(t, store, key)
	for range 2 {
		r = openEvery(t, store, key, cache, 1000)
		save(t, r, someChunks(9, 3, 1000))
		require.Equal(t, opened, requireSnapshots(t, r)[0].Opened)
		require.NoError(t, r.Close())
		removeAll(t, cache, "ledger")
	}
	other := openEvery(t, store, key, t.TempDir(), 1000)
	require.NotEqual(t, opened, requireSnapshots(t, other)[0].Opened, "others are deceived still")
	require.NoError(t, other.Close())
}

// TestHugeCheckpoints: what nobody signed makes nobody allocate much.
func TestHugeCheckpoints(t *testing.T) {
	store, key := withCheckpoints(t)
	entry, err := ledger.New(ringOf(t, store, key), &ledger.Checkpoint{Size: 4 << 20}, 5000, repo.ID{1}, 1)
	require.NoError(t, err)
	require.NoError(t, backend.PutBytes(t.Context(), store, ledger.EntryKey(5000), entry, nil))
	require.NoError(t, backend.PutBytes(t.Context(), store, ledger.CheckpointKey(5000), make([]byte, 4<<20), nil))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := openEvery(t, store, key, "", 1000)
	runtime.ReadMemStats(&after)
	require.Len(t, requireSnapshots(t, r), 11)
	require.NoError(t, r.Close())
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20))
}

// TestDeliberateRollBack: who removes the pin, as the error says, goes on with the repository as it is now, and stays able to.
func TestDeliberateRollBack(t *testing.T) {
	for _, longer := range []bool{true, false} {
		store, key := withCheckpoints(t)
		old, cache := store.Crash(), t.TempDir()
		r := openEvery(t, store, key, cache, 5)
		_, err := r.VerifyLedger(t.Context())
		require.NoError(t, err)
		for i := range 30 {
			save(t, r, someChunks(uint64(i), 1, 1000))
		}
		require.NoError(t, r.Close())
		other := openEvery(t, old, key, "", 5)
		_, err = other.VerifyLedger(t.Context())
		require.NoError(t, err)
		n := 6
		if longer {
			n = 24
		}
		more := func() {
			for i := range n {
				save(t, other, someChunks(uint64(100+i), 1, 1000))
			}
		}
		more()
		_, err = repo.Open(t.Context(), old, &repo.Options{Credential: key, CacheDir: cache})
		require.ErrorIs(t, err, repo.ErrRolledBack)
		removeAll(t, cache, "pin")
		for range 4 {
			r := openEvery(t, old, key, cache, 5)
			require.NotEmpty(t, requireSnapshots(t, r))
			require.NoError(t, r.Close())
			more()
		}
		require.NoError(t, other.Close())
	}
}

// TestPlantedCheckpoints: who can write to the store cannot keep a CHECKPOINT from being added by taking its name.
func TestPlantedCheckpoints(t *testing.T) {
	store, key := withCheckpoints(t)
	head := uint64(len(objects(t, store, "log/")))
	calls := func() int {
		f, err := fault.New(store, nil)
		require.NoError(t, err)
		openRepo(t, f, key)
		return f.Ops()
	}
	undisturbed := calls()
	for n := head; n < head+300; n++ {
		require.NoError(t, backend.PutBytes(t.Context(), store, ledger.CheckpointKey(n), []byte("planted"), nil))
	}
	require.Less(t, calls(), undisturbed+12, "names beyond the head cost little")
	r := openEvery(t, store, key, "", 5)
	_, err := r.VerifyLedger(t.Context())
	require.NoError(t, err)
	for i := range 20 {
		save(t, r, someChunks(uint64(i), 3, 1000))
	}
	collect(t, r, everything())
	require.Empty(t, check(t, r).Errors)
	require.NoError(t, r.Close())
	added := 0
	for _, k := range objects(t, store, "checkpoints/") {
		b, err := backend.ReadAll(t.Context(), store, k, ledger.MaxState)
		require.NoError(t, err)
		if k >= ledger.CheckpointKey(head) && string(b) != "planted" {
			added++
		}
	}
	require.Equal(t, 2, added)
}

// TestVoidCheckpointsOfOthers: one by somebody who may add none says nothing about those of others, if that was decided after the state where a client begins. Else the state may lie.
func TestVoidCheckpointsOfOthers(t *testing.T) {
	const ahead = 16 // entries are read at a time
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("decided after %t", after), func(t *testing.T) {
			store, key := withCheckpoints(t)
			writer, removed := keyFile(t), keyFile(t)
			every := uint64(5)
			if after {
				every = 1000
			}
			r := openEvery(t, store, key, "", every)
			_, err := r.AddKey(t.Context(), crypto.Writer, "writer", writer)
			require.NoError(t, err)
			slot, err := r.AddKey(t.Context(), crypto.Collector, "removed", removed)
			require.NoError(t, err)
			was := ringOf(t, store, removed)
			require.NoError(t, r.RemoveKey(t.Context(), slot.ID))
			_, err = r.VerifyLedger(t.Context())
			require.NoError(t, err)
			for i := range 20 {
				save(t, r, someChunks(uint64(i), 3, 1000))
			}
			require.NoError(t, r.Close())
			read := entriesRead(t, store, key, "")
			for i, by := range []*crypto.Keyring{ringOf(t, store, writer), was} {
				copied := store.Crash()
				appendRaw(t, copied, by, &ledger.Checkpoint{Size: 1})
				if again := entriesRead(t, copied, key, ""); after {
					require.LessOrEqual(t, again, read+ahead, "signer %d", i)
				} else {
					require.Greater(t, again, read+ahead, "signer %d", i)
				}
			}
			appendVoid(t, store, key)
			require.Greater(t, entriesRead(t, store, key, ""), read+ahead, "one of two is false, and all is replayed to find out")
		})
	}
}

// TestRemovedAdminIsNoticed: a removed admin whose false state says that the honest one was removed deceives until that one signs a CHECKPOINT, and no longer.
func TestRemovedAdminIsNoticed(t *testing.T) {
	store, key := withCheckpoints(t)
	removed, writer, cache := keyFile(t), keyFile(t), t.TempDir()
	r := openEvery(t, store, key, "", 1000)
	_, err := r.AddKey(t.Context(), crypto.Writer, "writer", writer)
	require.NoError(t, err)
	slot, err := r.AddKey(t.Context(), crypto.Admin, "removed", removed)
	require.NoError(t, err)
	was := ringOf(t, store, removed)
	lie := replayed(t, store)
	require.NoError(t, r.RemoveKey(t.Context(), slot.ID))
	save(t, r, someChunks(40, 3, 1000)) // which is to be hidden
	require.NoError(t, r.Close())

	n, last := lie.Head()
	b, err := ledger.New(was, &ledger.Key{Op: ledger.Remove, Role: crypto.Admin, Actor: lie.Genesis().Admin}, n, last, 1)
	require.NoError(t, err)
	require.NoError(t, lie.Apply(b))
	logs := objects(t, store, "log/")
	head, err := backend.ReadAll(t.Context(), store, logs[len(logs)-1], 1<<20)
	require.NoError(t, err)
	state, first, hash := lie.Encode(), lie.GenesisHash(), crypto.Hash(head)
	at := bytes.Index(state, first[:]) + len(first) // the number of entries, and the hash of the last
	binary.LittleEndian.PutUint64(state[at:], uint64(len(logs)))
	copy(state[at+8:], hash[:])
	id, err := ledger.HashState(state)
	require.NoError(t, err)
	require.NoError(t, backend.PutBytes(t.Context(), store, ledger.CheckpointKey(uint64(len(logs))), state, nil))
	appendRaw(t, store, was, &ledger.Checkpoint{State: id, Size: uint64(len(state))})

	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.ErrorContains(t, err, "do not lead to this state", "the honest admin hears who lied, not that he was removed")

	r = openEvery(t, store, writer, cache, 1000)
	list, err := r.Snapshots()
	require.NoError(t, err)
	require.Len(t, list, 11, "it is deceived")
	require.NoError(t, r.Close())
	appendRaw(t, store, ringOf(t, store, key), replayed(t, store).NextCheckpoint())
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: writer, CacheDir: cache})
	require.ErrorContains(t, err, "its signer lied")
	r = openEvery(t, store, writer, cache, 1000)
	list, err = r.Snapshots()
	require.NoError(t, err)
	require.Len(t, list, 12)
}

// replayed is the state to which all entries of a store lead.
func replayed(t *testing.T, store backend.Store) (s *ledger.State) {
	t.Helper()
	for i, k := range objects(t, store, "log/") {
		b, err := backend.ReadAll(t.Context(), store, k, 1<<20)
		require.NoError(t, err)
		if i == 0 {
			s, err = ledger.NewState(b, nil)
		} else {
			err = s.Apply(b)
		}
		require.NoError(t, err)
	}
	return s
}
