package meter_test

import (
	"io"
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/backendtest"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/backend/meter"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backend.Store { return meter.New(mem.New(nil)) })
}

func TestCounts(t *testing.T) {
	ctx := t.Context()
	s := meter.New(mem.New(nil))
	require.NoError(t, backend.PutBytes(ctx, s, "a/b", make([]byte, 1000), nil))
	require.NoError(t, backend.PutBytes(ctx, s, "a/c", make([]byte, 500), nil))
	require.ErrorIs(t, backend.PutBytes(ctx, s, "a/b", make([]byte, 7), &backend.PutOptions{IfAbsent: true}), fs.ErrExist)
	require.Equal(t, meter.Count{Calls: 3, Failures: 1, Bytes: 1500}, s.Count(backend.OpPut))

	require.NoError(t, backend.ReadFull(ctx, s, "a/b", 100, make([]byte, 50)))
	r, err := s.Get(ctx, "a/b", 0, -1)
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	require.EqualValues(t, 990, r.(backend.Sized).Size())
	require.NoError(t, r.Close())
	_, err = s.Get(ctx, "x", 0, -1)
	require.Error(t, err)
	require.Equal(t, meter.Count{Calls: 3, Failures: 1, Bytes: 60}, s.Count(backend.OpGet))

	_, err = s.Stat(ctx, "x")
	require.Error(t, err)
	require.Equal(t, meter.Count{Calls: 1, Failures: 1}, s.Count(backend.OpStat))
	for _, err := range s.List(ctx, "") {
		require.NoError(t, err)
	}
	for _, err := range s.List(ctx, "bad") {
		require.Error(t, err)
	}
	require.Equal(t, meter.Count{Calls: 2, Failures: 1}, s.Count(backend.OpList))
	require.NoError(t, s.Delete(ctx, "a/b"))
	require.Equal(t, meter.Count{Calls: 1}, s.Count(backend.OpDelete))
	require.Equal(t, meter.Count{Calls: 10, Failures: 4, Bytes: 1560}, s.Total())
	require.Zero(t, s.Count(backend.NumOps))
}

func TestCountsOfConcurrentCalls(t *testing.T) {
	s := meter.New(mem.New(nil))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := backend.PutBytes(t.Context(), s, "a", make([]byte, 10), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, meter.Count{Calls: 400, Bytes: 4000}, s.Count(backend.OpPut))
}
