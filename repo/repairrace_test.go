package repo_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
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

// TestSweepDuringRepair: a collection does not begin beside a repair, and if that was not heard of for long, it does not delete what the repair is about to list again; the next one does.
func TestSweepDuringRepair(t *testing.T) {
	store, key, warm, _ := withLeftover(t)
	race := &changing{Store: store, prefix: "index/"}
	race.hook = func() {
		_, err := warm.Collect(t.Context(), everything())
		require.ErrorIs(t, err, repo.ErrCollecting)
		warm.SetClock(func() time.Time { return time.Now().Add(time.Hour) })
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

// TestStalledSweep: what a collection announced that it would delete, a repair that begins later stores anew, since the collection may sleep and go on at any time: whether its
// session is open, was ended by somebody else, or the list of what it announced is lost.
func TestStalledSweep(t *testing.T) {
	for name, during := range map[string]func(t *testing.T, store *mem.Store, r *repo.Repository){
		"not heard of": func(*testing.T, *mem.Store, *repo.Repository) {},
		"ended": func(t *testing.T, _ *mem.Store, r *repo.Repository) {
			open, err := r.OpenSessions(t.Context())
			require.NoError(t, err)
			require.Len(t, open, 1)
			_, err = r.Revoke(t.Context(), []ledger.SessionID{open[0].ID}, "as asked")
			require.NoError(t, err)
		},
		"its list is lost": func(t *testing.T, store *mem.Store, _ *repo.Repository) {
			list := objects(t, store, "sweeps/")
			require.Len(t, list, 1)
			require.NoError(t, store.Delete(t.Context(), list[0]))
		},
		"its list is another": func(t *testing.T, store *mem.Store, _ *repo.Repository) {
			require.NoError(t, backend.PutBytes(t.Context(), store, objects(t, store, "sweeps/")[0], []byte("HFSWEP\x01\x00\x00"), nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, key, warm, own := withLeftover(t)
			cache := t.TempDir()
			later := func(d time.Duration) *repo.Repository {
				o := &repo.Options{Credential: key, CacheDir: cache}
				r, err := repo.Open(t.Context(), store, o.SetClock(func() time.Time { return time.Now().Add(d) }))
				require.NoError(t, err)
				return r
			}
			var copied uint64
			own.prefix, own.hook = "packs/", func() {
				_, err := later(0).RepairIndex(t.Context(), nil)
				require.ErrorIs(t, err, repo.ErrCollecting)
				during(t, store, later(0))
				report, err := later(time.Hour).RepairIndex(t.Context(), nil)
				require.NoError(t, err)
				copied = report.RebuiltPacks
			}
			_, err := warm.Collect(t.Context(), everything())
			if name == "ended" {
				require.ErrorIs(t, err, repo.ErrSessionEnded)
			} else {
				require.NoError(t, err)
			}
			require.NotZero(t, copied)
			save(t, openRepo(t, store, key), someChunks(1, 30, 40<<10))
			require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
			collect(t, openRepo(t, store, key), everything())
			collect(t, openRepo(t, store, key), everything())
			require.Empty(t, objects(t, store, "sweeps/"))
			require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
		})
	}
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
	own.hook = func(name string) {
		if strings.HasPrefix(name, "session-") { // first the repair's
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

// TestRefusedSweep: what a store refuses to delete stays announced, the next collection takes it over, and nothing of that is left when the store gives in.
func TestRefusedSweep(t *testing.T) {
	store, key := leftover(t)
	faulty, err := fault.New(store, nil)
	require.NoError(t, err)
	r := openRepo(t, faulty, key)
	require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{backend.OpDelete}, Prefix: "packs/", Err: fs.ErrPermission}))
	for range 3 {
		require.NotZero(t, collect(t, r, everything()).Refused)
		require.LessOrEqual(t, len(objects(t, store, "sweeps/")), 2)
	}
	packs := objects(t, store, "packs/")
	faulty.Clear()
	require.NotZero(t, collect(t, r, everything()).Deleted)
	collect(t, r, everything())
	require.Empty(t, objects(t, store, "sweeps/"))
	require.Less(t, len(objects(t, store, "packs/")), len(packs))
	var sweeps int
	for e, err := range r.Log(t.Context(), 0, false) {
		require.NoError(t, err)
		require.Empty(t, e.Void)
		if w, ok := e.Body.(*ledger.Sweep); ok {
			sweeps += min(1, int(w.Packs)) - len(w.Ended)
		}
	}
	require.Zero(t, sweeps, "every SWEEP was ended")
}

// withoutLocks hides that a store has kernel locks.
type withoutLocks struct{ backend.Store }

// TestRepairedTwice: what two repairs store anew, since its deletion stays announced, does not lead a collection to take one for the other.
func TestRepairedTwice(t *testing.T) {
	store, key := leftover(t)
	plain := withoutLocks{store}
	faulty, err := fault.New(store, nil)
	require.NoError(t, err)
	warm := openRepo(t, withoutLocks{faulty}, key)
	loseIndexFile(t, store, warm)
	require.NoError(t, faulty.Add(fault.Rule{Ops: []backend.Op{backend.OpDelete}, Prefix: "packs/", Err: fs.ErrPermission}))
	require.NotZero(t, collect(t, warm, everything()).Refused)
	_, err = openRepo(t, plain, key).RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	save(t, openRepo(t, plain, key), someChunks(1, 30, 40<<10))
	before := objects(t, store, "index/")
	save(t, openRepo(t, plain, key), someChunks(9, 30, 40<<10))
	for _, k := range objects(t, store, "index/") {
		if !slices.Contains(before, k) {
			require.NoError(t, store.Delete(t.Context(), k))
		}
	}
	_, err = openRepo(t, plain, key).RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	for range 10 {
		_, err := openRepo(t, plain, key).Collect(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, check(t, openRepo(t, plain, key)).Errors)
	}
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 3)
}

// ownLocks is a store whose locks others do not see, as on some network file systems.
type ownLocks struct {
	backend.Store
	locks *mem.Store
}

func (s *ownLocks) TryLock(ctx context.Context, name string) (io.Closer, error) {
	return s.locks.TryLock(ctx, name)
}

// TestLockIsNoProof: that the lock of a collection looks free does not make a repair list what that announced.
func TestLockIsNoProof(t *testing.T) {
	store, key, warm, own := withLeftover(t)
	own.prefix, own.hook = "packs/", func() {
		report, err := openRepo(t, &ownLocks{store, mem.New(nil)}, key).RepairIndex(t.Context(), nil)
		require.NoError(t, err)
		require.NotZero(t, report.RebuiltPacks)
		save(t, openRepo(t, store, key), someChunks(1, 30, 40<<10))
	}
	_, err := warm.Collect(t.Context(), everything())
	require.NoError(t, err)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
}

// vanishing deletes each pack that was announced just before it is read: its directory, or all of it.
type vanishing struct {
	backend.Store
	packs []string
	whole bool
	gone  int
}

func (s *vanishing) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if slices.Contains(s.packs, key) && (!s.whole || off == 0) && s.Delete(ctx, key) == nil {
		s.gone++
	}
	return s.Store.Get(ctx, key, off, n)
}

// announced returns the packs that the only SWEEP of a store names.
func announced(t *testing.T, store backend.Store) (packs []string) {
	t.Helper()
	lists := objects(t, store, "sweeps/")
	require.Len(t, lists, 1)
	list, err := backend.ReadAll(t.Context(), store, lists[0], 1<<20)
	require.NoError(t, err)
	for names := list[len("HFSWEP")+2+1:]; len(names) > 0; names = names[48:] {
		packs = append(packs, fmt.Sprintf("packs/%x/%x", names[:16], names[16:48]))
	}
	require.NotEmpty(t, packs)
	return packs
}

// TestRepairBesideAwakened: packs that a collection goes on deleting while a repair lists them are gone, and no fault.
func TestRepairBesideAwakened(t *testing.T) {
	for _, whole := range []bool{false, true} {
		store, key, warm, own := withLeftover(t)
		own.prefix, own.hook = "packs/", func() {
			v := &vanishing{Store: store, packs: announced(t, store), whole: whole}
			_, err := openRepo(t, &ownLocks{v, mem.New(nil)}, key).RepairIndex(t.Context(), nil)
			require.NoError(t, err)
			require.NotZero(t, v.gone)
		}
		_, err := warm.Collect(t.Context(), everything())
		require.NoError(t, err)
		require.True(t, own.called)
		require.Len(t, requireWhole(t, openRepo(t, store, key)), 1)
	}
}

// TestDamagedAnnounced: a pack that was announced and is damaged is not listed, since it may go at any time, with what is left of it.
func TestDamagedAnnounced(t *testing.T) {
	store, key, warm, own := withLeftover(t)
	own.prefix, own.hook = "packs/", func() {
		for _, k := range announced(t, store) {
			change(t, store, k, func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
		}
		_, err := openRepo(t, &ownLocks{store, mem.New(nil)}, key).RepairIndex(t.Context(), nil)
		require.NoError(t, err)
		require.NotEmpty(t, objects(t, store, "quarantine/"))
		save(t, openRepo(t, store, key), someChunks(1, 30, 40<<10))
	}
	_, err := warm.Collect(t.Context(), everything())
	require.NoError(t, err)
	require.True(t, own.called)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 2)
}
