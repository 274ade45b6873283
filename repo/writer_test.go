package repo_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// stuck is a store that takes packs and does not come back until it is released.
type stuck struct {
	backend.Store
	arrived  chan string
	released chan struct{}
}

// Put implements backend.Store.
func (s *stuck) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	if strings.HasPrefix(key, "packs/") {
		s.arrived <- key
		<-s.released
	}
	return s.Store.Put(ctx, key, src, size, opts)
}

func (s *stuck) Unwrap() backend.Store { return s.Store }

// TestUploadsHoldUpNobody: while packs are being stored, writers go on to fill the next one.
func TestUploadsHoldUpNobody(t *testing.T) {
	const uploads = 2
	store := &stuck{Store: mem.New(nil), arrived: make(chan string, 100), released: make(chan struct{})}
	r := initRepo(t, store, keyFile(t))
	s, err := r.Begin(t.Context(), &repo.SessionOptions{Compression: pack.Off, Uploads: uploads})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	chunks := make(chan []byte)
	var group errgroup.Group
	for range 3 {
		w, err := s.NewWriter(repo.Data)
		require.NoError(t, err)
		group.Go(func() error {
			for c := range chunks {
				if _, _, err := w.Save(t.Context(), c); err != nil {
					return err
				}
			}
			return w.Flush(t.Context())
		})
	}
	// Two and a half packs.
	for range (uploads<<20 + 1<<19) / (16 << 10) {
		select {
		case chunks <- randomChunk(rng, 16<<10):
		case <-time.After(30 * time.Second):
			t.Fatal("writers wait for the store")
		}
	}
	for range uploads {
		<-store.arrived
	}
	require.Empty(t, store.arrived, "more uploads than were allowed")
	close(chunks)
	require.NoError(t, group.Wait())
	close(store.released)
	require.NoError(t, s.Flush(t.Context()))
	require.NoError(t, s.Close(t.Context(), "test"))
	require.NoError(t, r.Close())
}

// forgetful is a store that takes packs and keeps none.
type forgetful struct{ backend.Store }

// Put implements backend.Store.
func (s forgetful) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	if strings.HasPrefix(key, "packs/") {
		return nil
	}
	return s.Store.Put(ctx, key, src, size, opts)
}

func (s forgetful) Unwrap() backend.Store { return s.Store }

// BenchmarkWriters shows what the work of many processors would wait for. An encoder that sleeps stands for one that computes, so that any number of
// writers are at work at the same time. Efficiency is what each of them reaches of what one reaches alone, and wait the time in which a segment's writer
// waited for any lock.
func BenchmarkWriters(b *testing.B) {
	const segment = 1 << 20
	alone := time.Duration(0) // for a segment
	for _, writers := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			r, err := repo.Init(b.Context(), forgetful{mem.New(nil)}, &repo.InitOptions{Sealer: keyFile(b)})
			require.NoError(b, err)
			s, err := r.Begin(b.Context(), nil)
			require.NoError(b, err)
			before := lockWait()
			b.SetBytes(int64(writers * segment))
			b.ResetTimer()
			var group errgroup.Group
			for n := range writers {
				w, err := s.NewWriter(repo.Data)
				require.NoError(b, err)
				group.Go(func() error { return writeSlowly(b.Context(), w, uint64(n)<<32, b.N, segment) })
			}
			require.NoError(b, group.Wait())
			b.StopTimer()
			each := b.Elapsed() / time.Duration(b.N)
			if writers == 1 {
				alone = each
			}
			b.ReportMetric(alone.Seconds()/each.Seconds(), "efficiency")
			b.ReportMetric((lockWait()-before).Seconds()*1e6/float64(b.N*writers), "wait-µs/segment")
			require.NoError(b, s.Close(b.Context(), "benchmark"))
			require.NoError(b, r.Close())
		})
	}
}

// writeSlowly writes segments that compress to a third, for which the encoder takes 20 ms each.
func writeSlowly(ctx context.Context, w *repo.Writer, first uint64, segments, size int) error {
	quick, err := pack.NewCompressor(pack.LevelS2, size)
	if err != nil {
		return err
	}
	w.SetCompress(func(dst, plain []byte) ([]byte, pack.Codec) {
		time.Sleep(20 * time.Millisecond)
		return quick.Compress(dst, plain)
	})
	const chunk = 64 << 10
	data := make([]byte, chunk)
	copy(data, randomChunk(rand.New(rand.NewPCG(first, 1)), chunk/3))
	for i := range segments * size / chunk {
		binary.LittleEndian.PutUint64(data, first+uint64(i))
		if _, _, err := w.Save(ctx, data); err != nil {
			return err
		}
	}
	return w.Flush(ctx)
}

func lockWait() time.Duration {
	s := []metrics.Sample{{Name: "/sync/mutex/wait/total:seconds"}}
	metrics.Read(s)
	return time.Duration(s[0].Value.Float64() * float64(time.Second))
}
