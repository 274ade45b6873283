package mem_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/backendtest"
	"github.com/holdfast-backup/holdfast/backend/mem"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backend.Store { return mem.New(nil) })
}

func TestConformanceLazy(t *testing.T) {
	backendtest.Run(t, func(*testing.T) backend.Store { return mem.New(&mem.Options{LazyDurability: true}) })
}

func Benchmark(b *testing.B) {
	backendtest.Benchmark(b, func(*testing.B) backend.Store { return mem.New(nil) })
}

func put(t *testing.T, s backend.Store, key, value string) {
	t.Helper()
	require.NoError(t, backend.PutBytes(t.Context(), s, key, []byte(value), nil))
}

func requireValue(t *testing.T, s backend.Store, key, value string) {
	t.Helper()
	b, err := backend.ReadAll(t.Context(), s, key, 100)
	require.NoError(t, err)
	require.Equal(t, value, string(b))
}

func requireMissing(t *testing.T, s backend.Store, key string) {
	t.Helper()
	_, err := s.Stat(t.Context(), key)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestCrashKeepsWhatReturned(t *testing.T) {
	s := mem.New(nil)
	put(t, s, "a", "old")
	put(t, s, "gone", "x")
	lock, err := s.TryLock(t.Context(), "l")
	require.NoError(t, err)
	put(t, s, "a", "new")
	require.NoError(t, s.Delete(t.Context(), "gone"))

	c := s.Crash()
	requireValue(t, c, "a", "new")
	requireMissing(t, c, "gone")
	held, err := c.TryLock(t.Context(), "l")
	require.NoError(t, err, "locks end with a crash")
	require.NoError(t, held.Close())

	put(t, c, "a", "after")
	put(t, s, "b", "before")
	requireValue(t, s, "a", "new")
	requireMissing(t, c, "b")
	_, err = s.TryLock(t.Context(), "l")
	require.ErrorIs(t, err, backend.ErrLocked)
	require.NoError(t, lock.Close())

	require.NoError(t, s.Close())
	requireValue(t, s.Crash(), "b", "before")
}

// blockingSource shows the store in the middle of a Put.
type blockingSource struct{ during func() }

// ReadAt implements io.ReaderAt.
func (b blockingSource) ReadAt(p []byte, _ int64) (int, error) {
	b.during()
	return len(p), nil
}

func TestCrashDuringPut(t *testing.T) {
	s := mem.New(nil)
	put(t, s, "there", "old")
	var crashed *mem.Store
	src := blockingSource{during: func() { crashed = s.Crash() }}
	require.NoError(t, s.Put(t.Context(), "new", src, 10, nil))
	requireMissing(t, crashed, "new")
	requireValue(t, crashed, "there", "old")
	requireValue(t, s.Crash(), "new", string(make([]byte, 10)))
}

func TestLazyDurability(t *testing.T) {
	s := mem.New(&mem.Options{LazyDurability: true})
	put(t, s, "a", "1")
	put(t, s, "gone", "x")
	requireMissing(t, s.Crash(), "a")
	s.Sync()
	put(t, s, "a", "2")
	put(t, s, "b", "2")
	require.NoError(t, s.Delete(t.Context(), "gone"))
	requireValue(t, s, "a", "2")
	c := s.Crash()
	requireValue(t, c, "a", "1")
	requireMissing(t, c, "b")
	requireValue(t, c, "gone", "x")
	put(t, c, "b", "3")
	requireMissing(t, c.Crash(), "b")
	s.Sync()
	requireValue(t, s.Crash(), "b", "2")
	requireMissing(t, s.Crash(), "gone")
}
