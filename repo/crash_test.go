package repo_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// backup is one session as a service would run it: begin, save, commit.
func backup(ctx context.Context, r *repo.Repository, chunks [][]byte) (repo.ID, error) {
	s, err := r.Begin(ctx, &repo.SessionOptions{Kind: "test", Source: [][]byte{[]byte("source")}})
	if err != nil {
		return repo.ID{}, err
	}
	root, err := saveAll(ctx, s, chunks)
	if err == nil {
		var id repo.ID
		if id, err = s.Commit(ctx, root, []byte("m")); err == nil {
			return id, nil
		}
	}
	return repo.ID{}, errors.Join(err, s.Suspend(ctx))
}

func saveAll(ctx context.Context, s *repo.Session, chunks [][]byte) (repo.Pair, error) {
	w, err := s.NewWriter(repo.Data)
	if err != nil {
		return repo.Pair{}, err
	}
	var refs []reftree.Reference
	for _, c := range chunks {
		id, _, err := w.Save(ctx, c)
		if err != nil {
			return repo.Pair{}, err
		}
		refs = append(refs, reftree.Reference{Kind: reftree.RefData, Ref: repo.Ref{ID: id, Length: uint32(len(c))}})
	}
	if err := w.Flush(ctx); err != nil {
		return repo.Pair{}, err
	}
	meta, err := s.Save(ctx, repo.Meta, []byte("root"))
	if err != nil {
		return repo.Pair{}, err
	}
	node := reftree.AppendReferenceNode(nil, refs)
	id, err := s.Save(ctx, repo.Map, node)
	return repo.Pair{Meta: repo.Ref{ID: meta, Length: 4}, Map: repo.Ref{ID: id, Length: uint32(len(node))}}, err
}

// requireWhole fails unless the repository is sound and every snapshot in it can be read.
func requireWhole(t *testing.T, r *repo.Repository) []repo.Snapshot {
	t.Helper()
	report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll(), Workers: 1})
	require.NoError(t, err)
	require.Empty(t, report.Errors)
	list, err := r.Snapshots()
	require.NoError(t, err)
	for _, s := range list {
		load := func(ctx context.Context, id repo.ID, n uint32) ([]byte, error) { return r.Load(ctx, repo.Map, id, n) }
		require.NoError(t, reftree.Walk(t.Context(), load, s.Root, func(c repo.Class, id repo.ID, n uint32) (bool, error) {
			_, err := r.Load(t.Context(), c, id, n)
			return true, err
		}))
	}
	return list
}

func crashChunks() [][]byte {
	rng := rand.New(rand.NewPCG(9, 9))
	var chunks [][]byte
	for range 80 {
		chunks = append(chunks, randomChunk(rng, 40<<10))
	}
	return chunks
}

// TestCrashAtEveryCall kills a backup at each of its calls to the store, drops what was not durable, and then makes sure that
// the repository is whole, that a reported success is there, and that the next backup succeeds.
func TestCrashAtEveryCall(t *testing.T) {
	key := keyFile(t)
	base := mem.New(nil)
	require.NoError(t, initRepo(t, base, key).Close())
	chunks := crashChunks()
	const puts = 12 // about as many as a backup of these chunks does
	for _, lost := range []bool{false, true} {
		for n := 0; n < 60; n++ {
			store := base.Crash()
			faulty, err := fault.New(store, nil)
			require.NoError(t, err)
			r, err := repo.Open(t.Context(), faulty, &repo.Options{Credential: key})
			require.NoError(t, err)
			if lost {
				// The call is done, its reply is lost, and the process dies before the next one.
				require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{backend.OpPut}, After: n, Times: 1, Kind: fault.After, Err: fault.ErrKilled}))
			} else {
				faulty.KillAfter(n)
			}
			_, err = backup(t.Context(), r, chunks)
			verifyCrash(t, store.Crash(), key, chunks, err == nil, fmt.Sprintf("lost %v, call %d", lost, n))
			if err == nil && (!lost || n > puts) {
				require.Greater(t, n, 10, "there was something to interrupt")
				break
			}
			require.NotEqual(t, 59, n, "no run succeeded")
		}
	}
}

func verifyCrash(t *testing.T, store backend.Store, key repo.Credential, chunks [][]byte, committed bool, what string) {
	t.Helper()
	r := openRepo(t, store, key)
	list := requireWhole(t, r)
	if committed {
		require.Len(t, list, 1, what)
	}
	_, err := backup(t.Context(), r, chunks)
	require.NoError(t, err, what)
	require.Len(t, requireWhole(t, r), len(list)+1, what)
}

// TestInitCrash kills init at each call: there is a whole repository or none, and none is no obstacle.
func TestInitCrash(t *testing.T) {
	for n := 0; ; n++ {
		key := keyFile(t)
		store := mem.New(nil)
		faulty, err := fault.New(store, nil)
		require.NoError(t, err)
		faulty.KillAfter(n)
		_, err = repo.Init(t.Context(), faulty, &repo.InitOptions{Config: small, Sealer: key})
		after := store.Crash()
		_, oerr := repo.Open(t.Context(), after, &repo.Options{Credential: key})
		if oerr != nil {
			require.ErrorIs(t, oerr, repo.ErrNoRepository)
			require.Error(t, err)
			again := initRepo(t, after, key)
			requireWhole(t, again)
			require.NoError(t, again.Close())
		}
		if err == nil {
			break
		}
	}
}

