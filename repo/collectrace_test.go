package repo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// racing calls hook once, before the first read of an object of that kind, and fails that read with err if there is one.
type racing struct {
	backend.Store
	prefix string
	hook   func()
	err    error
}

func (s *racing) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if strings.HasPrefix(key, s.prefix) && s.hook != nil {
		hook := s.hook
		s.hook = nil
		if hook(); s.err != nil {
			return nil, s.err
		}
	}
	return s.Store.Get(ctx, key, off, n)
}

func (s *racing) Unwrap() backend.Store { return s.Store }

// TestCollectOvertaken lets another collection do the same work, and delete, just before this one reads what was condemned.
func TestCollectOvertaken(t *testing.T) {
	for _, pending := range []bool{true, false} {
		store, key := mem.New(nil), keyFile(t)
		r := initRepo(t, store, key)
		id := save(t, r, someChunks(1, 30, 40<<10))
		kept := save(t, r, someChunks(2, 30, 40<<10))
		require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
		s, err := openRepo(t, store, key).Begin(t.Context(), nil)
		require.NoError(t, err)
		if pending {
			require.NotZero(t, collect(t, r, everything()).Condemned)
		}
		require.NoError(t, s.Close(t.Context(), ""))

		race := &racing{Store: store, prefix: "index/"}
		second := openRepo(t, race, key)
		require.NoError(t, second.Refresh(t.Context()))
		_, err = second.Stats(t.Context()) // so that it has the index
		require.NoError(t, err)
		race.hook = func() { require.Zero(t, collect(t, openRepo(t, store, key), everything()).Condemned) }
		_, err = second.Collect(t.Context(), everything())
		if pending {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, repo.ErrCollecting)
		}
		require.NoError(t, r.Refresh(t.Context()))
		list := requireWhole(t, r)
		require.Len(t, list, 1)
		require.Equal(t, kept, list[0].ID)
	}
}

// TestCollectMarksAnew fails while it marks, just when another collection has ended what it was about to end, and goes on. What it had marked of the tree that it
// could not read must not be taken for marked.
func TestCollectMarksAnew(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 30, 40<<10))
	kept := save(t, r, someChunks(2, 30, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	s, err := openRepo(t, store, key).Begin(t.Context(), nil)
	require.NoError(t, err)
	require.NotZero(t, collect(t, r, everything()).Condemned)
	require.NoError(t, s.Close(t.Context(), ""))

	race := &racing{Store: store, prefix: "packs/", err: errors.New("broken")}
	second := openRepo(t, race, key)
	race.hook = func() { require.Zero(t, collect(t, openRepo(t, store, key), everything()).Condemned) }
	_, err = second.Collect(t.Context(), everything())
	require.NoError(t, err)
	require.Nil(t, race.hook)
	require.NoError(t, r.Refresh(t.Context()))
	list := requireWhole(t, r)
	require.Len(t, list, 1)
	require.Equal(t, kept, list[0].ID)
}

// listing calls hook once, before the store is listed.
type listing struct {
	backend.Store
	hook func()
}

func (s *listing) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	if s.hook != nil {
		hook := s.hook
		s.hook = nil
		hook()
	}
	return s.Store.List(ctx, prefix)
}

func (s *listing) Unwrap() backend.Store { return s.Store }

// TestCollectFindsPacksGone looks for packs that another collection has deleted since it read the ledger.
func TestCollectFindsPacksGone(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 30, 40<<10))
	save(t, r, someChunks(2, 30, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	race := &listing{Store: store}
	second := openRepo(t, race, key)
	race.hook = func() { collect(t, openRepo(t, store, key), everything()) }
	_, err := second.Collect(t.Context(), everything())
	require.ErrorIs(t, err, repo.ErrCollecting)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 1)
}

// TestCheckBesideCollection takes nothing for damaged that a collection deletes while the check runs.
func TestCheckBesideCollection(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 30, 40<<10))
	mixed := save(t, r, someChunks(2, 30, 40<<10))
	save(t, r, someChunks(2, 10, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id, mixed}, ""))
	for what, credential := range map[string]repo.Credential{"an admin": key, "an auditor": nil} {
		copied := store.Crash()
		race := &listing{Store: copied}
		c, err := repo.Open(t.Context(), race, &repo.Options{Credential: credential})
		require.NoError(t, err)
		race.hook = func() { collect(t, openRepo(t, copied, key), everything()) }
		report, err := c.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
		require.NoError(t, err)
		require.Empty(t, report.Errors, what)
		require.Nil(t, race.hook)
		require.NoError(t, c.Close())
	}
}

// sluice holds back the writing of objects with a prefix once it is shut.
type sluice struct {
	backend.Store
	prefix  string
	shut    atomic.Bool
	reached chan struct{}
	open    chan struct{}
}

func (g *sluice) Put(ctx context.Context, key string, src io.ReaderAt, size int64, o *backend.PutOptions) error {
	if strings.HasPrefix(key, g.prefix) && g.shut.Load() {
		close(g.reached)
		<-g.open
		g.shut.Store(false)
	}
	return g.Store.Put(ctx, key, src, size, o)
}

func (g *sluice) Unwrap() backend.Store { return g.Store }

// TestSweepBesideCommit lets a session commit, and the collector hear of it, after that has seen that no snapshot is committed with an object that it listed.
func TestSweepBesideCommit(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	held := &sluice{Store: store, prefix: "log/", reached: make(chan struct{}), open: make(chan struct{})}
	w := openRepo(t, held, key)
	s := begin(t, w, "slow")
	root, err := saveAll(t.Context(), s, someChunks(2, 30, 10<<10))
	require.NoError(t, err)
	held.shut.Store(true)
	committed := make(chan error)
	go func() {
		_, err := s.Commit(t.Context(), root, nil)
		committed <- err
	}()
	<-held.reached
	race := &racing{Store: store, prefix: "snapshots/"}
	c := openRepo(t, race, key)
	race.hook = func() {
		close(held.open)
		require.NoError(t, <-committed)
		require.NoError(t, c.Refresh(t.Context())) // as a heartbeat does
	}
	collect(t, c, everything())
	require.Nil(t, race.hook)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 1)
}

// TestSweepBesideCommits: a session commits, and the collector hears of it, after that has made up its mind about what index files name.
func TestSweepBesideCommits(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	sessions, roots := []*repo.Session{}, []repo.Pair{}
	for i := range 2 {
		s := begin(t, r, fmt.Sprint(i))
		root, err := saveAll(t.Context(), s, someChunks(uint64(i), 30, 10<<10))
		require.NoError(t, err)
		require.NoError(t, s.Flush(t.Context()))
		sessions, roots = append(sessions, s), append(roots, root)
	}
	commit := func(i int) {
		_, err := sessions[i].Commit(t.Context(), roots[i], nil)
		require.NoError(t, err)
	}
	reading := &racing{Store: base, prefix: "index/"}
	store := &listing{Store: reading}
	c := openRepo(t, store, key)
	store.hook = func() {
		commit(0)
		reading.hook = func() {
			commit(1)
			require.NoError(t, c.Refresh(t.Context()))
		}
	}
	collect(t, c, everything())
	require.Nil(t, reading.hook)
	require.Len(t, requireWhole(t, openRepo(t, base, key)), 2)
}
