package repo_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

func check(t *testing.T, r *repo.Repository) *repo.CheckReport {
	t.Helper()
	require.NoError(t, r.Refresh(t.Context()))
	report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll(), Workers: 1})
	require.NoError(t, err)
	return report
}

func auditor(t *testing.T, store backend.Store) *repo.Repository {
	t.Helper()
	r, err := repo.Open(t.Context(), store, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func lose(t *testing.T, store backend.Store, slot crypto.SlotID) {
	t.Helper()
	require.NoError(t, store.Delete(t.Context(), "keys/"+slot.String()))
	require.NoError(t, store.Delete(t.Context(), "keys/"+slot.String()+".copy"))
}

// TestLostKeySlotIsFound: both copies gone, whoever looks, and whichever slot it was.
func TestLostKeySlotIsFound(t *testing.T) {
	store, key, second := mem.New(nil), keyFile(t), keyFile(t)
	r := initRepo(t, store, key)
	_, err := r.AddKey(t.Context(), crypto.Admin, "second", second)
	require.NoError(t, err)
	damaged, err := r.AddKey(t.Context(), crypto.Writer, "damaged", keyFile(t))
	require.NoError(t, err)
	lost, err := r.AddKey(t.Context(), crypto.Reader, "paper", keyFile(t))
	require.NoError(t, err)
	removed, err := r.AddKey(t.Context(), crypto.Reader, "removed", keyFile(t))
	require.NoError(t, err)
	require.NoError(t, r.RemoveKey(t.Context(), removed.ID))
	_, err = r.ChangeCredential(t.Context(), "changed", keyFile(t))
	require.NoError(t, err)
	require.Empty(t, check(t, r).Errors, "a slot that was removed or changed is not missed")
	require.Empty(t, check(t, auditor(t, store)).Errors)

	lose(t, store, lost.ID)
	admin := openRepo(t, store, second)
	for who, r := range map[string]*repo.Repository{"admin": admin, "auditor": auditor(t, store)} {
		report := check(t, r)
		require.Len(t, report.Errors, 1, who)
		var corrupt *repo.CorruptError
		require.ErrorAs(t, report.Errors[0], &corrupt)
		require.Equal(t, "keys/"+lost.ID.String(), corrupt.Key)
		require.ErrorContains(t, report.Errors[0], "reader", who)
	}
	require.ErrorContains(t, check(t, admin).Errors[0], `"paper"`)

	k, err := admin.FindKey(t.Context(), lost.ID.String()[:12])
	require.NoError(t, err)
	require.True(t, k.Lost)
	require.Equal(t, "paper", k.Label)
	junk := []byte("junk")
	require.NoError(t, backend.PutBytes(t.Context(), store, "keys/"+damaged.ID.String(), junk, nil))
	require.NoError(t, backend.PutBytes(t.Context(), store, "keys/"+damaged.ID.String()+".copy", junk, nil))
	require.Len(t, check(t, admin).Errors, 3)
	require.NoError(t, admin.RemoveKey(t.Context(), lost.ID))
	require.NoError(t, admin.RemoveKey(t.Context(), damaged.ID))
	require.Error(t, admin.RemoveKey(t.Context(), lost.ID))
	require.Empty(t, check(t, admin).Errors, "what was removed is not missed")

	list, err := admin.Keys(t.Context())
	require.NoError(t, err)
	for _, k := range list {
		if k.Label == "changed" { // the one that GENESIS admits
			lose(t, store, k.ID)
		}
	}
	report := check(t, admin)
	require.Len(t, report.Errors, 1)
	require.ErrorContains(t, report.Errors[0], "ledger entry 0 admits")
}

// TestOldSlotOfAChangedKey: the id that the ledger remembers leads to nothing, and removing it removes nobody.
func TestOldSlotOfAChangedKey(t *testing.T) {
	store, key, old, fresh := mem.New(nil), keyFile(t), keyFile(t), keyFile(t)
	r := initRepo(t, store, key)
	info, err := r.AddKey(t.Context(), crypto.Reader, "r", old)
	require.NoError(t, err)
	_, err = openRepo(t, store, old).ChangeCredential(t.Context(), "r", fresh)
	require.NoError(t, err)
	require.Error(t, r.RemoveKey(t.Context(), info.ID))
	require.Equal(t, crypto.Reader, openRepo(t, store, fresh).Role())
	require.Empty(t, check(t, r).Errors)
}

// TestDamagedSlotIsToldOnce: both copies unreadable are two faults, and no third.
func TestDamagedSlotIsToldOnce(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	info, err := r.AddKey(t.Context(), crypto.Reader, "r", keyFile(t))
	require.NoError(t, err)
	for _, name := range []string{"keys/" + info.ID.String(), "keys/" + info.ID.String() + ".copy"} {
		require.NoError(t, backend.PutBytes(t.Context(), store, name, []byte("junk"), nil))
	}
	require.Len(t, check(t, r).Errors, 2)
}

// ringOf opens the first slot of a store with its key.
func ringOf(t *testing.T, store backend.Store, key *crypto.KeyFile) *crypto.Keyring {
	t.Helper()
	for info, err := range store.List(t.Context(), "keys/") {
		require.NoError(t, err)
		b, err := backend.ReadAll(t.Context(), store, info.Key, 1<<20)
		require.NoError(t, err)
		slot, err := crypto.DecodeSlot(b)
		require.NoError(t, err)
		if ring, err := slot.Open(key); err == nil {
			return ring
		}
	}
	t.Fatal("no slot opens")
	return nil
}

// appendRaw appends an entry, whether it is valid or not, as a client that breaks the rules would.
func appendRaw(t *testing.T, store backend.Store, ring *crypto.Keyring, body ledger.Body) uint64 {
	t.Helper()
	n, last := uint64(0), repo.ID{}
	for info, err := range store.List(t.Context(), "log/") {
		require.NoError(t, err)
		b, err := backend.ReadAll(t.Context(), store, info.Key, 1<<20)
		require.NoError(t, err)
		n, last = n+1, crypto.Hash(b)
	}
	b, err := ledger.New(ring, body, n, last, time.Now().UnixNano())
	require.NoError(t, err)
	require.NoError(t, backend.PutBytes(t.Context(), store, ledger.EntryKey(n), b, nil))
	return n
}

// TestVoidEntriesAreTold: they are no faults, and change nothing.
func TestVoidEntriesAreTold(t *testing.T) {
	store, key, writer := mem.New(nil), keyFile(t), keyFile(t)
	r := initRepo(t, store, key)
	_, err := r.AddKey(t.Context(), crypto.Writer, "w", writer)
	require.NoError(t, err)
	id, err := backup(t.Context(), r, [][]byte{[]byte("kept")})
	require.NoError(t, err)
	require.Empty(t, check(t, r).Void)

	ring := ringOf(t, store, writer)
	forget := appendRaw(t, store, ring, &ledger.Forget{Snapshots: []repo.ID{id}, Reason: "for a test"})
	closing := appendRaw(t, store, ring, &ledger.Close{Session: ledger.SessionID{7}, Reason: "for a test"})
	for _, r := range []*repo.Repository{r, auditor(t, store)} {
		report := check(t, r)
		require.Empty(t, report.Errors)
		require.Len(t, report.Void, 2)
		require.Equal(t, ledger.VoidEntry{N: forget, Type: ledger.TypeForget, Actor: ring.Actor().ID(), Why: "a writer may not write FORGET here"}, report.Void[0])
		require.Equal(t, closing, report.Void[1].N)
		require.EqualValues(t, 1, report.Snapshots)
		e, err := r.Entry(t.Context(), forget)
		require.NoError(t, err)
		require.Equal(t, report.Void[0].Why, e.Void)
	}
	require.Len(t, requireWhole(t, r), 1)
}

// TestUnreferencedIsWhatNobodyNeeds follows sessions through all ends that they can have.
func TestUnreferencedIsWhatNobodyNeeds(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	r := openRepo(t, store, key)
	unreferenced := func(want int, what string) {
		t.Helper()
		report := check(t, r)
		require.Empty(t, report.Errors)
		require.EqualValues(t, want, report.Unreferenced, what)
		require.Equal(t, want > 0, report.UnreferencedBytes > 0)
		require.EqualValues(t, want, check(t, auditor(t, store)).Unreferenced, "an auditor counts alike")
	}
	chunks := crashChunks()
	stored := func(s *repo.Session) {
		t.Helper()
		_, err := saveAll(t.Context(), s, chunks[:60])
		require.NoError(t, err)
		require.NoError(t, s.Flush(t.Context()))
		require.NoError(t, s.Record(t.Context()))
	}
	first := begin(t, r, "a")
	stored(first)
	unreferenced(0, "packs, an index file and a record of a live session")
	require.NoError(t, first.Suspend(t.Context()))
	second := begin(t, r, "a")
	unreferenced(0, "the same, adopted by a live one")
	stored(second)
	require.NoError(t, second.Suspend(t.Context()))
	third := begin(t, r, "a")
	root, err := saveAll(t.Context(), third, chunks)
	require.NoError(t, err)
	_, err = third.Commit(t.Context(), root, nil)
	require.NoError(t, err)
	require.NoError(t, r.Refresh(t.Context()))
	unreferenced(0, "the records of all three, committed")

	given := begin(t, r, "b")
	saved, err := saveAll(t.Context(), given, [][]byte{[]byte("given up")})
	require.NoError(t, err)
	require.NoError(t, given.Flush(t.Context()))
	require.NoError(t, given.Record(t.Context()))
	require.NotEqual(t, root, saved)
	require.NoError(t, given.Close(t.Context(), "for a test"))
	before := 0
	for _, k := range objectsBelow(t, store, "") {
		if strings.Contains(k, given.ID()) {
			before++
		}
	}
	require.GreaterOrEqual(t, before, 3)
	unreferenced(before, "packs, index file and record of one that was given up")
	for _, junk := range []string{"packs/x", "log/999999999999", "snapshots/" + strings.Repeat("ab", 32), "sessions/" + strings.Repeat("ab", 16) + "/000000000000", "other"} {
		require.NoError(t, backend.PutBytes(t.Context(), store, junk, []byte("junk"), nil))
	}
	unreferenced(before+5, "what nobody knows")

	f, err := fault.New(store, nil)
	require.NoError(t, err)
	late := begin(t, openRepo(t, f, key), "c")
	root, err = saveAll(t.Context(), late, chunks[:2])
	require.NoError(t, err)
	require.NoError(t, f.Add(fault.Rule{Ops: []backend.Op{backend.OpPut}, Prefix: "log/", Kind: fault.Before}))
	_, err = late.Commit(t.Context(), root, nil)
	require.ErrorIs(t, err, fault.ErrInjected)
	require.NoError(t, r.Refresh(t.Context()))
	unreferenced(before+5, "a snapshot that is about to be committed")
	f.Clear()
	require.NoError(t, late.Close(t.Context(), "for a test"))
	for _, k := range objectsBelow(t, store, "") {
		if strings.Contains(k, late.ID()) {
			before++
		}
	}
	unreferenced(before+5+1, "the snapshot too, once its session has ended")
}

// TestSessionsBesideACheck: what is stored, and even committed, while a check runs is not taken for garbage.
func TestSessionsBesideACheck(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	r, other := openRepo(t, store, key), openRepo(t, store, key)
	_, err := backup(t.Context(), r, crashChunks()[:3])
	require.NoError(t, err)
	require.NoError(t, r.Refresh(t.Context()))
	done := false
	report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll(), Workers: 1, Progress: func(uint64, uint64) {
		if !done {
			done = true
			_, err := backup(t.Context(), other, [][]byte{[]byte("meanwhile")})
			require.NoError(t, err)
		}
	}})
	require.NoError(t, err)
	require.True(t, done)
	require.Empty(t, report.Errors)
	require.Zero(t, report.Unreferenced)
}