// TestWriteErrorsFailTheRun: any error of a write ends the backup with an error, and commits nothing.
func TestWriteErrorsFailTheRun(t *testing.T) {
	key := keyFile(t)
	base := mem.New(nil)
	require.NoError(t, initRepo(t, base, key).Close())
	full := errors.New("no space left")
	for n := range 12 {
		store := base.Crash()
		faulty, err := fault.New(store, nil)
		require.NoError(t, err)
		r, err := repo.Open(t.Context(), faulty, &repo.Options{Credential: key})
		require.NoError(t, err)
		require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{backend.OpPut}, After: n, Kind: fault.Before, Err: full}))
		_, err = backup(t.Context(), r, crashChunks())
		list, lerr := openRepo(t, store, key).Snapshots()
		require.NoError(t, lerr)
		if err == nil {
			require.Len(t, list, 1)
			require.Greater(t, n, 4)
			return
		}
		require.ErrorIs(t, err, full)
		require.Empty(t, list)
	}
	t.Fatal("no run succeeded")
}

// TestResumeUploadsTheRest: a session that died is continued by the next one of the same source.
func TestResumeUploadsTheRest(t *testing.T) {
	key := keyFile(t)
	store := mem.New(nil)
	require.NoError(t, initRepo(t, store, key).Close())
	chunks := crashChunks()

	r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.NoError(t, err)
	s := begin(t, r, "disk")
	_, err = saveAll(t.Context(), s, chunks[:60])
	require.NoError(t, err)
	require.NoError(t, s.Flush(t.Context()))
	require.NoError(t, s.Record(t.Context()))
	after := store.Crash() // with all its locks gone

	again := begin(t, openRepo(t, after, key), "disk")
	root, err := saveAll(t.Context(), again, chunks)
	require.NoError(t, err)
	_, err = again.Commit(t.Context(), root, nil)
	require.NoError(t, err)
	require.EqualValues(t, 20+1, again.Stats().Chunks, "20 DATA and the root's reference node")
	requireWhole(t, openRepo(t, after, key))

	other := begin(t, openRepo(t, store, key), "disk")
	require.False(t, other.Has(repo.ID{}), "the first one lives and is not continued")
	root, err = saveAll(t.Context(), other, chunks)
	require.NoError(t, err)
	_, err = other.Commit(t.Context(), root, nil)
	require.NoError(t, err)
	require.EqualValues(t, 80+2, other.Stats().Chunks)
	require.NoError(t, s.Close(t.Context(), "test"))
}

// TestAdoptedSessionCannotCommit: a session that was taken for dead and continued by another notices.
func TestAdoptedSessionCannotCommit(t *testing.T) {
	key := keyFile(t)
	store := mem.New(nil)
	require.NoError(t, initRepo(t, store, key).Close())
	r := openRepo(t, store, key)
	s := begin(t, r, "disk")
	root, err := saveAll(t.Context(), s, crashChunks())
	require.NoError(t, err)
	require.NoError(t, s.ReleaseLock()) // as if the kernel had lost it

	other := begin(t, openRepo(t, store, key), "disk")
	_, err = s.Commit(t.Context(), root, nil)
	require.ErrorIs(t, err, repo.ErrSessionEnded)
	require.NoError(t, s.Suspend(t.Context()))
	require.NoError(t, other.Close(t.Context(), "test"))
	list, err := openRepo(t, store, key).Snapshots()
	require.NoError(t, err)
	require.Empty(t, list)
}

// TestStatsCountEveryByte: what a session says it stored is what the store has more of, also when a dead one is continued.
func TestStatsCountEveryByte(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	size := func() (n uint64) {
		for info, err := range store.List(t.Context(), "") {
			require.NoError(t, err)
			n += uint64(info.Size)
		}
		return n
	}
	before := size()
	grown := func(s *repo.Session, what string) {
		t.Helper()
		now := size()
		require.Equal(t, now-before, s.Stats().Stored, what)
		before = now
	}
	chunks := crashChunks()
	r := openRepo(t, store, key)
	closed := begin(t, r, "closed")
	require.NoError(t, closed.Close(t.Context(), "for a test"))
	grown(closed, "OPEN and CLOSE")
	dead := begin(t, r, "x")
	_, err := saveAll(t.Context(), dead, chunks[:60])
	require.NoError(t, err)
	require.NoError(t, dead.Flush(t.Context()))
	require.NoError(t, dead.Suspend(t.Context()))
	grown(dead, "with a progress record")
	idle := begin(t, r, "idle")
	require.NoError(t, idle.Suspend(t.Context()))
	grown(idle, "nothing to continue")
	s := begin(t, r, "x")
	root, err := saveAll(t.Context(), s, chunks)
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), root, []byte("m"))
	require.NoError(t, err)
	grown(s, "with COMMIT and the snapshot")
}
