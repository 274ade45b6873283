package backendtest

import (
	"io"
	"io/fs"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

// testOptional tests what the store offers beyond the contract, and leaves out what it does not.
func testOptional(t *testing.T, s backend.Store) {
	require.NotEmpty(t, backend.Location(s))
	if l, ok := backend.As[backend.Locker](s); ok {
		t.Run("Locker", func(t *testing.T) { testLocker(t, s, l) })
	}
	if c, ok := backend.As[backend.Capacity](s); ok {
		t.Run("Capacity", func(t *testing.T) {
			free, total, err := c.Capacity(t.Context())
			require.NoError(t, err)
			require.GreaterOrEqual(t, free, int64(0))
			require.Positive(t, total)
			require.LessOrEqual(t, free, total)
		})
	}
	if n, ok := backend.As[backend.Successor](s); ok {
		t.Run("Successor", func(t *testing.T) { testSuccessor(t, s, n) })
	}
	if p, ok := backend.As[backend.Prober](s); ok {
		t.Run("Prober", func(t *testing.T) {
			first := p.CreateIfAbsent()
			require.GreaterOrEqual(t, first, backend.PrimitiveSingleWriter)
			require.Equal(t, first, p.CreateIfAbsent())
			requireKeys(t, s, "")
		})
	}
}

func testSuccessor(t *testing.T, s backend.Store, n backend.Successor) {
	ctx := t.Context()
	for _, key := range []string{"log/01", "log/03", "log/20", "map/1"} {
		put(t, s, key, data(len(key), 1))
	}
	for after, want := range map[string]string{"log/00": "log/01", "log/01": "log/03", "log/02": "log/03", "log/03": "log/20", "log/20": "", "log/99": ""} {
		info, ok, err := n.Next(ctx, "log/", after)
		require.NoError(t, err)
		require.Equal(t, want != "", ok, after)
		require.Equal(t, want, info.Key)
		require.EqualValues(t, len(want), info.Size)
	}
	_, _, err := n.Next(ctx, "log", "log/01")
	require.ErrorIs(t, err, fs.ErrInvalid)
	for _, key := range []string{"log/01", "log/03", "log/20", "map/1"} {
		require.NoError(t, s.Delete(ctx, key))
	}
}

func testLocker(t *testing.T, s backend.Store, l backend.Locker) {
	ctx := t.Context()
	lock, err := l.TryLock(ctx, "a/b")
	require.NoError(t, err)
	_, err = l.TryLock(ctx, "a/b")
	require.ErrorIs(t, err, backend.ErrLocked)
	other, err := l.TryLock(ctx, "a/c")
	require.NoError(t, err, "another name is another lock")
	requireKeys(t, s, "")
	requireMissing(t, s, "a/b")
	put(t, s, "a/b", data(10, 1))
	requireObject(t, s, "a/b", data(10, 1))
	require.NoError(t, s.Delete(ctx, "a/b"))

	require.NoError(t, lock.Close())
	require.NoError(t, lock.Close(), "closing again")
	lock, err = l.TryLock(ctx, "a/b")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	require.NoError(t, other.Close())
	_, err = l.TryLock(ctx, "../a")
	require.ErrorIs(t, err, fs.ErrInvalid)
	t.Run("Race", func(t *testing.T) { testLockRace(t, l) })
}

func testLockRace(t *testing.T, l backend.Locker) {
	locks := make([]io.Closer, 16)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for i := range locks {
		wg.Go(func() { locks[i], errs[i] = l.TryLock(t.Context(), "race") })
	}
	wg.Wait()
	holders := 0
	for i, err := range errs {
		if err != nil {
			require.ErrorIs(t, err, backend.ErrLocked)
			continue
		}
		holders++
		require.NoError(t, locks[i].Close())
	}
	require.Equal(t, 1, holders)
}

func testClosed(t *testing.T, s backend.Store) {
	put(t, s, "a", data(10, 1))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "closing again")
	ctx := t.Context()
	require.ErrorIs(t, backend.PutBytes(ctx, s, "b", nil, nil), fs.ErrClosed)
	require.ErrorIs(t, backend.PutBytes(ctx, s, "a", nil, ifAbsent), fs.ErrClosed)
	_, err := s.Get(ctx, "a", 0, -1)
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = s.Stat(ctx, "a")
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = list(ctx, s, "")
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorIs(t, s.Delete(ctx, "a"), fs.ErrClosed)
}
