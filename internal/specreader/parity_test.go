package specreader

import (
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// TestParity reads packs that have parity.
func TestParity(t *testing.T) {
	dir := t.TempDir()
	store, err := local.Create(dir, nil)
	require.NoError(t, err)
	text, key := crypto.NewKeyFile()
	w, err := repo.Init(t.Context(), store, &repo.InitOptions{
		Config: repo.Config{ChunkMean: 4 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20, Parity: 10}, Sealer: key,
	})
	require.NoError(t, err)
	s, err := w.Begin(t.Context(), nil)
	require.NoError(t, err)
	var refs []reftree.Reference
	for range 100 {
		chunk := make([]byte, 16<<10)
		rand.Read(chunk)
		id, err := s.Save(t.Context(), repo.Data, chunk)
		require.NoError(t, err)
		refs = append(refs, reftree.Reference{Kind: reftree.RefData, Ref: repo.Ref{ID: id, Length: uint32(len(chunk))}})
	}
	meta, err := s.Save(t.Context(), repo.Meta, []byte("root"))
	require.NoError(t, err)
	node := reftree.AppendReferenceNode(nil, refs)
	id, err := s.Save(t.Context(), repo.Map, node)
	require.NoError(t, err)
	_, err = s.Commit(t.Context(), repo.Pair{Meta: repo.Ref{ID: meta, Length: 4}, Map: repo.Ref{ID: id, Length: uint32(len(node))}}, nil)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, store.Close())

	credential, err := KeyFile(string(text))
	require.NoError(t, err)
	r, err := Open(dir, credential)
	require.NoError(t, err)
	require.EqualValues(t, 10, r.ledger.genesis.parity)
	for _, ref := range refs {
		require.NoError(t, failing(func() { r.chunk(classData, chunkRef{ID(ref.Ref.ID), uint64(ref.Ref.Length)}) }))
	}
}
