package backendtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

func testRoundTrip(t *testing.T, s backend.Store) {
	var keys []string
	for i, n := range []int{0, 1, 4095, 4096, 100_000, 1 << 20, 3<<20 + 7} {
		key := fmt.Sprintf("sizes/%d", i)
		put(t, s, key, data(n, byte(i)))
		keys = append(keys, key)
	}
	for i, n := range []int{0, 1, 4095, 4096, 100_000, 1 << 20, 3<<20 + 7} {
		requireObject(t, s, keys[i], data(n, byte(i)))
	}
	requireKeys(t, s, "", keys...)
}

func testLarge(t *testing.T, s backend.Store) {
	b := data(40<<20, 9)
	require.NoError(t, s.Put(t.Context(), "large/unknown", &source{b: b}, int64(len(b)), ifAbsent))
	require.NoError(t, s.Put(t.Context(), "large/memory", backend.Bytes(b), int64(len(b)), ifAbsent))
	requireObject(t, s, "large/unknown", b)
	requireObject(t, s, "large/memory", b)
	part := make([]byte, 2<<20)
	require.NoError(t, backend.ReadFull(t.Context(), s, "large/memory", 33<<20+5, part))
	require.True(t, bytes.Equal(part, b[33<<20+5:35<<20+5]))
}

func testSourceUse(t *testing.T, s backend.Store) {
	b := data(5000, 1)
	t.Run("LongerThanSize", func(t *testing.T) {
		require.NoError(t, s.Put(t.Context(), "long/unknown", &source{b: b}, 3000, nil))
		requireObject(t, s, "long/unknown", b[:3000])
		require.NoError(t, s.Put(t.Context(), "long/memory", backend.Bytes(b), 3000, nil))
		requireObject(t, s, "long/memory", b[:3000])
	})
	t.Run("ChangedLater", func(t *testing.T) {
		mine := bytes.Clone(b)
		put(t, s, "changed", mine)
		clear(mine)
		requireObject(t, s, "changed", b)
	})
	t.Run("NegativeSize", func(t *testing.T) {
		require.ErrorIs(t, s.Put(t.Context(), "negative", backend.Bytes(b), -1, nil), fs.ErrInvalid)
		requireMissing(t, s, "negative")
	})
}

func testSourceFails(t *testing.T, s backend.Store) {
	const size = 5 << 20
	b := data(size, 1)
	check := func(t *testing.T, src io.ReaderAt, want error) {
		for _, opts := range []*backend.PutOptions{nil, ifAbsent} {
			err := s.Put(t.Context(), "new/object", src, size, opts)
			require.ErrorIs(t, err, want)
			var se *backend.SourceError
			require.ErrorAs(t, err, &se, "the store must say that the source failed")
			require.True(t, backend.IsPermanent(err))
			requireMissing(t, s, "new/object")
		}
		requireKeys(t, s, "")
	}
	t.Run("Error", func(t *testing.T) {
		check(t, &source{b: b, trap: size / 2, at: func() error { return errSource }}, errSource)
	})
	t.Run("Missing", func(t *testing.T) {
		check(t, &source{b: b, trap: size / 2, at: func() error { return fs.ErrNotExist }}, fs.ErrNotExist)
	})
	t.Run("Short", func(t *testing.T) { check(t, &source{b: b[:size-1]}, io.ErrUnexpectedEOF) })
	t.Run("ShortInMemory", func(t *testing.T) { check(t, backend.Bytes(b[:size-1]), io.ErrUnexpectedEOF) })
	t.Run("Empty", func(t *testing.T) { check(t, backend.Bytes(nil), io.ErrUnexpectedEOF) })
}

func testReplace(t *testing.T, s backend.Store) {
	put(t, s, "a/b", data(1000, 1))
	put(t, s, "a/b", data(10, 2))
	requireObject(t, s, "a/b", data(10, 2))
	src := &source{b: data(2000, 3), trap: 1500, at: func() error { return errSource }}
	require.ErrorIs(t, s.Put(t.Context(), "a/b", src, 2000, nil), errSource)
	requireObject(t, s, "a/b", data(10, 2))
	requireKeys(t, s, "", "a/b")
}

// testReplaceIsAtomic reads an object while it is being replaced: it is always one of the versions, whole.
func testReplaceIsAtomic(t *testing.T, s backend.Store) {
	const size = 300_000
	put(t, s, "a/b", bytes.Repeat([]byte{0}, size))
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				b, err := backend.ReadAll(t.Context(), s, "a/b", size)
				if err != nil || len(b) != size || bytes.Count(b, b[:1]) != size {
					t.Errorf("read a mixture of versions: %d bytes, error %v", len(b), err)
					return
				}
			}
		})
	}
	for i := range 20 {
		err := backend.PutBytes(t.Context(), s, "a/b", bytes.Repeat([]byte{byte(i)}, size), nil)
		if err != nil {
			t.Errorf("replacing: %v", err)
		}
	}
	close(done)
	wg.Wait()
}

