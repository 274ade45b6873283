package repo_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// TestConfigurationsAgree: whatever the sizes, the cipher and the compression, what goes in comes out.
func TestConfigurationsAgree(t *testing.T) {
	chunks := crashChunks()[:20]
	for _, suite := range []crypto.Suite{crypto.AES256GCM, crypto.XChaCha20Poly1305} {
		for _, cfg := range []repo.Config{
			{ChunkMean: 4 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20},
			{ChunkMean: 16 << 10, SegmentSize: 1 << 20, PackSize: 2 << 20},
			{ChunkMean: 256 << 10, SegmentSize: 16 << 20, PackSize: 32 << 20},
			{},
		} {
			for _, level := range []pack.Level{pack.Fastest, pack.Off, pack.Better} {
				cfg.Suite = suite
				t.Run(fmt.Sprintf("%s/%d-%d-%d/%s", suite, cfg.ChunkMean, cfg.SegmentSize, cfg.PackSize, level), func(t *testing.T) {
					store, key := mem.New(nil), keyFile(t)
					r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: cfg, Sealer: key})
					require.NoError(t, err)
					s, err := r.Begin(t.Context(), &repo.SessionOptions{Compression: level})
					require.NoError(t, err)
					root, err := saveAll(t.Context(), s, chunks)
					require.NoError(t, err)
					_, err = s.Commit(t.Context(), root, nil)
					require.NoError(t, err)
					require.NoError(t, r.Close())
					requireWhole(t, openRepo(t, store, key))
				})
			}
		}
	}
}

func TestUnknownFeaturesAreRefusedByName(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	require.NoError(t, r.RaiseFeatures(t.Context(), repo.Features{Write: []string{"striped-packs"}}))
	again := openRepo(t, store, key)
	_, err := again.Begin(t.Context(), nil)
	var unknown *repo.FeatureError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, []string{"striped-packs"}, unknown.Features)
	require.ErrorContains(t, err, "striped-packs")

	require.NoError(t, r.RaiseFeatures(t.Context(), repo.Features{Read: []string{"new-maps"}}))
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.ErrorContains(t, err, "new-maps")
	require.NoError(t, r.Close())
}

func TestChunkersDifferBetweenRepositories(t *testing.T) {
	data := make([]byte, 4<<20)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	var cuts [][]int
	for range 2 {
		r := initRepo(t, mem.New(nil), keyFile(t))
		c, err := r.NewChunker(chunk.Gear)
		require.NoError(t, err)
		cuts = append(cuts, chunk.AppendCuts(nil, c, data, true))
	}
	require.NotEqual(t, cuts[0], cuts[1])
}