// TestListingIsNotBelieved: a pack that a listing leaves out is looked for, and a listing that fails is a fault but no end.
func TestListingIsNotBelieved(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	f, err := fault.New(store, &fault.Options{Seed: 3})
	require.NoError(t, err)
	r := openRepo(t, f, key)
	_, err = backup(t.Context(), r, crashChunks()[:20])
	require.NoError(t, err)
	whole := check(t, r)
	require.NotZero(t, whole.Packs)
	for _, kind := range []fault.Kind{fault.Short, fault.Break, fault.Before} {
		require.NoError(t, f.Add(fault.Rule{Ops: []backend.Op{backend.OpList}, After: 1, Kind: kind})) // the first lists key slots
		report := check(t, r)
		require.Equal(t, whole.Packs, report.Packs)
		require.Equal(t, kind != fault.Short, len(report.Errors) > 0)
		require.Zero(t, report.Unreferenced)
		f.Clear()
	}
	lost := objectsBelow(t, store, "packs/")[0]
	require.NoError(t, store.Delete(t.Context(), lost))
	report := check(t, r)
	require.Equal(t, whole.Packs-1, report.Packs)
	var corrupt *repo.CorruptError
	require.ErrorAs(t, report.Errors[0], &corrupt)
	require.Equal(t, lost, corrupt.Key)
}

