package repo_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// damaged is a small repository to be harmed, with what it should hold.
type damaged struct {
	store  *mem.Store
	key    *crypto.KeyFile
	chunks map[repo.ID][]byte
}

func newDamaged(t *testing.T) *damaged {
	t.Helper()
	d := &damaged{store: mem.New(nil), key: keyFile(t), chunks: map[repo.ID][]byte{}}
	r := initRepo(t, d.store, d.key)
	h, err := r.NewHasher(repo.Data)
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(11, 11))
	var chunks [][]byte
	for range 12 {
		c := []byte(strings.Repeat(string(randomChunk(rng, 100)), 1+rng.IntN(100)))
		chunks = append(chunks, c)
		d.chunks[h.Sum(c)] = c
	}
	_, err = backup(t.Context(), r, chunks)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return d
}

func (d *damaged) objects(t *testing.T) map[string][]byte {
	t.Helper()
	m := map[string][]byte{}
	for info, err := range d.store.List(t.Context(), "") {
		require.NoError(t, err)
		b, err := backend.ReadAll(t.Context(), d.store, info.Key, 1<<30)
		require.NoError(t, err)
		m[info.Key] = b
	}
	return m
}

// with returns a copy of the store in which one object is another one; nil removes it.
func (d *damaged) with(t *testing.T, key string, b []byte) *mem.Store {
	t.Helper()
	s := d.store.Crash()
	if b == nil {
		require.NoError(t, s.Delete(t.Context(), key))
		return s
	}
	require.NoError(t, backend.PutBytes(t.Context(), s, key, b, nil))
	return s
}

// harmless reports whether nothing wrong comes out of a store, and detected whether a check or an open notices.
func (d *damaged) examine(t *testing.T, store backend.Store, what string) (detected bool) {
	t.Helper()
	r, err := repo.Open(t.Context(), store, &repo.Options{Credential: d.key})
	if err != nil {
		return true
	}
	defer r.Close()
	for id, want := range d.chunks {
		got, err := r.Load(t.Context(), repo.Data, id, uint32(len(want)))
		if err == nil {
			require.Equal(t, want, got, what)
		}
	}
	report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll(), Workers: 1})
	return err != nil || len(report.Errors) > 0
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	d := newDamaged(t)
	for key, b := range d.objects(t) {
		step := 1
		if len(b) > 60 {
			step = 1 + len(b)/60 // opening a repository takes a millisecond; the formats' own tests flip every byte
		}
		for i := 0; i < len(b); i += step {
			bad := append([]byte(nil), b...)
			bad[i] ^= 1 << (i % 8)
			require.True(t, d.examine(t, d.with(t, key, bad), key), "%s: byte %d flipped, and nobody noticed", key, i)
		}
	}
}

func TestCutMissingAndSwappedObjectsAreFound(t *testing.T) {
	d := newDamaged(t)
	objects := d.objects(t)
	for key, b := range objects {
		lastEntry := strings.HasPrefix(key, "log/") && objects["log/000000000003"] == nil && key == "log/000000000002"
		for _, n := range []int{0, 1, len(b) / 2, len(b) - 1} {
			require.True(t, d.examine(t, d.with(t, key, b[:n:n]), key), "%s cut to %d bytes", key, n)
		}
		if !lastEntry { // without a memory of it, a ledger that ends early is a ledger that ends early
			require.True(t, d.examine(t, d.with(t, key, nil), key), "%s missing", key)
		}
		for other, c := range objects {
			if other != key && !strings.HasPrefix(key, "keys/") {
				require.True(t, d.examine(t, d.with(t, key, c), key), "%s replaced by %s", key, other)
			}
		}
	}
}

func TestRolledBackLedgerIsRefused(t *testing.T) {
	d := newDamaged(t)
	cache := t.TempDir()
	open := func(s backend.Store) error {
		r, err := repo.Open(t.Context(), s, &repo.Options{Credential: d.key, CacheDir: cache})
		if err != nil {
			return err
		}
		return r.Close()
	}
	require.NoError(t, open(d.store))
	require.NoError(t, open(d.store), "with the cache filled")
	require.ErrorIs(t, open(d.with(t, "log/000000000002", nil)), repo.ErrRolledBack)
}

