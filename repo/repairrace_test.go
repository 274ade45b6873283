package repo_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
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
	store, key = mem.New(nil), keyFile(t)
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
	own = &changing{Store: store}
	warm = openRepo(t, own, key)
	_, err := warm.Stats(t.Context())
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), objects(t, store, "index/")[0]))
	return store, key, warm, own
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
