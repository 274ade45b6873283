package repo_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// TestUnflushedChunksAreNotCommitted: a chunk that a forgotten writer holds must not pass for stored.
func TestUnflushedChunksAreNotCommitted(t *testing.T) {
	r := initRepo(t, mem.New(nil), keyFile(t))
	s := begin(t, r, "x")
	forgotten, err := s.NewWriter(repo.Data)
	require.NoError(t, err)
	_, _, err = forgotten.Save(t.Context(), []byte("lost"))
	require.NoError(t, err)
	root, err := saveAll(t.Context(), s, [][]byte{[]byte("lost")})
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), root, nil)
	require.ErrorContains(t, err, "not flushed")
	require.NoError(t, s.Suspend(t.Context()))
}

func TestUnknownRootIsNotCommitted(t *testing.T) {
	r := initRepo(t, mem.New(nil), keyFile(t))
	s := begin(t, r, "x")
	_, err := s.Commit(t.Context(), repo.Pair{}, nil)
	require.ErrorIs(t, err, repo.ErrNotFound)
	require.NoError(t, s.Close(t.Context(), "test"))
	require.NoError(t, s.Close(t.Context(), "again"), "what has ended stays ended")
	_, err = s.Save(t.Context(), repo.Meta, []byte("x"))
	require.Error(t, err)
}

// TestDamagedProgressIsNoObstacle: what a dead session recorded is used up to the damage.
func TestDamagedProgressIsNoObstacle(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.NoError(t, err)
	s := begin(t, r, "x")
	_, err = saveAll(t.Context(), s, crashChunks())
	require.NoError(t, err)
	require.NoError(t, s.Flush(t.Context()))
	require.NoError(t, s.Record(t.Context()))
	for _, prefix := range []string{"sessions/", "index/"} {
		dead := store.Crash()
		for info, err := range dead.List(t.Context(), prefix) {
			require.NoError(t, err)
			require.NoError(t, backend.PutBytes(t.Context(), dead, info.Key, []byte("junk"), nil))
		}
		again := openRepo(t, dead, key)
		_, err = again.Begin(t.Context(), &repo.SessionOptions{Source: [][]byte{[]byte("x")}})
		require.NoError(t, err, prefix)
	}
}

// TestLostIndexFile: what the other index files list can be read, and new backups store the rest again.
func TestLostIndexFile(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunks := crashChunks()
	_, err := backup(t.Context(), r, chunks[:10])
	require.NoError(t, err)
	var lost string
	for info, err := range store.List(t.Context(), "index/") {
		require.NoError(t, err)
		lost = info.Key
	}
	_, err = backup(t.Context(), r, chunks[40:50])
	require.NoError(t, err)
	h, err := r.NewHasher(repo.Data)
	require.NoError(t, err)
	first, later := h.Sum(chunks[0]), h.Sum(chunks[40])
	require.NoError(t, r.Close())
	require.NoError(t, store.Delete(t.Context(), lost))

	r = openRepo(t, store, key)
	_, err = r.Load(t.Context(), repo.Data, later, uint32(len(chunks[40])))
	require.NoError(t, err)
	_, err = r.Load(t.Context(), repo.Data, first, uint32(len(chunks[0])))
	var corrupt *repo.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, lost, corrupt.Key)
	report, err := r.Check(t.Context(), nil)
	require.NoError(t, err)
	require.NotEmpty(t, report.Errors)
	_, err = backup(t.Context(), r, chunks[:10])
	require.NoError(t, err)
	require.NoError(t, r.Refresh(t.Context()))
	_, err = r.Load(t.Context(), repo.Data, first, uint32(len(chunks[0])))
	require.NoError(t, err, "stored again")
}

// TestLostGenesis is damage, and no place for a new repository.
func TestLostGenesis(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	_, err := backup(t.Context(), r, crashChunks()[:1])
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, store.Delete(t.Context(), "log/000000000000"))
	var corrupt *repo.CorruptError
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.ErrorAs(t, err, &corrupt)
	_, err = repo.Init(t.Context(), store, &repo.InitOptions{Sealer: key})
	require.ErrorIs(t, err, repo.ErrRepositoryExists)
	_, err = repo.Init(t.Context(), mem.New(nil), nil)
	require.Error(t, err)
}