func TestDamagedCacheIsNoHarm(t *testing.T) {
	d := newDamaged(t)
	for _, bad := range [][]byte{nil, []byte("x"), make([]byte, 5000)} {
		cache := t.TempDir()
		for range 3 {
			r, err := repo.Open(t.Context(), d.store, &repo.Options{Credential: d.key, CacheDir: cache})
			require.NoError(t, err)
			requireWhole(t, r)
			require.NoError(t, r.Close())
			overwriteAll(t, cache, bad)
		}
	}
}

func TestDuplicateChunkSavesTheDay(t *testing.T) {
	// Two sessions that do not know of each other store the same chunk; when one pack is lost, the other serves.
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	chunk := []byte("the same chunk")
	a, b := begin(t, r, "a"), begin(t, r, "b")
	for _, s := range []*repo.Session{a, b} {
		root, err := saveAll(t.Context(), s, [][]byte{chunk})
		require.NoError(t, err)
		_, err = s.Commit(t.Context(), root, nil)
		require.NoError(t, err)
	}
	h, err := r.NewHasher(repo.Data)
	require.NoError(t, err)
	id := h.Sum(chunk)
	require.NoError(t, r.Close())
	first := true
	for info, err := range store.List(t.Context(), "packs/"+a.ID()+"/") {
		require.NoError(t, err)
		require.NoError(t, store.Delete(t.Context(), info.Key))
		first = false
	}
	require.False(t, first)
	got, err := openRepo(t, store, key).Load(t.Context(), repo.Data, id, uint32(len(chunk)))
	require.NoError(t, err)
	require.Equal(t, chunk, got)
}

func TestRoles(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	keys := map[crypto.Role]*crypto.KeyFile{}
	for _, role := range []crypto.Role{crypto.Admin, crypto.Writer, crypto.Reader, crypto.Collector} {
		keys[role] = keyFile(t)
		_, err := r.AddKey(t.Context(), role, role.String(), keys[role])
		require.NoError(t, err)
	}
	list, err := r.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 5)
	chunk := []byte("secret contents")

	writer := openRepo(t, store, keys[crypto.Writer])
	id, err := backup(t.Context(), writer, [][]byte{chunk})
	require.NoError(t, err)
	require.NoError(t, writer.Refresh(t.Context()))
	snaps, err := writer.Snapshots()
	require.NoError(t, err)
	require.Equal(t, id, snaps[0].ID)
	h, err := writer.NewHasher(repo.Data)
	require.NoError(t, err)
	data := h.Sum(chunk)

	for role, k := range keys {
		t.Run(role.String(), func(t *testing.T) {
			r := openRepo(t, store, k)
			reads := role == crypto.Admin || role == crypto.Reader
			require.Equal(t, reads, r.CanRead(repo.Data))
			got, err := r.Load(t.Context(), repo.Data, data, uint32(len(chunk)))
			if reads {
				require.NoError(t, err)
				require.Equal(t, chunk, got)
			} else {
				require.ErrorIs(t, err, repo.ErrNotAllowed)
			}
			_, err = r.Load(t.Context(), repo.Map, snaps[0].Root.Map.ID, snaps[0].Root.Map.Length)
			require.NoError(t, err, "every role reads reference trees")
			_, err = r.Begin(t.Context(), nil)
			if role == crypto.Reader || role == crypto.Collector {
				require.ErrorIs(t, err, repo.ErrNotAllowed)
			} else {
				require.NoError(t, err)
			}
			_, err = r.AddKey(t.Context(), crypto.Reader, "", keyFile(t))
			require.Equal(t, role == crypto.Admin, err == nil)
			report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
			require.NoError(t, err)
			require.Empty(t, report.Errors)
			require.NotZero(t, report.Nodes)
		})
	}
	auditor, err := repo.Open(t.Context(), store, nil)
	require.NoError(t, err)
	report, err := auditor.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
	require.NoError(t, err)
	require.Empty(t, report.Errors)
	require.NotZero(t, report.BytesRead)
	_, err = auditor.Load(t.Context(), repo.Map, snaps[0].Root.Map.ID, snaps[0].Root.Map.Length)
	require.ErrorIs(t, err, repo.ErrNotAllowed)
	require.NoError(t, auditor.Close())
}

