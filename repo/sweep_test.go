package repo_test

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/repo"
)

// sweptMost is what a damaged object may make an open, a read of everything and a check allocate beyond what they allocate otherwise, in bytes.
const sweptMost = 64 << 20

// newSwept is a small repository with objects and entries of every kind that decide anything: snapshots that are live, forgotten and protected, what was
// collected, and what is condemned and waits for a session that is open.
func newSwept(t *testing.T) *damaged {
	d := &damaged{store: mem.New(nil), key: keyFile(t), chunks: map[repo.ID][]byte{}}
	require.NoError(t, initRepo(t, d.store, d.key).Close())
	r := openEvery(t, d.store, d.key, "", 5)
	ctx := context.Background()
	h, err := r.NewHasher(repo.Data)
	require.NoError(t, err)
	chunks := someChunks(5, 12, 1500)
	dead := save(t, r, someChunks(6, 3, 1500))
	require.NoError(t, r.Forget(ctx, []repo.ID{dead}, "r"))
	collect(t, r, everything())
	kept := save(t, r, chunks[:8])
	for _, c := range chunks[:8] {
		d.chunks[h.Sum(c)] = c
	}
	require.NoError(t, r.Protect(ctx, []repo.ID{kept}, "r"))
	sparse := save(t, r, chunks[4:])
	open, err := r.Begin(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, r.SetTags(ctx, kept, []string{"t"}))
	require.NoError(t, r.Forget(ctx, []repo.ID{sparse}, "r"))
	require.NotZero(t, collect(t, r, everything()).Condemned)
	require.Len(t, objects(t, d.store, "checkpoints/"), 2)
	t.Cleanup(func() { require.NoError(t, open.Suspend(ctx)); require.NoError(t, r.Close()) })
	return d
}

// swept looks at one damaged copy: it must be noticed, nothing wrong may come out, and it may not hang or take much memory.
func (d *damaged) swept(t *testing.T, store *mem.Store, usual uint64, what string) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	require.True(t, d.examine(t, store, what), "%s, and nobody noticed", what)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, usual+sweptMost, what)
	require.Less(t, time.Since(start), time.Minute, what)
}

// TestCorruptionSweep flips every byte of a repository in turn, cuts every object at many lengths, makes it longer, removes it, and puts each in the place of each
// other. In make test it takes a part of the bytes by chance; with SOAKTIME all.
func TestCorruptionSweep(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	d := newSwept(t)
	objects := d.objects(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.False(t, d.examine(t, d.store.Crash(), "nothing is wrong"))
	runtime.ReadMemStats(&after)
	usual := after.TotalAlloc - before.TotalAlloc

	last := ""
	for key := range objects {
		if strings.HasPrefix(key, "log/") {
			last = max(last, key)
		}
	}
	cases := 0
	try := func(key string, b []byte, what string) {
		cases++
		d.swept(t, d.with(t, key, b), usual, key+" "+what)
	}
	for key, b := range objects {
		every := 1
		if os.Getenv("SOAKTIME") == "" {
			every = 1 + len(b)/16
		}
		for i := rng.IntN(every); i < len(b); i += every {
			bad := append([]byte(nil), b...)
			bad[i] ^= 1 << rng.IntN(8)
			try(key, bad, "with a flipped bit")
		}
		for n := range 6 {
			cut := len(b) * n / 6
			try(key, b[:cut:cut], "cut")
		}
		try(key, append(append([]byte(nil), b...), 0), "longer")
		if key != last { // without a memory of it, a ledger that ends early is a ledger that ends early
			try(key, nil, "missing")
		}
		others := 0
		for other, c := range objects {
			if other != key && !strings.HasPrefix(key, "keys/") && (every == 1 || others < 3) {
				try(key, c, "replaced by "+other)
				others++
			}
		}
	}
	t.Logf("%d objects, %d cases, %d bytes allocated without damage", len(objects), cases, usual)
}
