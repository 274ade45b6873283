package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// forgetful is a store that takes packs and keeps none, so that what is measured is what comes before.
type forgetful struct{ backend.Store }

// Put implements backend.Store.
func (s forgetful) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	if strings.HasPrefix(key, "packs/") {
		return nil
	}
	return s.Store.Put(ctx, key, src, size, opts)
}

func (s forgetful) Unwrap() backend.Store { return s.Store }

// BenchmarkBackup carries an image from memory through the whole pipeline.
func BenchmarkBackup(b *testing.B) {
	const size = 64 << 20
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	var text bytes.Buffer
	for text.Len() < size {
		fmt.Fprintf(&text, "%d is number %x of what a table holds\n", rng.IntN(1e6), rng.IntN(1e9))
	}
	image := func(data []byte) snapshot.Item {
		return snapshot.Disk("/disk", &memImage{Reader: bytes.NewReader(data)}, nil, true)
	}
	for _, c := range []struct {
		name  string
		data  []byte
		level pack.Level
	}{{"first/text", text.Bytes()[:size], pack.Fastest}, {"first/text-off", text.Bytes()[:size], pack.Off}, {"first/noise", noise, pack.Fastest}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				_, key := crypto.NewKeyFile()
				r, err := repo.Init(b.Context(), forgetful{mem.New(nil)}, &repo.InitOptions{Sealer: key})
				require.NoError(b, err)
				_, err = snapshot.Backup(b.Context(), r, []snapshot.Item{image(c.data)}, &snapshot.BackupOptions{Host: "h", Compression: c.level})
				require.NoError(b, err)
				require.NoError(b, r.Close())
			}
		})
	}
	b.Run("unchanged", func(b *testing.B) {
		_, key := crypto.NewKeyFile()
		r, err := repo.Init(b.Context(), mem.New(nil), &repo.InitOptions{Sealer: key})
		require.NoError(b, err)
		again := func() {
			_, err := snapshot.Backup(b.Context(), r, []snapshot.Item{image(noise)}, &snapshot.BackupOptions{Host: "h"})
			require.NoError(b, err)
		}
		again()
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			again()
		}
		require.NoError(b, r.Close())
	})
}