func TestRemovedKeyOpensNothing(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	r := initRepo(t, store, key)
	writer := keyFile(t)
	info, err := r.AddKey(t.Context(), crypto.Writer, "w", writer)
	require.NoError(t, err)
	kept := openRepo(t, store, writer)
	before := store.Crash()
	require.NoError(t, r.RemoveKey(t.Context(), info.ID))
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: writer})
	require.ErrorIs(t, err, repo.ErrWrongCredential)
	_, err = kept.Begin(t.Context(), nil)
	require.Error(t, err, "one that was open already may not write any more")

	// Whoever kept a copy of the slot's object gets in no more than before.
	for _, name := range []string{"keys/" + info.ID.String(), "keys/" + info.ID.String() + ".copy"} {
		b, err := backend.ReadAll(t.Context(), before, name, 1<<20)
		require.NoError(t, err)
		require.NoError(t, backend.PutBytes(t.Context(), store, name, b, nil))
	}
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: writer})
	require.ErrorIs(t, err, repo.ErrNotAllowed)
}

func TestChangeCredential(t *testing.T) {
	store, old, fresh := mem.New(nil), keyFile(t), keyFile(t)
	r := initRepo(t, store, old)
	id, err := backup(t.Context(), r, [][]byte{[]byte("x")})
	require.NoError(t, err)
	_, err = r.ChangeCredential(t.Context(), "new", fresh)
	require.NoError(t, err)
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: old})
	require.ErrorIs(t, err, repo.ErrWrongCredential)
	list := requireWhole(t, openRepo(t, store, fresh))
	require.Equal(t, id, list[0].ID)
}

func TestWrongAndMissingRepositories(t *testing.T) {
	store := mem.New(nil)
	_, err := repo.Open(t.Context(), store, &repo.Options{Credential: keyFile(t)})
	require.ErrorIs(t, err, repo.ErrNoRepository)
	initRepo(t, store, keyFile(t))
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: keyFile(t)})
	require.ErrorIs(t, err, repo.ErrWrongCredential)
	_, err = repo.Open(t.Context(), store, &repo.Options{Credential: crypto.Passphrase("x")})
	require.ErrorIs(t, err, repo.ErrNoSlot)
	_, err = repo.Init(t.Context(), store, &repo.InitOptions{Sealer: keyFile(t)})
	require.ErrorIs(t, err, repo.ErrRepositoryExists)
	for _, bad := range []repo.Config{{ChunkMean: 5000}, {ChunkMean: 1 << 20}, {SegmentSize: 1000}, {PackSize: 1000}, {Suite: 99}} {
		_, err = repo.Init(t.Context(), mem.New(nil), &repo.InitOptions{Config: bad, Sealer: keyFile(t)})
		require.Error(t, err, "%+v", bad)
	}
}

// TestMeetingWriters: writers of several processes at once lose nothing.
func TestMeetingWriters(t *testing.T) {
	store, key := mem.New(nil), keyFile(t)
	require.NoError(t, initRepo(t, store, key).Close())
	chunks := crashChunks()
	errs := make(chan error)
	const writers = 6
	for i := range writers {
		go func() {
			r, err := repo.Open(context.Background(), store, &repo.Options{Credential: key})
			if err == nil {
				var s *repo.Session
				if s, err = r.Begin(context.Background(), nil); err == nil {
					var root repo.Pair
					if root, err = saveAll(context.Background(), s, chunks[i*10:i*10+20]); err == nil {
						_, err = s.Commit(context.Background(), root, []byte{byte(i)})
					}
				}
			}
			errs <- err
		}()
	}
	for range writers {
		require.NoError(t, <-errs)
	}
	require.Len(t, requireWhole(t, openRepo(t, store, key)), writers)
}
