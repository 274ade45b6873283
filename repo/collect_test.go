package repo_test

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// everything asks a collection to leave nothing unused.
func everything() *repo.CollectOptions { return &repo.CollectOptions{MaxUnused: &repo.Limit{}} }

func collect(t testing.TB, r *repo.Repository, o *repo.CollectOptions) *repo.CollectReport {
	t.Helper()
	report, err := r.Collect(t.Context(), o)
	require.NoError(t, err)
	return report
}

func objects(t testing.TB, store backend.Store, prefix string) (list []string) {
	t.Helper()
	for info, err := range store.List(t.Context(), prefix) {
		require.NoError(t, err)
		list = append(list, info.Key)
	}
	return list
}

func someChunks(seed uint64, n, size int) (list [][]byte) {
	rng := rand.New(rand.NewPCG(seed, seed))
	for range n {
		list = append(list, randomChunk(rng, size))
	}
	return list
}

func save(t testing.TB, r *repo.Repository, chunks [][]byte) repo.ID {
	t.Helper()
	id, err := backup(t.Context(), r, chunks)
	require.NoError(t, err)
	return id
}

// TestCollect forgets a snapshot that shares half of its chunks with another, and collects.
func TestCollect(t *testing.T) {
	for _, role := range []crypto.Role{crypto.Admin, crypto.Collector} {
		t.Run(role.String(), func(t *testing.T) {
			store, key := mem.New(nil), keyFile(t)
			r := initRepo(t, store, key)
			chunks := someChunks(1, 400, 10<<10)
			var mixed [][]byte // so that each segment has something of both
			for i := range 200 {
				mixed = append(mixed, chunks[i], chunks[200+i])
			}
			old := save(t, r, mixed)
			kept := save(t, r, chunks[:200])
			before := objects(t, store, "packs/")
			require.NoError(t, r.Forget(t.Context(), []repo.ID{old}, ""))

			c := r
			if role == crypto.Collector {
				other := keyFile(t)
				_, err := r.AddKey(t.Context(), crypto.Collector, "collector", other)
				require.NoError(t, err)
				c = openRepo(t, store, other)
			}
			report := collect(t, c, everything())
			require.Zero(t, report.Condemned)
			require.Zero(t, report.Refused)
			require.NoError(t, r.Refresh(t.Context()))
			list := requireWhole(t, r)
			require.Len(t, list, 1)
			require.Equal(t, kept, list[0].ID)
			if role == crypto.Admin {
				require.Zero(t, report.Inside)
				require.Less(t, report.LeftUnused, report.Stored/100)
				stays := slices.DeleteFunc(objects(t, store, "packs/"), func(k string) bool { return !slices.Contains(before, k) })
				require.Less(t, len(stays), 3, "what was half used was written anew")
			} else {
				require.NotZero(t, report.Inside, "without a key that reads, what is in a segment stays")
			}
			requireClean(t, r)
			again := collect(t, c, everything())
			require.Zero(t, again.Dropped+again.Repacked+again.Deleted, "%+v", again)
		})
	}
}

// requireClean fails if there is anything that nobody needs, but for the session of the collection itself.
func requireClean(t testing.TB, r *repo.Repository) {
	t.Helper()
	report, err := r.Check(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, report.Errors)
	require.Zero(t, report.Unreferenced)
}

// TestCollectNothing leaves alone what is needed.
func TestCollectNothing(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	save(t, r, someChunks(1, 50, 40<<10))
	save(t, r, someChunks(2, 50, 40<<10))
	before := objects(t, store, "packs/")
	report := collect(t, r, everything())
	require.Zero(t, report.Dropped+report.Repacked)
	require.Equal(t, before, objects(t, store, "packs/"))
	require.Len(t, requireWhole(t, r), 2)
}

// TestCollectAll deletes everything when nothing is needed.
func TestCollectAll(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 50, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	collect(t, r, nil)
	for _, prefix := range []string{"packs/", "index/", "snapshots/", "sessions/"} {
		require.Empty(t, objects(t, store, prefix))
	}
	save(t, r, someChunks(1, 50, 40<<10))
	require.Len(t, requireWhole(t, r), 1)
}