// TestFaultsAreBounded: a lost index file of many chunks is told of once, the chunks up to a bound, and the rest is counted.
func TestFaultsAreBounded(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	var chunks [][]byte
	for i := range 1200 {
		chunks = append(chunks, []byte{byte(i), byte(i >> 8), 1})
	}
	s := begin(t, r, "x")
	_, err := saveAll(t.Context(), s, chunks)
	require.NoError(t, err)
	require.NoError(t, s.Flush(t.Context()))
	require.NoError(t, s.Record(t.Context()))
	require.NoError(t, s.Suspend(t.Context()))
	first := objectsBelow(t, store, "index/")
	require.Len(t, first, 1)
	s = begin(t, r, "x")
	root := saveTree(t, s, chunks) // its nodes are in an index file of their own
	_, err = s.Commit(t.Context(), root, nil)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, store.Delete(t.Context(), first[0]))
	report := check(t, openRepo(t, store, key))
	require.Len(t, report.Errors, 1000)
	require.EqualValues(t, 1+1200+1-1000, report.Suppressed, "the file, its DATA chunks and the root directory")
}

func objectsBelow(t *testing.T, store backend.Store, prefix string) (keys []string) {
	t.Helper()
	for info, err := range store.List(t.Context(), prefix) {
		require.NoError(t, err)
		keys = append(keys, info.Key)
	}
	return keys
}

