package repo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// changing calls hook once, before the first object of that kind is stored or deleted.
type changing struct {
	backend.Store
	prefix string
	hook   func()
	once   sync.Once
	called bool
}

func (s *changing) before(key string) {
	if s.prefix != "" && strings.HasPrefix(key, s.prefix) {
		s.once.Do(func() { s.called = true; s.hook() })
	}
}

func (s *changing) Put(ctx context.Context, key string, src io.ReaderAt, size int64, o *backend.PutOptions) error {
	s.before(key)
	return s.Store.Put(ctx, key, src, size, o)
}

func (s *changing) Delete(ctx context.Context, key string) error {
	s.before(key)
	return s.Store.Delete(ctx, key)
}

func (s *changing) Unwrap() backend.Store { return s.Store }

// withLeftover is a store with packs that no index file names any more and that a collection did not delete, and with an index file that is lost for all but the repository that
// is returned: that still knows it.
func withLeftover(t *testing.T) (store *mem.Store, key *crypto.KeyFile, warm *repo.Repository, own *changing) {
	t.Helper()
	store, key = leftover(t)
	own = &changing{Store: store}
	warm = openRepo(t, own, key)
	loseIndexFile(t, store, warm)
	return store, key, warm, own
}

// leftover is a store with packs that no index file names any more and that a collection did not delete.
func leftover(t *testing.T) (*mem.Store, *crypto.KeyFile) {
	t.Helper()
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	id := save(t, r, someChunks(1, 30, 40<<10))
	before := store.Crash()
	save(t, r, someChunks(2, 30, 40<<10))
	require.NoError(t, r.Forget(t.Context(), []repo.ID{id}, ""))
	collect(t, r, everything())
	for _, k := range objects(t, before, "packs/") {
		b, err := backend.ReadAll(t.Context(), before, k, 1<<30)
		require.NoError(t, err)
		require.NoError(t, backend.PutBytes(t.Context(), store, k, b, nil))
	}
	return store, key
}

// loseIndexFile deletes an index file that warm will have read.
func loseIndexFile(t *testing.T, store *mem.Store, warm *repo.Repository) {
	t.Helper()
	_, err := warm.Stats(t.Context())
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), objects(t, store, "index/")[0]))
}

// TestRepairDuringSweep: a repair does not list again what a collection is deleting.
func TestRepairDuringSweep(t *testing.T) {
	store, key, warm, own := withLeftover(t)
	repairer, refused := openRepo(t, store, key), error(nil)
	own.prefix, own.hook = "packs/", func() { _, refused = repairer.RepairIndex(t.Context(), nil) }
	require.NotZero(t, collect(t, warm, everything()).Deleted)
	require.True(t, own.called)
	require.ErrorIs(t, refused, repo.ErrCollecting)
	require.ErrorContains(t, refused, "prune --revoke")
	_, err := openRepo(t, store, key).RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	save(t, openRepo(t, store, key), someChunks(1, 30, 40<<10))
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
}

// TestSweepDuringRepair: a collection does not delete what a repair is about to list again; the next one does.
func TestSweepDuringRepair(t *testing.T) {
	store, key, warm, _ := withLeftover(t)
	race := &changing{Store: store, prefix: "index/"}
	race.hook = func() {
		report := collect(t, warm, everything())
		require.Zero(t, report.Deleted)
		require.Len(t, report.Repairs, 1)
	}
	_, err := openRepo(t, race, key).RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, race.called)
	copied := store.Crash()
	save(t, openRepo(t, copied, key), someChunks(1, 30, 40<<10))
	require.Len(t, requireWhole(t, openRepo(t, copied, key)), 2)

	require.NotZero(t, collect(t, openRepo(t, store, key), everything()).Deleted)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 1)
}