// TestCollectWaits is the sleeping laptop: a session that was opened before may use what is condemned, so it stays until the session ends, and what
// the session then commits is whole.
func TestCollectWaits(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 50, 40<<10)
	id := save(t, r, chunks)
	sleeper := openRepo(t, store, key)
	s, err := sleeper.Begin(t.Context(), &repo.SessionOptions{Kind: "test"})
	require.NoError(t, err)
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	before := objects(t, store, "packs/")
	report := collect(t, r, everything())
	require.NotZero(t, report.Condemned)
	require.Equal(t, []string{s.ID()}, []string{report.Waiting[0].String()})
	require.Equal(t, before, objects(t, store, "packs/"), "nothing may go yet")

	root, err := saveAll(t.Context(), s, chunks)
	require.NoError(t, err)
	require.Zero(t, s.Stats().Chunks, "all is there")
	committed, err := s.Commit(t.Context(), root, []byte("m"))
	require.NoError(t, err)
	report = collect(t, r, everything())
	require.Zero(t, report.Condemned)
	require.NotZero(t, report.Rescued, "what the sleeper refers to is needed again")
	list := requireWhole(t, r)
	require.Len(t, list, 1)
	require.Equal(t, committed, list[0].ID)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 1)
	requireClean(t, r)
}

// TestCollectTrustsNoQuarantine rescues sound packs, whatever somebody stored where damaged ones are kept.
func TestCollectTrustsNoQuarantine(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 50, 40<<10)
	id := save(t, r, chunks)
	s, err := openRepo(t, store, key).Begin(t.Context(), &repo.SessionOptions{Kind: "test"})
	require.NoError(t, err)
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	require.NotZero(t, collect(t, r, everything()).Condemned)
	for _, k := range objects(t, store, "packs/") {
		require.NoError(t, backend.PutBytes(t.Context(), store, "quarantine/"+k, []byte("anything"), nil))
	}
	root, err := saveAll(t.Context(), s, chunks)
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), root, []byte("m"))
	require.NoError(t, err)
	require.NotZero(t, collect(t, r, everything()).Rescued)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 1)
	requireClean(t, r)
}

// TestCondemnedIsAbsent stores again what is condemned.
func TestCondemnedIsAbsent(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 50, 40<<10)
	id := save(t, r, chunks)
	s, err := openRepo(t, store, key).Begin(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	require.NotZero(t, collect(t, r, everything()).Condemned)

	late := openRepo(t, store, key)
	stored := save(t, late, chunks)
	require.NoError(t, s.Close(t.Context(), ""))
	report := collect(t, r, everything())
	require.Zero(t, report.Condemned)
	require.Zero(t, report.Rescued)
	list := requireWhole(t, r)
	require.Len(t, list, 1)
	require.Equal(t, stored, list[0].ID)
	requireClean(t, r)
}

// TestCollectBesideReader reads, with a ledger as it was before, what was moved meanwhile.
func TestCollectBesideReader(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 60, 40<<10)
	old := save(t, r, chunks)
	save(t, r, chunks[:20])
	reader := openRepo(t, store, key)
	list, err := reader.Snapshots()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.NoError(t, r.Forget(t.Context(), []repo.ID{old}, ""))
	report := collect(t, r, everything())
	require.NotZero(t, report.Repacked)
	w := openRepo(t, store, key)
	s, err := w.Begin(t.Context(), nil)
	require.NoError(t, err)
	ids := map[repo.ID]int{}
	dw, err := s.NewWriter(repo.Data)
	require.NoError(t, err)
	for _, c := range chunks[:20] {
		id, known, err := dw.Save(t.Context(), c)
		require.NoError(t, err)
		require.True(t, known)
		ids[id] = len(c)
	}
	require.NoError(t, s.Close(t.Context(), ""))
	for id, n := range ids {
		_, err := reader.Load(t.Context(), repo.Data, id, uint32(n))
		require.NoError(t, err)
	}
}