// TestSmallestPacks take segments that do not compress, two to a pack or not.
func TestSmallestPacks(t *testing.T) {
	for _, size := range []int{2 << 20, 3 << 20} {
		r, err := repo.Init(t.Context(), mem.New(nil), &repo.InitOptions{Config: repo.Config{SegmentSize: 1 << 20, PackSize: size}, Sealer: keyFile(t)})
		require.NoError(t, err)
		var chunks [][]byte
		for range 10 {
			chunks = append(chunks, crashChunks()...)
		}
		_, err = backup(t.Context(), r, chunks)
		require.NoError(t, err)
		require.NoError(t, r.Refresh(t.Context()))
		requireWhole(t, r)
	}
}

// TestPacksOfTinyChunks: a pack ends before the memory for its chunks becomes large.
func TestPacksOfTinyChunks(t *testing.T) {
	store := mem.New(nil)
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: repo.Config{ChunkMean: 16 << 10, SegmentSize: 64 << 10}, Sealer: keyFile(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	s := begin(t, r, "tiny")
	var chunks [][]byte
	for i := range 300_000 {
		chunks = append(chunks, fmt.Appendf(nil, "%06d", i))
	}
	root := saveTree(t, s, chunks)
	require.NoError(t, s.Flush(t.Context()))
	_, err = s.Commit(t.Context(), root, []byte("manifest"))
	require.NoError(t, err)
	packs, bytes := 0, int64(0)
	for info, err := range store.List(t.Context(), "packs/") {
		require.NoError(t, err)
		require.Less(t, info.Size, int64(12<<20))
		packs++
		bytes += info.Size
	}
	require.GreaterOrEqual(t, packs, 3)
	require.Less(t, bytes, int64(40<<20), "they are not padded to the full size")
	requireWhole(t, r)
}

// TestInterruptedAddKey: a slot that was stored and never admitted does not stand in the way of the one that was.
func TestInterruptedAddKey(t *testing.T) {
	for range 6 { // which slot is tried first is chance
		store, key, second := mem.New(nil), keyFile(t), keyFile(t)
		require.NoError(t, initRepo(t, store, key).Close())
		faulty, err := fault.New(store, nil)
		require.NoError(t, err)
		require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{backend.OpPut}, Prefix: "log/", Kind: fault.Before}))
		r, err := repo.Open(t.Context(), faulty, &repo.Options{Credential: key})
		require.NoError(t, err)
		_, err = r.AddKey(t.Context(), crypto.Writer, "", second)
		require.ErrorIs(t, err, fault.ErrInjected)
		faulty.Clear()
		_, err = r.AddKey(t.Context(), crypto.Writer, "", second)
		require.NoError(t, err)
		require.Equal(t, crypto.Writer, openRepo(t, store, second).Role())
	}
}

// TestUnusableCache: a cache that cannot be used is done without.
func TestUnusableCache(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	_, err := backup(t.Context(), r, [][]byte{[]byte("one")})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	r, err = repo.Open(t.Context(), store, &repo.Options{Credential: key, CacheDir: filepath.Join(file, "c")})
	require.NoError(t, err)
	requireWhole(t, r)
	require.NoError(t, r.Close())
	_, err = r.Load(t.Context(), repo.Data, repo.ID{}, 1)
	require.Error(t, err, "closed")
}

// TestSuspendedForNothing: runs that were interrupted before they stored anything leave nothing to look at.
func TestSuspendedForNothing(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	looked := 0
	for range 5 {
		f, err := fault.New(store, &fault.Options{OnOp: func(_ backend.Op, k string) {
			if strings.HasPrefix(k, "sessions/") {
				looked++
			}
		}})
		require.NoError(t, err)
		s := begin(t, openRepo(t, f, key), "x")
		require.NoError(t, s.Suspend(t.Context()))
	}
	require.Zero(t, looked)
}

func TestTagsOfUnknownSnapshot(t *testing.T) {
	r := initRepo(t, mem.New(nil), keyFile(t))
	require.ErrorIs(t, r.SetTags(t.Context(), repo.ID{1}, []string{"x"}), repo.ErrNotFound)
}

// TestDamagedGenesis is damage, not a wrong key.
func TestDamagedGenesis(t *testing.T) {
	d := newDamaged(t)
	genesis := d.objects(t)["log/000000000000"]
	for _, bad := range [][]byte{{}, genesis[:100], append([]byte("x"), genesis[1:]...), append(genesis[:len(genesis)-1:len(genesis)-1], genesis[len(genesis)-1]^1)} {
		_, err := repo.Open(t.Context(), d.with(t, "log/000000000000", bad), &repo.Options{Credential: d.key})
		var corrupt *repo.CorruptError
		require.ErrorAs(t, err, &corrupt)
		require.Equal(t, "log/000000000000", corrupt.Key)
	}
}