// TestRepairsOneByOne: two repairs do not work side by side.
func TestRepairsOneByOne(t *testing.T) {
	store, key, _, _ := withLeftover(t)
	race := &changing{Store: store, prefix: "index/"}
	race.hook = func() {
		_, err := openRepo(t, store, key).RepairIndex(t.Context(), nil)
		require.ErrorIs(t, err, repo.ErrCollecting)
	}
	_, err := openRepo(t, race, key).RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, race.called)
	_, err = openRepo(t, store, key).RepairIndex(t.Context(), nil)
	require.NoError(t, err)
}

// TestStalledSweep: a collection that has not been heard of for long is not taken for dead by a repair, since it may wake and go on deleting. One that was ended by name does not.
func TestStalledSweep(t *testing.T) {
	store, key, warm, own := withLeftover(t)
	session := strings.Split(objects(t, store, "packs/")[0], "/")[1]
	for n := range 40 { // more than are deleted at a time
		require.NoError(t, backend.PutBytes(t.Context(), store, fmt.Sprintf("heartbeats/%s/%012d", session, n), []byte("1"), nil))
	}
	cache := t.TempDir()
	repairAfter := func(d time.Duration) error {
		o := &repo.Options{Credential: key, CacheDir: cache}
		r, err := repo.Open(t.Context(), store, o.SetClock(func() time.Time { return time.Now().Add(d) }))
		if err == nil {
			_, err = r.RepairIndex(t.Context(), nil)
		}
		return err
	}
	var slept atomic.Int64
	warm.SetClock(func() time.Time { return time.Now().Add(time.Duration(slept.Load())) })
	var first, later, ended error
	own.prefix, own.hook = "heartbeats/"+session, func() {
		first, later = repairAfter(0), repairAfter(time.Hour)
		other := openRepo(t, store, key)
		open, err := other.OpenSessions(t.Context())
		for i := range open {
			_, one := other.Revoke(t.Context(), []ledger.SessionID{open[i].ID}, "as asked")
			err = errors.Join(err, one)
		}
		ended = errors.Join(err, repairAfter(time.Hour))
		slept.Store(int64(time.Hour))
	}
	_, err := warm.Collect(t.Context(), everything())
	require.ErrorIs(t, err, repo.ErrSessionEnded)
	require.ErrorIs(t, first, repo.ErrCollecting)
	require.ErrorIs(t, later, repo.ErrCollecting)
	require.NoError(t, ended)
	save(t, openRepo(t, store, key), someChunks(1, 30, 40<<10))
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
}

// locked is a store with kernel locks, which says when somebody looks whether one is free.
type locked struct {
	backend.Store
	mem  *mem.Store
	hook func(name string)
}

func (s *locked) Unwrap() backend.Store { return s.Store }

func (s *locked) TryLock(ctx context.Context, name string) (io.Closer, error) {
	s.hook(name)
	return s.mem.TryLock(ctx, name)
}

// TestRepairEndsDuringSweep: a repair that ends after a collection read the ledger, and before that looks whether it lives, is not taken for one that died without having done anything.
func TestRepairEndsDuringSweep(t *testing.T) {
	store, key := leftover(t)
	own := &locked{Store: store, mem: store, hook: func(string) {}}
	warm := openRepo(t, own, key)
	loseIndexFile(t, store, warm)
	reached, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var once sync.Once
	first := ""
	own.hook = func(name string) {
		if first == "" {
			first = name // the collection's own
		}
		if name != first && strings.HasPrefix(name, "session-") {
			once.Do(func() { close(reached); <-goOn })
		}
	}
	race := &changing{Store: store, prefix: "index/"}
	race.hook = func() {
		go func() {
			_, err := warm.Collect(t.Context(), everything())
			done <- err
		}()
		<-reached
	}
	report, err := openRepo(t, race, key).RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	require.NotZero(t, report.RebuiltPacks)
	save(t, openRepo(t, store, key), someChunks(1, 30, 40<<10))
	close(goOn)
	require.NoError(t, <-done)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
}