// TestCollectTwins stores the same chunks twice, by two sessions that did not know of each other, and keeps one copy.
func TestCollectTwins(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 50, 40<<10)
	var sessions []*repo.Session
	for range 2 {
		s, err := openRepo(t, store, key).Begin(t.Context(), nil)
		require.NoError(t, err)
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		root, err := saveAll(t.Context(), s, chunks)
		require.NoError(t, err)
		_, err = s.Commit(t.Context(), root, []byte("m"))
		require.NoError(t, err)
	}
	require.NoError(t, r.Refresh(t.Context()))
	report := collect(t, r, everything())
	require.NotZero(t, report.Dropped)
	require.Len(t, requireWhole(t, r), 2)
	requireClean(t, r)
	stats, err := r.Stats(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 50, stats.Classes[repo.Data].Chunks)
}

// TestCollectMerges puts many small packs and index files together.
func TestCollectMerges(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	for i := range 20 {
		save(t, r, someChunks(uint64(i+1), 1, 40<<10))
	}
	require.Len(t, objects(t, store, "index/"), 20)
	report := collect(t, r, nil)
	require.NotZero(t, report.Merged)
	require.Len(t, objects(t, store, "index/"), 1)
	require.Less(t, len(objects(t, store, "packs/")), 10)
	require.Len(t, requireWhole(t, r), 20)
	requireClean(t, r)
	require.Zero(t, collect(t, r, nil).Merged)
}

// TestCollectDryRun changes nothing.
func TestCollectDryRun(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 50, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	before := objects(t, store, "")
	o := everything()
	o.DryRun = true
	report := collect(t, r, o)
	require.NotZero(t, report.Dropped)
	require.Equal(t, before, objects(t, store, ""))
}

