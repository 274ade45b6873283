package backend_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
)

// stream is a store whose readers say nothing of their size and give what its function returns.
type stream struct {
	*mem.Store
	open func() io.Reader
}

func (s stream) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(s.open()), nil
}

func TestReadAllWithoutSize(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		b := bytes.Repeat([]byte{7}, size)
		s := stream{open: func() io.Reader { return iotest.HalfReader(bytes.NewReader(b)) }}
		for _, limit := range []int64{int64(size), int64(size) + 1, 1 << 30} {
			got, err := backend.ReadAll(t.Context(), s, "a", limit)
			require.NoError(t, err)
			require.True(t, bytes.Equal(b, got))
			require.LessOrEqual(t, cap(got), max(4096, 2*size))
			require.LessOrEqual(t, int64(cap(got)), limit)
		}
		if size == 0 {
			continue
		}
		_, err := backend.ReadAll(t.Context(), s, "a", int64(size)-1)
		var tl *backend.TooLargeError
		require.ErrorAs(t, err, &tl)
	}
}

func TestReadAllStopsAtTheLimit(t *testing.T) {
	s := stream{open: func() io.Reader { return endless{} }}
	_, err := backend.ReadAll(t.Context(), s, "a", 10_000)
	var tl *backend.TooLargeError
	require.ErrorAs(t, err, &tl)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReadAllPassesErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, limit := range []int64{3, 100} {
		s := stream{open: func() io.Reader {
			return io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(broken))
		}}
		_, err := backend.ReadAll(t.Context(), s, "key", limit)
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "key")
	}
}

// short claims more bytes than it has.
type short struct{ io.Reader }

func (short) Size() int64 { return 10 }

func (short) Close() error { return nil }

type shortStore struct{ *mem.Store }

func (shortStore) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return short{bytes.NewReader([]byte("abc"))}, nil
}

func TestShortReadsAreErrors(t *testing.T) {
	_, err := backend.ReadAll(t.Context(), shortStore{}, "a", 100)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorIs(t, backend.ReadFull(t.Context(), shortStore{}, "a", 0, make([]byte, 4)), io.ErrUnexpectedEOF)
	empty := stream{open: func() io.Reader { return bytes.NewReader(nil) }}
	require.ErrorIs(t, backend.ReadFull(t.Context(), empty, "a", 0, make([]byte, 4)), io.ErrUnexpectedEOF)
	require.NoError(t, backend.ReadFull(t.Context(), empty, "a", 0, nil))
}

func TestBytes(t *testing.T) {
	b := []byte("hello")
	src := backend.Bytes(b)
	got, ok := backend.InMemory(src)
	require.True(t, ok)
	require.Equal(t, b, got)
	_, ok = backend.InMemory(bytes.NewReader(b))
	require.False(t, ok)
	all, err := io.ReadAll(io.NewSectionReader(src, 1, 100))
	require.NoError(t, err)
	require.Equal(t, "ello", string(all))
	_, err = src.ReadAt(make([]byte, 1), -1)
	require.Error(t, err)
	require.NotEqual(t, io.EOF, err)
}

type wrapper struct{ backend.Store }

func (w wrapper) Unwrap() backend.Store { return w.Store }

func TestAs(t *testing.T) {
	s := mem.New(nil)
	wrapped := wrapper{wrapper{s}}
	_, direct := backend.Store(wrapped).(backend.Locker)
	require.False(t, direct)
	l, ok := backend.As[backend.Locker](wrapped)
	require.True(t, ok)
	require.Same(t, s, l)
	_, ok = backend.As[backend.Capacity](wrapped)
	require.False(t, ok)
	_, ok = backend.As[backend.Locker](wrapper{})
	require.False(t, ok)
	require.Equal(t, "memory", backend.Location(wrapped))
	require.Equal(t, "backend_test.wrapper", backend.Location(wrapper{}))
}
