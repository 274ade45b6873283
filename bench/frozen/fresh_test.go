package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/specreader"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// content makes up bytes of every kind: noise, text, zeros, and pieces of before.
func content(rng *rand.Rand, before []byte) []byte {
	var b []byte
	for range rng.IntN(6) {
		n := rng.IntN(1 << 18)
		switch rng.IntN(5) {
		case 0:
			b = append(b, make([]byte, n)...)
		case 1:
			for range n {
				b = append(b, byte(rng.Uint32()))
			}
		case 2:
			b = append(b, bytes.Repeat([]byte{byte(rng.Uint32())}, n)...)
		case 3:
			b = append(b, fmt.Appendf(nil, "%d%0*d", rng.Uint64(), n, 0)...)
		default:
			b = append(b, before[:min(n, len(before))]...)
		}
	}
	return b
}

// fill writes a folder of random files, and returns what is in each.
func fill(t *testing.T, rng *rand.Rand, dir string) map[string][]byte {
	files := map[string][]byte{}
	var before []byte
	for i := range 300 {
		name := filepath.Join(dir, fmt.Sprint("d", rng.IntN(3)), fmt.Sprint("file-", i))
		var b []byte
		if i%15 == 0 {
			b = content(rng, before)
			before = append(before[:0:0], b...)
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, b, 0o644))
		files[filepath.ToSlash(name)] = b
	}
	return files
}

// TestFreshRepositories: what programs write now, the document's reader reads, with every suite and chunker.
func TestFreshRepositories(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i, kind := range []chunk.Kind{chunk.Aligned, chunk.Gear, chunk.Rabin, chunk.Fixed} {
		suite := []crypto.Suite{crypto.AES256GCM, crypto.XChaCha20Poly1305}[i%2]
		t.Run(fmt.Sprint(kind, " ", suite), func(t *testing.T) {
			dir := t.TempDir()
			files := fill(t, rng, dir)
			at := filepath.Join(t.TempDir(), "repository")
			key := write(t, at, dir, suite, &snapshot.BackupOptions{Chunker: kind, Force: true})
			read(t, at, key, files)
		})
	}
}

// write makes a repository with two snapshots of a folder, and returns the text of its key file.
func write(t *testing.T, at, dir string, suite crypto.Suite, o *snapshot.BackupOptions) string {
	store, err := local.Create(at, nil)
	require.NoError(t, err)
	text, key := crypto.NewKeyFile()
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{
		Sealer: key, Options: repo.Options{Credential: key},
		Config: repo.Config{ChunkMean: 8 << 10, SegmentSize: 256 << 10, PackSize: 1 << 20, Suite: suite},
	})
	require.NoError(t, err)
	tr, err := source.NewTree(nil)
	require.NoError(t, err)
	for range 2 {
		_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{snapshot.Files(tr, dir)}, o)
		require.NoError(t, err)
	}
	require.NoError(t, r.Close())
	require.NoError(t, store.Close())
	return string(text)
}

// read compares all snapshots of a repository with what was written.
func read(t *testing.T, at, key string, files map[string][]byte) {
	credential, err := specreader.KeyFile(key)
	require.NoError(t, err)
	r, err := specreader.Open(at, credential)
	require.NoError(t, err)
	require.Empty(t, r.Void())
	snapshots, err := r.Snapshots()
	require.NoError(t, err)
	require.Len(t, snapshots, 2)
	for _, s := range snapshots {
		require.True(t, s.Manifest.Complete)
		seen := 0
		require.NoError(t, r.Walk(s, func(path string, n *specreader.Node) error {
			if n.Type != specreader.TypeFile {
				return nil
			}
			seen++
			var got bytes.Buffer
			require.NoError(t, r.WriteContent(&got, n))
			require.True(t, bytes.Equal(files[path], got.Bytes()), path)
			return nil
		}))
		require.Len(t, files, seen)
	}
}
