package backendtest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

var errMissing = fs.ErrNotExist

func testList(t *testing.T, s backend.Store) {
	requireKeys(t, s, "")
	requireKeys(t, s, "a/")
	sizes := map[string]int64{}
	var keys []string
	for i, key := range []string{
		"a/b", "a-b", "a.b", "a0", "a_b", "aa", "a/b.c/d", "a/b-c/d/e", "a/0", "b/x/y/z", "z", "log/10", "log/9",
	} {
		put(t, s, key, data(i*10, byte(i)))
		sizes[key] = int64(i * 10)
		keys = append(keys, key)
	}
	slices.Sort(keys)
	requireKeys(t, s, "", keys...)
	for info, err := range s.List(t.Context(), "") {
		require.NoError(t, err)
		require.Equal(t, sizes[info.Key], info.Size, info.Key)
	}
}

func testListPrefixes(t *testing.T, s backend.Store) {
	for _, key := range []string{"a/b/c", "a/b/d", "a/bb/c", "a/x", "ab/c", "a-/c"} {
		put(t, s, key, nil)
	}
	requireKeys(t, s, "a/", "a/b/c", "a/b/d", "a/bb/c", "a/x")
	requireKeys(t, s, "a/b/", "a/b/c", "a/b/d")
	requireKeys(t, s, "ab/", "ab/c")
	requireKeys(t, s, "a/b/c/")
	requireKeys(t, s, "a/b/c/d/")
	requireKeys(t, s, "nothing/")
	for _, prefix := range []string{"a", "/", "a//", "../", "A/", ".a/", "tmp/", "locks/"} {
		keys, err := list(t.Context(), s, prefix)
		require.ErrorIs(t, err, fs.ErrInvalid, prefix)
		require.Empty(t, keys)
	}
}

func testListStops(t *testing.T, s backend.Store) {
	for i := range 20 {
		put(t, s, fmt.Sprintf("a/%02d/x", i), nil)
	}
	t.Run("Break", func(t *testing.T) {
		seen := 0
		for _, err := range s.List(t.Context(), "a/") {
			require.NoError(t, err)
			if seen++; seen == 5 {
				break
			}
		}
		require.Equal(t, 5, seen)
	})
	t.Run("Twice", func(t *testing.T) {
		seq := s.List(t.Context(), "a/")
		for range 2 {
			seen := 0
			for _, err := range seq {
				require.NoError(t, err)
				seen++
			}
			require.Equal(t, 20, seen)
		}
	})
	t.Run("DeletingOnTheWay", func(t *testing.T) {
		seen := 0
		for info, err := range s.List(t.Context(), "a/") {
			require.NoError(t, err)
			require.NoError(t, s.Delete(t.Context(), info.Key))
			seen++
		}
		require.Equal(t, 20, seen)
		requireKeys(t, s, "")
	})
	t.Run("Cancelled", func(t *testing.T) {
		for i := range 20 {
			put(t, s, fmt.Sprintf("b/%02d/x", i), nil)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last error
		seen := 0
		for info, err := range s.List(ctx, "") {
			if last = err; err != nil {
				require.Zero(t, info)
				continue
			}
			seen++
			cancel()
		}
		require.ErrorIs(t, last, context.Canceled)
		require.Less(t, seen, 20)
	})
}

func testDelete(t *testing.T, s backend.Store) {
	put(t, s, "a/b/c", data(10, 1))
	put(t, s, "a/b/d", data(10, 2))
	require.NoError(t, s.Delete(t.Context(), "a/b/c"))
	requireMissing(t, s, "a/b/c")
	require.ErrorIs(t, s.Delete(t.Context(), "a/b/c"), fs.ErrNotExist)
	require.ErrorIs(t, s.Delete(t.Context(), "a/b"), fs.ErrNotExist)
	require.ErrorIs(t, s.Delete(t.Context(), "a"), fs.ErrNotExist)
	requireKeys(t, s, "", "a/b/d")
	requireObject(t, s, "a/b/d", data(10, 2))
	require.NoError(t, s.Delete(t.Context(), "a/b/d"))
	requireKeys(t, s, "")
	require.NoError(t, backend.PutBytes(t.Context(), s, "a/b/c", data(10, 3), ifAbsent))
	requireObject(t, s, "a/b/c", data(10, 3))
}

// testDeleteRace lets 8 deleters remove one object: at least one is told that it did, the others that it is missing.
func testDeleteRace(t *testing.T, s backend.Store) {
	for round := range 10 {
		key := fmt.Sprintf("a/%d", round)
		put(t, s, key, nil)
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = s.Delete(t.Context(), key) })
		}
		wg.Wait()
		deleted := 0
		for _, err := range errs {
			if err == nil {
				deleted++
				continue
			}
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
		require.Positive(t, deleted)
		requireMissing(t, s, key)
	}
}

// testSharedFolders stores, reads and deletes under keys that share their beginnings, which drivers may keep as folders
// that come and go.
func testSharedFolders(t *testing.T, s backend.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 25 {
				key := fmt.Sprintf("a/b/c/%d-%d", w, i)
				if err := sharedFolderTurn(t.Context(), s, key, data(50, byte(w))); err != nil {
					t.Errorf("object %s: %v", key, err)
					return
				}
			}
		})
	}
	wg.Wait()
	requireKeys(t, s, "")
}

func sharedFolderTurn(ctx context.Context, s backend.Store, key string, b []byte) error {
	if err := backend.PutBytes(ctx, s, key, b, ifAbsent); err != nil {
		return err
	}
	got, err := backend.ReadAll(ctx, s, key, 100)
	if err != nil {
		return err
	}
	if string(got) != string(b) {
		return fmt.Errorf("read %d bytes that were not stored", len(got))
	}
	for _, err := range s.List(ctx, "a/b/") {
		if err != nil {
			return err
		}
	}
	return s.Delete(ctx, key)
}
