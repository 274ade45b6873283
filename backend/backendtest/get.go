package backendtest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

func testMissing(t *testing.T, s backend.Store) {
	put(t, s, "a/b", data(10, 1))
	for _, key := range []string{"x", "a/x", "x/y/z", "a", "a/b/c", "a/b/c/d"} {
		t.Run(key, func(t *testing.T) {
			requireMissing(t, s, key)
			_, err := s.Get(t.Context(), key, 0, 0)
			require.ErrorIs(t, err, fs.ErrNotExist, "an empty range")
			_, err = s.Get(t.Context(), key, 100, 1)
			require.ErrorIs(t, err, fs.ErrNotExist)
			err = s.Delete(t.Context(), key)
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.ErrorContains(t, err, key)
			require.True(t, backend.IsPermanent(err))
			_, err = backend.ReadAll(t.Context(), s, key, 100)
			require.ErrorIs(t, err, fs.ErrNotExist)
		})
	}
	requireObject(t, s, "a/b", data(10, 1))
}

func testRanges(t *testing.T, s backend.Store) {
	const size = 1000
	b := data(size, 1)
	put(t, s, "r/object", b)
	put(t, s, "r/empty", nil)
	good := []struct {
		key    string
		off, n int64
		want   []byte
	}{
		{"r/object", 0, -1, b}, {"r/object", 0, size, b}, {"r/object", 0, 1, b[:1]}, {"r/object", 999, 1, b[999:]},
		{"r/object", 10, 20, b[10:30]}, {"r/object", 10, -1, b[10:]}, {"r/object", 10, -7, b[10:]}, {"r/object", size, -1, nil},
		{"r/object", size, 0, nil}, {"r/object", 0, 0, nil}, {"r/object", 500, 0, nil},
		{"r/empty", 0, -1, nil}, {"r/empty", 0, 0, nil},
	}
	for _, g := range good {
		t.Run(fmt.Sprintf("%s/%d+%d", g.key, g.off, g.n), func(t *testing.T) {
			r, err := s.Get(t.Context(), g.key, g.off, g.n)
			require.NoError(t, err)
			if sized, ok := r.(backend.Sized); ok {
				require.EqualValues(t, len(g.want), sized.Size())
			}
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, string(g.want), string(got))
			require.NoError(t, r.Close())
		})
	}
	bad := []struct {
		key    string
		off, n int64
		want   error
	}{
		{"r/object", size + 1, -1, io.ErrUnexpectedEOF}, {"r/object", size + 1, 0, io.ErrUnexpectedEOF},
		{"r/object", 0, size + 1, io.ErrUnexpectedEOF}, {"r/object", 999, 2, io.ErrUnexpectedEOF},
		{"r/object", size, 1, io.ErrUnexpectedEOF}, {"r/object", 5, math.MaxInt64, io.ErrUnexpectedEOF},
		{"r/object", math.MaxInt64, math.MaxInt64, io.ErrUnexpectedEOF}, {"r/empty", 0, 1, io.ErrUnexpectedEOF},
		{"r/empty", 1, -1, io.ErrUnexpectedEOF}, {"r/object", -1, -1, fs.ErrInvalid}, {"r/object", -1, 5, fs.ErrInvalid},
	}
	for _, g := range bad {
		t.Run(fmt.Sprintf("%s/%d+%d", g.key, g.off, g.n), func(t *testing.T) {
			_, err := s.Get(t.Context(), g.key, g.off, g.n)
			require.ErrorIs(t, err, g.want)
			var re *backend.RangeError
			require.ErrorAs(t, err, &re)
			require.Equal(t, g.key, re.Key)
			require.True(t, backend.IsPermanent(err))
		})
	}
	require.ErrorIs(t, backend.ReadFull(t.Context(), s, "r/object", 990, make([]byte, 11)), io.ErrUnexpectedEOF)
}

func testReaders(t *testing.T, s backend.Store) {
	b := data(100_000, 1)
	put(t, s, "a", b)
	get := func(t *testing.T, off, n int64) io.ReadCloser {
		r, err := s.Get(t.Context(), "a", off, n)
		require.NoError(t, err)
		t.Cleanup(func() { _ = r.Close() }) // some tests close it before
		return r
	}
	t.Run("Behaviour", func(t *testing.T) {
		require.NoError(t, iotest.TestReader(get(t, 7, 3000), b[7:3007]))
	})
	t.Run("OneByteAtATime", func(t *testing.T) {
		got, err := io.ReadAll(iotest.OneByteReader(get(t, 99_000, -1)))
		require.NoError(t, err)
		require.Equal(t, b[99_000:], got)
	})
	t.Run("EndStaysEnd", func(t *testing.T) {
		r := get(t, 0, 10)
		_, err := io.ReadAll(r)
		require.NoError(t, err)
		_, err = r.Read(make([]byte, 10))
		require.Equal(t, io.EOF, err)
	})
	t.Run("Closed", func(t *testing.T) {
		r := get(t, 0, -1)
		require.NoError(t, r.Close())
		_, err := r.Read(make([]byte, 10))
		require.Error(t, err)
		require.NotEqual(t, io.EOF, err)
	})
	t.Run("SideBySide", func(t *testing.T) {
		x, y := get(t, 0, -1), get(t, 50_000, -1)
		p, q := make([]byte, 1000), make([]byte, 1000)
		for i := 0; i < 50_000; i += 1000 {
			_, err := io.ReadFull(x, p)
			require.NoError(t, err)
			_, err = io.ReadFull(y, q)
			require.NoError(t, err)
			require.Equal(t, b[i:i+1000], p)
			require.Equal(t, b[50_000+i:51_000+i], q)
		}
	})
	t.Run("TooLarge", func(t *testing.T) {
		_, err := backend.ReadAll(t.Context(), s, "a", 99_999)
		var tl *backend.TooLargeError
		require.ErrorAs(t, err, &tl)
		require.EqualValues(t, 99_999, tl.Max)
	})
}

func testCancelledBefore(t *testing.T, s backend.Store) {
	put(t, s, "a", data(10, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, backend.PutBytes(ctx, s, "b", data(10, 2), nil), context.Canceled)
	require.ErrorIs(t, backend.PutBytes(ctx, s, "c", nil, ifAbsent), context.Canceled)
	_, err := s.Get(ctx, "a", 0, -1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Stat(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = list(ctx, s, "")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, s.Delete(ctx, "a"), context.Canceled)
	requireObject(t, s, "a", data(10, 1))
	requireKeys(t, s, "", "a")
}

func testCancelledRead(t *testing.T, s backend.Store) {
	put(t, s, "a", data(10<<20, 1))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Get(ctx, "a", 0, -1)
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 100))
	require.NoError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
}