func TestStats(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := crashChunks()
	for i := range 3 {
		_, err := backup(t.Context(), r, chunks[i*20:i*20+25])
		require.NoError(t, err)
	}
	require.NoError(t, r.Close())
	packs := map[bool]uint64{}
	var files uint64
	for info, err := range store.List(t.Context(), "") {
		require.NoError(t, err)
		if strings.HasPrefix(info.Key, "index/") {
			files += uint64(info.Size)
		}
		if strings.HasPrefix(info.Key, "packs/") {
			packs[true] += uint64(info.Size)
			packs[false]++
		}
	}
	for who, r := range map[string]*repo.Repository{"admin": openRepo(t, store, key), "auditor": auditor(t, store)} {
		s, err := r.Stats(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 3, s.Snapshots)
		require.EqualValues(t, 1+2*3, s.Entries)
		require.EqualValues(t, 3, s.IndexFiles)
		require.Equal(t, files, s.IndexBytes)
		require.Len(t, s.Classes, 3)
		var n, stored uint64
		for _, c := range s.Classes {
			n, stored = n+c.Packs, stored+c.Stored
		}
		require.Equal(t, packs[true], stored, who)
		require.Equal(t, packs[false], n, who)
		if who == "admin" {
			require.EqualValues(t, 65, s.Classes[repo.Data].Chunks)
			require.EqualValues(t, 65*40<<10, s.Classes[repo.Data].Length)
		} else {
			require.Zero(t, s.Classes[repo.Data].Chunks)
		}
	}
	lost := objectsBelow(t, store, "index/")[0]
	require.NoError(t, store.Delete(t.Context(), lost))
	for _, r := range []*repo.Repository{openRepo(t, store, key), auditor(t, store)} {
		s, err := r.Stats(t.Context())
		require.ErrorContains(t, err, lost)
		require.NotZero(t, s.Classes[repo.Data].Packs, "what the others list is counted")
	}
}

// TestEntry: whoever holds a key reads all of an entry, an auditor what is not sealed.
func TestEntry(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id, err := backup(t.Context(), r, [][]byte{[]byte("x")})
	require.NoError(t, err)
	require.NoError(t, r.SetTags(t.Context(), id, []string{"weekly"}))
	list, err := r.Snapshots()
	require.NoError(t, err)
	types := []ledger.Type{ledger.TypeGenesis, ledger.TypeOpen, ledger.TypeCommit, ledger.TypeTags}
	sealed := auditor(t, store)
	var last repo.ID
	for n, typ := range types {
		e, err := r.Entry(t.Context(), uint64(n))
		require.NoError(t, err)
		require.Equal(t, typ, e.Type)
		require.Equal(t, last, e.Previous)
		require.Equal(t, typ != ledger.TypeGenesis, e.Opened)
		require.Equal(t, crypto.Admin, e.Actor.Role)
		require.Empty(t, e.Void)
		last = e.Hash
		a, err := sealed.Entry(t.Context(), uint64(n))
		require.NoError(t, err)
		require.False(t, a.Opened)
		require.Equal(t, e.Sealed, a.Sealed)
		said, err := json.Marshal(a.Body)
		require.NoError(t, err)
		require.NotContains(t, string(said), "weekly")
		switch b := e.Body.(type) {
		case *ledger.Commit:
			require.Equal(t, id, b.Snapshot)
			require.Equal(t, list[0].Root, *e.Root)
			require.Nil(t, a.Root)
		case *ledger.Tags:
			require.Equal(t, []string{"weekly"}, b.Tags)
		}
	}
	_, err = r.Entry(t.Context(), uint64(len(types)))
	require.ErrorIs(t, err, repo.ErrNotFound)
	b, err := backend.ReadAll(t.Context(), store, ledger.EntryKey(2), 1<<20)
	require.NoError(t, err)
	for _, bad := range [][]byte{nil, b[:50], append(b[:len(b)-1:len(b)-1], b[len(b)-1]^1)} {
		require.NoError(t, backend.PutBytes(t.Context(), store, ledger.EntryKey(2), bad, nil))
		var corrupt *repo.CorruptError
		_, err = r.Entry(t.Context(), 2)
		require.ErrorAs(t, err, &corrupt)
	}
}
