package repo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// slowStore lets no Get of an object with the prefix through before some are waiting at the same time.
type slowStore struct {
	backend.Store
	skip   func(key string) bool
	met    chan struct{}
	mu     sync.Mutex
	wait   int
	asked  map[string]int
	failed string // a Get of it fails
}

var errFar = errors.New("the store is far away")

func (s *slowStore) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if s.skip(key) {
		return s.Store.Get(ctx, key, off, n)
	}
	s.mu.Lock()
	s.asked[key]++
	if s.wait--; s.wait == 0 {
		close(s.met)
	}
	s.mu.Unlock()
	if key == s.failed {
		return nil, errFar
	}
	select {
	case <-s.met:
		return s.Store.Get(ctx, key, off, n)
	case <-time.After(10 * time.Second):
		return nil, errors.New("nobody else came")
	}
}

// TestColdClientReadsSeveralAtOnce opens a repository of many sessions without a cache: what takes one request each is read several at a
// time, each once.
func TestColdClientReadsSeveralAtOnce(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	rng := rand.New(rand.NewPCG(1, 3))
	const sessions = 20
	for i := range sessions {
		_, err := backup(t.Context(), r, [][]byte{randomChunk(rng, 1000)})
		require.NoError(t, err, i)
	}
	require.NoError(t, r.Close())

	for _, prefix := range []string{"index/", "log/"} {
		far := &slowStore{Store: store, met: make(chan struct{}), wait: 6, asked: map[string]int{}, skip: func(key string) bool {
			return !strings.HasPrefix(key, prefix) || prefix == "log/" && key < fmt.Sprintf("log/%012d", 8)
		}}
		cold := openRepo(t, far, key)
		list, err := cold.Snapshots()
		require.NoError(t, err)
		require.Len(t, list, sessions)
		for _, s := range list {
			_, err := cold.Load(t.Context(), repo.Meta, s.Root.Meta.ID, s.Root.Meta.Length)
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, len(far.asked), sessions)
		for key, n := range far.asked {
			require.LessOrEqual(t, n, 2, key) // entries just behind the head may be looked for again
		}
	}

	// An error of the store is one, and whoever asks again goes on.
	far := &slowStore{Store: store, met: make(chan struct{}), wait: 1, asked: map[string]int{}, skip: func(key string) bool {
		return !strings.HasPrefix(key, "index/")
	}}
	for info, err := range store.List(t.Context(), "index/") {
		require.NoError(t, err)
		far.failed = info.Key
	}
	cold := openRepo(t, far, key)
	list, err := cold.Snapshots()
	require.NoError(t, err)
	_, err = cold.Load(t.Context(), repo.Meta, list[0].Root.Meta.ID, list[0].Root.Meta.Length)
	require.ErrorIs(t, err, errFar)
	far.failed = ""
	_, err = cold.Load(t.Context(), repo.Meta, list[0].Root.Meta.ID, list[0].Root.Meta.Length)
	require.NoError(t, err)
}

// TestReadersTakeInTheNewestIndexFirst reads no more index files than those since the chunk was stored, and a few more.
func TestReadersTakeInTheNewestIndexFirst(t *testing.T) {
	const commits = 40
	g := newGate()
	g.closed.Store(true)
	close(g.open) // only counts
	r, _, ids, chunks := gated(t, g, commits)
	r.SetIndexStep(1)
	read := 0
	for _, back := range []int{1, 2, 5, 13, commits, 20} {
		i := commits - back
		require.NoError(t, load(t, r, ids[i], chunks[i]))
		for len(g.waiting) > 0 {
			<-g.waiting
			read++
		}
		require.LessOrEqual(t, read, min(2*max(back, 13), commits), "for a chunk of %d commits ago", back)
		if back == 1 {
			require.Equal(t, 1, read)
		}
	}
	require.Equal(t, commits, read, "each once")
	require.ErrorIs(t, load(t, r, repo.ID{1}, []byte("x")), repo.ErrNotFound)
	s := begin(t, r, "a writer")
	for _, id := range ids {
		require.True(t, s.Has(id))
	}
	require.NoError(t, s.Close(t.Context(), "done"))
}
