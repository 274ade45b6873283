package repo_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// small makes repositories whose packs fill up quickly.
var small = repo.Config{ChunkMean: 16 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20}

// keyFile is a credential that costs no time.
func keyFile(t testing.TB) *crypto.KeyFile {
	t.Helper()
	_, c := crypto.NewKeyFile()
	return c
}

func initRepo(t testing.TB, store backend.Store, c *crypto.KeyFile) *repo.Repository {
	t.Helper()
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: small, Sealer: c, Label: "first"})
	require.NoError(t, err)
	return r
}

func openRepo(t testing.TB, store backend.Store, c crypto.Credential) *repo.Repository {
	t.Helper()
	r, err := repo.Open(t.Context(), store, &repo.Options{Credential: c})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func randomChunk(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// saveTree stores chunks of class DATA below a root that refers to all of them, and returns the root.
func saveTree(t testing.TB, s *repo.Session, chunks [][]byte) repo.Pair {
	t.Helper()
	ctx := t.Context()
	w, err := s.NewWriter(repo.Data)
	require.NoError(t, err)
	var refs []reftree.Reference
	for _, c := range chunks {
		id, _, err := w.Save(ctx, c)
		require.NoError(t, err)
		refs = append(refs, reftree.Reference{Kind: reftree.RefData, Ref: repo.Ref{ID: id, Length: uint32(len(c))}})
	}
	require.NoError(t, w.Flush(ctx))
	var pairs []reftree.Reference
	for i := 0; len(refs) > 0; i++ {
		n := min(100, len(refs))
		pairs = append(pairs, reftree.Reference{Kind: reftree.RefDirectory, Pair: savePair(t, s, fmt.Sprintf("part %d", i), refs[:n])})
		refs = refs[n:]
	}
	return savePair(t, s, "root", pairs)
}

func savePair(t testing.TB, s *repo.Session, meta string, refs []reftree.Reference) repo.Pair {
	t.Helper()
	m, err := s.Save(t.Context(), repo.Meta, []byte(meta))
	require.NoError(t, err)
	node := reftree.AppendReferenceNode(nil, refs)
	id, err := s.Save(t.Context(), repo.Map, node)
	require.NoError(t, err)
	return repo.Pair{Meta: repo.Ref{ID: m, Length: uint32(len(meta))}, Map: repo.Ref{ID: id, Length: uint32(len(node))}}
}

func begin(t testing.TB, r *repo.Repository, source string) *repo.Session {
	t.Helper()
	s, err := r.Begin(t.Context(), &repo.SessionOptions{Kind: "test", Host: "host", Source: [][]byte{[]byte(source)}})
	require.NoError(t, err)
	return s
}

func TestSaveCommitLoad(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	rng := rand.New(rand.NewPCG(1, 2))
	var chunks [][]byte
	for range 300 {
		chunks = append(chunks, randomChunk(rng, 1+rng.IntN(64<<10)))
	}
	s := begin(t, r, "a")
	root := saveTree(t, s, append(chunks, chunks[:100]...))
	id, err := s.Commit(t.Context(), root, []byte("manifest"))
	require.NoError(t, err)
	require.EqualValues(t, 300+4+1+3+1, s.Stats().Chunks, "the last 100 chunks are the first ones again, and so is their reference node")
	require.NoError(t, r.Close())

	r = openRepo(t, store, key)
	list, err := r.Snapshots()
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, id, list[0].ID)
	require.Equal(t, root, list[0].Root)
	require.Equal(t, "manifest", string(list[0].Manifest))
	loaded := 0
	err = reftree.Walk(t.Context(), func(ctx context.Context, id repo.ID, n uint32) ([]byte, error) { return r.Load(ctx, repo.Map, id, n) }, root,
		func(c repo.Class, id repo.ID, n uint32) (bool, error) {
			_, err := r.Load(t.Context(), c, id, n)
			loaded++
			return true, err
		})
	require.NoError(t, err)
	require.Equal(t, 400+2*4+2, loaded)

	again := begin(t, r, "a")
	require.Equal(t, root, saveTree(t, again, append(chunks, chunks[:100]...)))
	_, err = again.Commit(t.Context(), root, []byte("again"))
	require.NoError(t, err)
	require.Zero(t, again.Stats().Chunks, "everything was known")
}

func TestLoadUnknown(t *testing.T) {
	r := initRepo(t, mem.New(nil), keyFile(t))
	_, err := r.Load(t.Context(), repo.Data, repo.ID{1}, 1)
	require.ErrorIs(t, err, repo.ErrNotFound)
}