func testIfAbsent(t *testing.T, s backend.Store) {
	require.NoError(t, backend.PutBytes(t.Context(), s, "once/0", data(10, 1), ifAbsent))
	err := backend.PutBytes(t.Context(), s, "once/0", data(10, 2), ifAbsent)
	require.ErrorIs(t, err, fs.ErrExist)
	require.True(t, backend.IsPermanent(err))
	require.ErrorContains(t, err, "once/0")
	err = backend.PutBytes(t.Context(), s, "once/0", data(10, 1), ifAbsent)
	require.ErrorIs(t, err, fs.ErrExist, "equal bytes are no excuse")
	requireObject(t, s, "once/0", data(10, 1))
	requireKeys(t, s, "", "once/0")
}

// testIfAbsentRace lets 16 writers create each of some objects: one wins, and its bytes are there.
func testIfAbsentRace(t *testing.T, s backend.Store) {
	const writers, rounds, size = 16, 6, 20_000
	for round := range rounds {
		key := fmt.Sprintf("log/%d/x", round)
		errs := make([]error, writers)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for w := range writers {
			wg.Go(func() {
				<-start
				errs[w] = backend.PutBytes(t.Context(), s, key, data(size, byte(w)), ifAbsent)
			})
		}
		close(start)
		wg.Wait()
		winner := -1
		for w, err := range errs {
			if err == nil {
				require.Equal(t, -1, winner, "two winners")
				winner = w
				continue
			}
			require.ErrorIs(t, err, fs.ErrExist)
		}
		require.NotEqual(t, -1, winner, "no winner")
		requireObject(t, s, key, data(size, byte(winner)))
	}
}

// testConflict stores keys that a folder cannot hold side by side: whether or not the store can, it must not lose any.
func testConflict(t *testing.T, s backend.Store) {
	put(t, s, "a/b", data(10, 1))
	put(t, s, "c", data(10, 2))
	for _, opts := range []*backend.PutOptions{nil, ifAbsent} {
		for _, key := range []string{"a", "c/d", "c/d/e"} {
			err := backend.PutBytes(t.Context(), s, key, data(10, 3), opts)
			if err != nil {
				require.ErrorIs(t, err, backend.ErrConflict)
				require.NotErrorIs(t, err, fs.ErrExist)
				requireMissing(t, s, key)
			} else {
				requireObject(t, s, key, data(10, 3))
				require.NoError(t, s.Delete(t.Context(), key))
			}
		}
	}
	requireObject(t, s, "a/b", data(10, 1))
	requireObject(t, s, "c", data(10, 2))
}

func testKeys(t *testing.T, s backend.Store) {
	seg := strings.Repeat("k", 63)
	longest := strings.Repeat(seg+"/", 7) + seg + "k"
	require.Len(t, longest, backend.MaxKeyLen)
	for i, key := range []string{"a", "0", "_x", "-", "a.b-c_d.0", "a..b", "x/tmp/locks", "tmpx", longest, strings.Repeat("s", 200)} {
		put(t, s, key, data(20, byte(i)))
		requireObject(t, s, key, data(20, byte(i)))
		require.NoError(t, s.Delete(t.Context(), key))
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.b", "A", "a b", "a\\b", "a:b",
		"ä", "a\x00b", "tmp", "tmp/a", "locks/a", longest + "k", "a/a/a/a/a/a/a/a/a", strings.Repeat("s", 201),
	} {
		t.Run(fmt.Sprintf("%.20q", key), func(t *testing.T) { requireInvalid(t, s, key) })
	}
	requireKeys(t, s, "")
}

func requireInvalid(t *testing.T, s backend.Store, key string) {
	var ke *backend.KeyError
	err := backend.PutBytes(t.Context(), s, key, nil, nil)
	require.ErrorAs(t, err, &ke)
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = s.Get(t.Context(), key, 0, -1)
	require.ErrorAs(t, err, &ke)
	_, err = s.Stat(t.Context(), key)
	require.ErrorAs(t, err, &ke)
	require.ErrorAs(t, s.Delete(t.Context(), key), &ke)
}

func testCancelledPut(t *testing.T, s backend.Store) {
	const size = 20 << 20
	b := data(size, 1)
	put(t, s, "there", data(10, 2))
	cases := map[string]func(cancel func(), ctx context.Context) error{
		"SourceGoesOn": func(cancel func(), _ context.Context) error { cancel(); return nil },
		"SourceEnds":   func(cancel func(), ctx context.Context) error { cancel(); <-ctx.Done(); return ctx.Err() },
	}
	for name, at := range cases {
		for _, trap := range []int64{0, size / 2, size - 1} {
			t.Run(fmt.Sprintf("%s/%d", name, trap), func(t *testing.T) {
				for _, key := range []string{"new/object", "there"} {
					ctx, cancel := context.WithCancel(t.Context())
					src := &source{b: b, trap: trap, at: func() error { return at(cancel, ctx) }}
					require.ErrorIs(t, s.Put(ctx, key, src, size, nil), context.Canceled)
				}
				requireMissing(t, s, "new/object")
				requireObject(t, s, "there", data(10, 2))
				requireKeys(t, s, "", "there")
			})
		}
	}
}
