package repo_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// badSectors is a store whose storage cannot read some bytes, until they are written again.
type badSectors struct {
	backend.Store
	mu  sync.Mutex
	bad map[string][2]int64 // from, to
}

func (s *badSectors) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r, err := s.Store.Get(ctx, key, off, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	b, bad := s.bad[key]
	if err != nil || !bad || off >= b[1] || n >= 0 && off+n <= b[0] {
		return r, err
	}
	return &badReader{ReadCloser: r, key: key, left: max(0, b[0]-off)}, nil
}

func (s *badSectors) Put(ctx context.Context, key string, src io.ReaderAt, size int64, o *backend.PutOptions) error {
	err := s.Store.Put(ctx, key, src, size, o)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.bad, key)
	}
	return err
}

func (s *badSectors) Unwrap() backend.Store { return s.Store }

type badReader struct {
	io.ReadCloser
	key  string
	left int64
}

func (r *badReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, &backend.DamagedError{Key: r.key, Err: syscall.EIO}
	}
	n, err := r.ReadCloser.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// TestBadSectorsInPacks: what lies beside a bad sector is saved, with parity all of it; nothing else stops because of it.
func TestBadSectorsInPacks(t *testing.T) {
	for _, parity := range []int{0, 10} {
		base, key := mem.New(nil), keyFile(t)
		config := small
		config.Parity = parity
		r, err := repo.Init(t.Context(), base, &repo.InitOptions{Config: config, Sealer: key})
		require.NoError(t, err)
		id := save(t, r, someChunks(1, 200, 10<<10))
		require.NoError(t, r.Close())
		copied := base.Crash()
		bad := largePacks(t, base)[0]
		store := &badSectors{Store: base, bad: map[string][2]int64{bad: {200 << 10, 201 << 10}}}

		r = openRepo(t, store, key)
		report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
		require.NoError(t, err)
		require.Len(t, report.Errors, 1)
		require.ErrorIs(t, report.Errors[0], syscall.EIO)
		damage := new(repo.CorruptError)
		require.ErrorAs(t, report.Errors[0], &damage)

		repaired, err := r.RepairPacks(t.Context(), nil)
		require.NoError(t, err)
		if parity > 0 {
			require.Equal(t, []string{bad}, repaired.RestoredPacks)
			require.Empty(t, repaired.DamagedPacks)
		} else {
			require.Equal(t, []string{bad}, repaired.DamagedPacks)
			require.NotEmpty(t, repaired.LostChunks)
			require.Less(t, len(repaired.LostChunks), 12, "those of one segment")
			require.Greater(t, repaired.SavedChunks, uint64(50))
			healed, err := r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{from(t, r, openRepo(t, copied, key))}})
			require.NoError(t, err)
			require.EqualValues(t, len(repaired.LostChunks), healed.Healed)
		}
		require.Equal(t, id, requireWhole(t, r)[0].ID)
	}
}

// TestBadSectorsInACopy: a copy from which something cannot be read gives what it has.
func TestBadSectorsInACopy(t *testing.T) {
	base, key := mem.New(nil), keyFile(t)
	r := initRepo(t, base, key)
	save(t, r, someChunks(1, 200, 10<<10))
	require.NoError(t, r.Close())
	packs := largePacks(t, base)
	require.Greater(t, len(packs), 1)
	copied := &badSectors{Store: base.Crash(), bad: map[string][2]int64{packs[0]: {0, 1 << 30}}}
	for _, k := range packs {
		require.NoError(t, base.Delete(t.Context(), k))
	}
	r = openRepo(t, base, key)
	_, err := r.RepairPacks(t.Context(), nil)
	require.NoError(t, err)
	healed, err := r.Heal(t.Context(), &repo.HealOptions{From: []repo.Healer{from(t, r, openRepo(t, copied, key))}})
	require.NoError(t, err)
	require.NotZero(t, healed.Healed)
	require.NotEmpty(t, healed.Lost)
}

// TestBadSectorsInSmallObjects: an index file, an entry of the ledger, a snapshot, a checkpoint, a key slot and a progress record that cannot be read are as if they were damaged.
func TestBadSectorsInSmallObjects(t *testing.T) {
	base, key := withCheckpoints(t)
	whole := base.Crash()
	spoil := func(prefix string, i int) *badSectors {
		return &badSectors{Store: whole.Crash(), bad: map[string][2]int64{objects(t, whole, prefix)[i]: {10, 20}}}
	}
	for _, prefix := range []string{"index/", "snapshots/", "checkpoints/", "keys/"} {
		r := openRepo(t, spoil(prefix, 0), key)
		report := check(t, r)
		require.NotEmpty(t, report.Errors, prefix)
		damage := new(repo.CorruptError)
		require.ErrorAs(t, report.Errors[0], &damage)
		require.True(t, strings.HasPrefix(damage.Key, prefix), damage.Key)
	}

	store := spoil("index/", 0)
	r := openRepo(t, store, key)
	repaired, err := r.RepairIndex(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, repaired.LostIndexFiles, 1)
	require.Len(t, requireWhole(t, r), 11)

	entries := objects(t, whole, "log/")
	store = spoil("log/", len(entries)-2)
	o := &repo.Options{Credential: key}
	_, err = repo.Open(t.Context(), store, o)
	damage := new(repo.CorruptError)
	require.ErrorAs(t, err, &damage)
	o.Salvage = true
	left, err := repo.Open(t.Context(), store, o)
	require.NoError(t, err)
	require.Len(t, requireSnapshots(t, left), 11)
	require.NoError(t, left.Close())
	spoiled := &badSectors{Store: whole.Crash(), bad: map[string][2]int64{entries[1]: {0, 100}, entries[len(entries)-2]: {0, 1}}}
	restored, err := repo.RestoreLedger(t.Context(), store, &repo.RestoreLedgerOptions{Copies: []backend.Store{spoiled, whole}})
	require.NoError(t, err)
	require.Equal(t, []string{entries[len(entries)-2]}, restored.Restored)
	require.Len(t, requireWhole(t, openRepo(t, store, key)), 11)

	store = spoil("snapshots/", 0)
	left, err = repo.Open(t.Context(), store, o)
	require.NoError(t, err)
	require.Len(t, requireSnapshots(t, left), 11, "the ledger has its facts")
	require.NoError(t, left.Close())
}