// TestCollectLostPack does not count on a pack that is not there.
func TestCollectLostPack(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 50, 40<<10))
	save(t, r, someChunks(2, 50, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	lost := objects(t, store, "packs/")[0]
	require.NoError(t, store.Delete(t.Context(), lost))
	before := objects(t, store, "packs/")
	_, err := r.Collect(t.Context(), everything())
	require.ErrorContains(t, err, lost)
	require.Equal(t, before, objects(t, store, "packs/"))
}

// TestCollectSweeps deletes what interrupted and failed sessions left, and nothing of those that are open.
func TestCollectSweeps(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	ctx := context.Background()
	stored := func() *repo.Session {
		s, err := openRepo(t, store, key).Begin(ctx, nil)
		require.NoError(t, err)
		_, err = saveAll(ctx, s, someChunks(uint64(len(objects(t, store, ""))), 30, 40<<10))
		require.NoError(t, err)
		require.NoError(t, s.Flush(ctx))
		return s
	}
	failed, open := stored(), stored()
	require.NoError(t, failed.Close(ctx, "given up"))
	require.NotEmpty(t, objects(t, store, "packs/"+failed.ID()+"/"))
	collect(t, r, nil)
	require.Empty(t, objects(t, store, "packs/"+failed.ID()+"/"))
	require.NotEmpty(t, objects(t, store, "packs/"+open.ID()+"/"))
	require.NoError(t, open.Suspend(ctx))
	collect(t, r, nil)
	require.NotEmpty(t, objects(t, store, "packs/"+open.ID()+"/"), "somebody may continue it")
	for _, k := range objects(t, store, "") {
		require.False(t, strings.Contains(k, failed.ID()), k)
	}
}

// TestCollectRevokesDead ends sessions whose process is gone when something waits for them, and no others.
func TestCollectRevokesDead(t *testing.T) {
	store, err := local.Create(filepath.Join(t.TempDir(), "repo"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	key := keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 30, 40<<10))
	ctx := context.Background()
	dead, err := r.Begin(ctx, &repo.SessionOptions{Source: [][]byte{[]byte("a")}})
	require.NoError(t, err)
	_, err = saveAll(ctx, dead, someChunks(2, 30, 40<<10))
	require.NoError(t, err)
	require.NoError(t, dead.Flush(ctx))
	require.NoError(t, dead.Suspend(ctx)) // what it leaves is what a process leaves that was killed
	require.Empty(t, collect(t, r, everything()).Revoked, "nothing waits for it")
	require.NotEmpty(t, objects(t, store, "packs/"+dead.ID()+"/"))

	alive, err := r.Begin(ctx, &repo.SessionOptions{Source: [][]byte{[]byte("b")}})
	require.NoError(t, err)
	require.NoError(t, r.Forget(ctx, []repo.ID{id}, ""))
	report := collect(t, r, everything())
	require.NotZero(t, report.Condemned)
	require.Len(t, report.Revoked, 1)
	require.Equal(t, dead.ID(), report.Revoked[0].String())
	require.Len(t, report.Waiting, 1)
	require.Equal(t, alive.ID(), report.Waiting[0].String())
	require.Empty(t, objects(t, store, "packs/"+dead.ID()+"/"))

	// By name anybody's may be ended; it notices when it commits.
	revoked, err := r.Revoke(ctx, []ledger.SessionID{report.Revoked[0], report.Waiting[0]}, "as asked")
	require.NoError(t, err)
	require.Equal(t, report.Waiting, revoked)
	root, err := saveAll(ctx, alive, someChunks(3, 3, 40<<10))
	require.NoError(t, err)
	_, err = alive.Commit(ctx, root, []byte("m"))
	require.ErrorIs(t, err, repo.ErrSessionEnded)
	require.NoError(t, alive.Suspend(ctx))
	require.Zero(t, collect(t, r, everything()).Condemned)
	_, err = r.Revoke(ctx, []ledger.SessionID{{1}}, "")
	require.ErrorIs(t, err, repo.ErrNotFound)
}

// TestHold keeps a snapshot that is being read, though it is forgotten and collected meanwhile.
func TestHold(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := someChunks(1, 30, 40<<10)
	id := save(t, r, chunks)
	reader := openRepo(t, store, key)
	list, err := reader.Snapshots()
	require.NoError(t, err)
	h, err := reader.Hold(t.Context(), []repo.ID{id}, "host", "test")
	require.NoError(t, err)
	_, err = reader.Hold(t.Context(), []repo.ID{{1}}, "", "")
	require.ErrorIs(t, err, repo.ErrNotFound)

	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	require.Zero(t, collect(t, r, everything()).Dropped)
	load := func(ctx context.Context, id repo.ID, n uint32) ([]byte, error) {
		return reader.Load(ctx, repo.Map, id, n)
	}
	require.NoError(t, reftree.Walk(t.Context(), load, list[0].Root, func(c repo.Class, id repo.ID, n uint32) (bool, error) {
		_, err := reader.Load(t.Context(), c, id, n)
		return true, err
	}))
	require.NoError(t, h.Release(t.Context()))
	require.NotZero(t, collect(t, r, everything()).Dropped)
	require.Empty(t, objects(t, store, "packs/"))

	h, err = reader.Hold(t.Context(), []repo.ID{save(t, r, chunks)}, "", "")
	require.NoError(t, err)
	open, err := r.OpenSessions(t.Context())
	require.NoError(t, err)
	require.Len(t, open, 1)
	_, err = r.Revoke(t.Context(), []ledger.SessionID{open[0].ID}, "as asked")
	require.NoError(t, err)
	require.ErrorIs(t, h.Release(t.Context()), repo.ErrSessionEnded)
}

// TestMovedPacksAreNoLargerThanNeeded: a pack that is full of keys, since it takes segments of many sessions, is not made as large as one that is full of data.
func TestMovedPacksAreNoLargerThanNeeded(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Sealer: key})
	require.NoError(t, err)
	for i := range 150 {
		save(t, r, someChunks(uint64(i), 1, 1000))
	}
	require.NotZero(t, collect(t, r, everything()).Repacked)
	require.Len(t, requireWhole(t, r), 150)
	size := int64(0)
	for info, err := range store.List(t.Context(), "packs/") {
		require.NoError(t, err)
		size += info.Size
	}
	require.Less(t, size, int64(2<<20))
	require.NoError(t, r.Close())
}
