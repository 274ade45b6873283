package repo_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// gate holds back the reading of index files until it is opened.
type gate struct {
	closed  atomic.Bool
	open    chan struct{}
	waiting chan string // keys, as they come
}

func newGate() *gate { return &gate{open: make(chan struct{}), waiting: make(chan string, 1000)} }

func (g *gate) onOp(op backend.Op, key string) {
	if op == backend.OpGet && strings.HasPrefix(key, "index/") && g.closed.Load() {
		g.waiting <- key
		<-g.open
	}
}

// gated opens a repository of several commits, one chunk each, whose index files are held back once the gate is closed.
func gated(t *testing.T, g *gate, commits int) (*repo.Repository, *repo.Repository, []repo.ID, [][]byte) {
	t.Helper()
	store, key := mem.New(nil), keyFile(t)
	writer := initRepo(t, store, key)
	t.Cleanup(func() { require.NoError(t, writer.Close()) })
	h, err := writer.NewHasher(repo.Data)
	require.NoError(t, err)
	var ids []repo.ID
	var chunks [][]byte
	for i := range commits {
		c := fmt.Appendf(nil, "chunk %d", i)
		chunks, ids = append(chunks, c), append(ids, h.Sum(c))
		_, err := backup(t.Context(), writer, [][]byte{c})
		require.NoError(t, err)
	}
	f, err := fault.New(store, &fault.Options{OnOp: g.onOp})
	require.NoError(t, err)
	return openRepo(t, f, key), writer, ids, chunks
}

func load(t *testing.T, r *repo.Repository, id repo.ID, chunk []byte) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := r.Load(ctx, repo.Data, id, uint32(len(chunk)))
	if err == nil {
		require.Equal(t, chunk, got)
	}
	return err
}

// TestLookupsDoNotWaitForIndexFiles: while others wait for an index file, what is indexed already can be read, and one that gives up
// does not end the others' waiting.
func TestLookupsDoNotWaitForIndexFiles(t *testing.T) {
	g := newGate()
	r, writer, ids, chunks := gated(t, g, 2)
	require.NoError(t, load(t, r, ids[0], chunks[0]))

	fresh := []byte("a chunk of a later commit")
	h, err := writer.NewHasher(repo.Data)
	require.NoError(t, err)
	id := h.Sum(fresh)
	_, err = backup(t.Context(), writer, [][]byte{fresh})
	require.NoError(t, err)
	g.closed.Store(true)
	require.NoError(t, r.Refresh(t.Context()))
	errs := make(chan error, 3)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := r.Load(ctx, repo.Data, id, uint32(len(fresh)))
		errs <- err
	}()
	<-g.waiting
	for range 2 {
		go func() { errs <- load(t, r, id, fresh) }()
	}
	for i, id := range ids {
		require.NoError(t, load(t, r, id, chunks[i]), "it is in the index already")
	}
	select {
	case err := <-errs:
		t.Fatalf("a chunk was looked for in an index file that nobody has read: %v", err)
	default:
	}
	cancel()
	g.closed.Store(false)
	close(g.open)
	failed := 0
	for range 3 {
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, context.Canceled)
			failed++
		}
	}
	require.LessOrEqual(t, failed, 1, "only the one that was cancelled")
}

// TestIndexFilesAreFetchedInParallel: a few at a time, never more, and closing the repository waits for them.
func TestIndexFilesAreFetchedInParallel(t *testing.T) {
	const commits, most = 20, 16
	g := newGate()
	g.closed.Store(true)
	r, _, ids, chunks := gated(t, g, commits)
	var group sync.WaitGroup
	for i, id := range ids {
		group.Go(func() {
			if err := load(t, r, id, chunks[i]); err != nil {
				t.Errorf("chunk %d: %v", i, err)
			}
		})
	}
	seen := map[string]bool{}
	for range most {
		seen[<-g.waiting] = true
	}
	select {
	case key := <-g.waiting:
		t.Errorf("%s is fetched as one too many at once", key)
	case <-time.After(50 * time.Millisecond):
	}
	close(g.open)
	group.Wait()
	g.closed.Store(false)
	for len(g.waiting) > 0 {
		key := <-g.waiting
		require.False(t, seen[key], "%s was fetched twice", key)
		seen[key] = true
	}
	require.Len(t, seen, commits)
}

// TestFailedIndexFileIsFetchedAgain: a store that fails is no damage, and what was read before is not read again.
func TestFailedIndexFileIsFetchedAgain(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	writer := initRepo(t, store, key)
	h, err := writer.NewHasher(repo.Data)
	require.NoError(t, err)
	chunks := crashChunks()[:8]
	for _, c := range chunks {
		_, err := backup(t.Context(), writer, [][]byte{c})
		require.NoError(t, err)
	}
	require.NoError(t, writer.Close())
	var gets atomic.Int32
	f, err := fault.New(store, &fault.Options{OnOp: func(op backend.Op, key string) {
		if op == backend.OpGet && strings.HasPrefix(key, "index/") {
			gets.Add(1)
		}
	}})
	require.NoError(t, err)
	r := openRepo(t, f, key)
	require.NoError(t, f.Add(fault.Rule{Ops: []backend.Op{backend.OpGet}, Prefix: "index/", After: 5, Times: 1, Kind: fault.Before}))
	require.ErrorIs(t, load(t, r, repo.ID{}, []byte("x")), fault.ErrInjected)
	require.ErrorIs(t, load(t, r, repo.ID{}, []byte("x")), repo.ErrNotFound)
	require.Less(t, gets.Load(), int32(2*len(chunks)))
	for _, c := range chunks {
		require.NoError(t, load(t, r, h.Sum(c), c))
	}
}
