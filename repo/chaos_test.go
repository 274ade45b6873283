package repo_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

var (
	chaosSeeds = flag.Int("seeds", 3, "how many seeds TestChaos goes through")
	chaosSeed  = flag.Uint64("seed", 0, "the first seed of TestChaos; 0: by the clock")
)

// chaos is several clients of one store, whose calls fail before or after they are done, arrive twice or much later, and who die. What each of them stored and was told to be committed
// must be there in the end.
type chaos struct {
	t       *testing.T
	base    *mem.Store
	connect func(*client) (backend.Store, error)
	key     repo.Credential
	pool    [][]byte
	revoke  []time.Duration // after which collectors revoke
	hosts   []*client

	mu       sync.Mutex
	ids      []repo.ID         // of all snapshots, as they were committed
	want     map[repo.ID][]int // chunks of the pool by snapshot
	doubtful map[repo.ID]bool  // that somebody tried to forget
	counts   map[string]int
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		t: t, base: mem.New(nil), key: keyFile(t), pool: someChunks(seed, 40, 24<<10),
		want: map[repo.ID][]int{}, doubtful: map[repo.ID]bool{}, counts: map[string]int{},
	}
	r, err := repo.Init(t.Context(), c.base, &repo.InitOptions{Config: small, Sealer: c.key.(crypto.Sealer)})
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return c
}

// any returns a snapshot that was committed; zero if there is none.
func (c *client) any() (id repo.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.ids); n > 0 {
		id = c.ids[c.rng.IntN(n)]
	}
	return id
}

// client is one host. Its repository is opened anew when it died.
type client struct {
	*chaos
	name  string
	cache string // empty: none
	rng   *rand.Rand
	repo  *repo.Repository
	skew  atomic.Int64 // of its clock, nanoseconds
}

func (c *client) now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

func (c *chaos) client(seed uint64, name string) *client {
	h := &client{chaos: c, name: name, rng: rand.New(rand.NewPCG(seed, uint64(len(name))<<8|uint64(name[len(name)-1])))}
	if h.rng.IntN(2) == 0 {
		h.cache = c.t.TempDir()
	}
	c.hosts = append(c.hosts, h)
	return h
}

func (c *client) open(ctx context.Context) error {
	if c.repo != nil {
		return nil
	}
	store, err := c.connect(c)
	if err != nil {
		return err
	}
	o := &repo.Options{Credential: c.key, CacheDir: c.cache}
	c.repo, err = repo.Open(ctx, store, o.SetCheckpointEvery(2+c.rng.Uint64N(20)).SetClock(c.now))
	if err != nil {
		return err
	}
	if f, ok := store.(*fault.Store); ok {
		return c.addFaults(f)
	}
	return nil
}

func (c *client) addFaults(f *fault.Store) error {
	for _, r := range []fault.Rule{
		{Ops: []backend.Op{backend.OpPut}, Probability: 0.02},
		{Ops: []backend.Op{backend.OpPut, backend.OpDelete}, Probability: 0.02, Kind: fault.After},
		{Ops: []backend.Op{backend.OpGet, backend.OpStat}, Probability: 0.004},
		{Ops: []backend.Op{backend.OpDelete}, Probability: 0.05},
		{Ops: []backend.Op{backend.OpList}, Probability: 0.1, Kind: fault.Short},
		{Probability: 0.05, Kind: fault.Delay, Delay: time.Millisecond},
	} {
		if err := f.Add(r); err != nil {
			return err
		}
	}
	if c.rng.IntN(3) == 0 {
		f.KillAfter(c.rng.IntN(120))
	}
	return nil
}

// step does one thing, and dies if that failed.
func (c *client) step(ctx context.Context, do func(context.Context) error) {
	err := c.open(ctx)
	if err == nil {
		err = do(ctx)
	}
	c.mu.Lock()
	c.counts[fmt.Sprintf("%s, failed %t", c.name, err != nil)]++
	c.mu.Unlock()
	if err == nil || c.repo == nil {
		return
	}
	_ = c.repo.Close() // as the end of a process does
	c.repo = nil
}

func (c *client) write(ctx context.Context) error {
	var picked []int
	var chunks [][]byte
	for i := range c.pool {
		if c.rng.IntN(3) == 0 {
			picked, chunks = append(picked, i), append(chunks, c.pool[i])
		}
	}
	s, err := c.repo.Begin(ctx, &repo.SessionOptions{Kind: "test", Source: [][]byte{[]byte(c.name)}})
	if err != nil {
		return err
	}
	root, err := saveAll(ctx, s, chunks)
	if err == nil {
		var id repo.ID
		if id, err = s.Commit(ctx, root, []byte("m")); err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.want[id], c.ids = picked, append(c.ids, id)
			return nil
		}
	}
	return errors.Join(err, s.Suspend(ctx))
}

func (c *client) forget(ctx context.Context) error {
	id := c.any()
	if id.IsZero() {
		return nil
	}
	c.mu.Lock()
	c.doubtful[id] = true
	c.mu.Unlock()
	if err := c.repo.Forget(ctx, []repo.ID{id}, ""); err != nil {
		return err
	}
	if c.rng.IntN(4) == 0 {
		return c.repo.Unforget(ctx, []repo.ID{id}, "")
	}
	return nil
}

func (c *client) collect(ctx context.Context) error {
	after := c.revoke[c.rng.IntN(len(c.revoke))]
	o := &repo.CollectOptions{MaxUnused: &repo.Limit{Share: c.rng.Float64() / 2}, RevokeAfter: &after}
	_, err := c.repo.Collect(ctx, o)
	if errors.Is(err, repo.ErrCollecting) {
		return nil
	}
	return err
}

// read reads a snapshot with the ledger as it was when this client last looked.
func (c *client) read(ctx context.Context) error {
	id := c.any()
	if c.rng.IntN(2) == 0 {
		if err := c.repo.Refresh(ctx); err != nil {
			return err
		}
	}
	err := c.readSnapshot(ctx, c.repo, id)
	if isCorrupt := (*repo.CorruptError)(nil); errors.As(err, &isCorrupt) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.doubtful[id] {
			c.t.Errorf("reading snapshot %s: %v", id, err)
		}
	}
	return nil
}

// hold forgets a snapshot while it holds it, and reads it some time later, which finds all of it unless somebody ended the holding.
func (c *client) hold(ctx context.Context) error {
	id := c.any()
	h, err := c.repo.Hold(ctx, []repo.ID{id}, c.name, "test")
	if errors.Is(err, repo.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	list, err := c.repo.Snapshots()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.doubtful[id] = true
	c.mu.Unlock()
	err = c.repo.Forget(ctx, []repo.ID{id}, "")
	for range c.rng.IntN(40) {
		err = errors.Join(err, c.repo.Refresh(ctx))
	}
	var readErr error
	if i := slices.IndexFunc(list, func(s repo.Snapshot) bool { return s.ID == id }); i >= 0 {
		readErr = c.compare(ctx, c.repo, &list[i])
	}
	if err := errors.Join(err, h.Release(ctx)); err != nil {
		return err
	}
	if _, ok := errors.AsType[*repo.CorruptError](readErr); ok {
		c.t.Errorf("reading snapshot %s, which is held: %v", id, readErr)
	}
	return nil
}

// readSnapshot compares what a snapshot refers to with the pool.
func (c *chaos) readSnapshot(ctx context.Context, r *repo.Repository, id repo.ID) error {
	list, err := r.Snapshots()
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.ID == id {
			return c.compare(ctx, r, &s)
		}
	}
	return repo.ErrNotFound
}

func (c *chaos) compare(ctx context.Context, r *repo.Repository, s *repo.Snapshot) error {
	c.mu.Lock()
	picked := c.want[s.ID]
	c.mu.Unlock()
	i := 0
	load := func(ctx context.Context, id repo.ID, n uint32) ([]byte, error) { return r.Load(ctx, repo.Map, id, n) }
	err := reftree.Walk(ctx, load, s.Root, func(class repo.Class, id repo.ID, n uint32) (bool, error) {
		b, err := r.Load(ctx, class, id, n)
		if err != nil || class != repo.Data || picked == nil {
			return true, err
		}
		if !bytes.Equal(b, c.pool[picked[i]]) {
			return false, fmt.Errorf("chunk %d is not what was stored", i)
		}
		i++
		return true, nil
	})
	if err == nil && i != len(picked) {
		err = fmt.Errorf("%d chunks of %d", i, len(picked))
	}
	return err
}

// TestChaos lets writers, collectors and readers work on one store while their calls fail and they die. Then everything that was reported to be committed
// is there, nothing is damaged, and one undisturbed collection leaves nothing that nobody needs.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *chaosSeeds {
		s := seed + uint64(i)
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			t.Parallel()
			runChaos(t, s)
		})
	}
}

func runChaos(t *testing.T, seed uint64) {
	c := newChaos(t, seed)
	c.revoke = []time.Duration{0, time.Hour} // at once, or never
	net := &network{Store: c.base, rng: rand.New(rand.NewPCG(seed, 99))}
	c.connect = func(h *client) (backend.Store, error) { return fault.New(net, &fault.Options{Seed: h.rng.Uint64()}) }
	c.play(seed).Wait()
	net.settle()
	c.verify()
	t.Logf("%v", c.counts)
}

// play lets clients work.
func (c *chaos) play(seed uint64) *sync.WaitGroup {
	var wg sync.WaitGroup
	play := func(name string, steps int, do func(*client) func(context.Context) error) {
		h := c.client(seed, name)
		wg.Go(func() {
			for range steps {
				h.step(c.t.Context(), do(h))
			}
			if h.repo != nil {
				_ = h.repo.Close()
			}
		})
	}
	for i := range 3 {
		play(fmt.Sprintf("writer %d", i), 14, func(h *client) func(context.Context) error {
			if h.rng.IntN(3) == 0 {
				return h.forget
			}
			return h.write
		})
	}
	for i := range 2 {
		play(fmt.Sprintf("collector %d", i), 8, func(h *client) func(context.Context) error { return h.collect })
	}
	play("reader 0", 30, func(h *client) func(context.Context) error {
		if h.rng.IntN(4) == 0 {
			return h.hold
		}
		return h.read
	})
	return &wg
}

func (c *chaos) verify() {
	t := c.t
	r := openRepo(t, c.base, c.key)
	now := time.Duration(0)
	for range 2 {
		live := map[repo.ID]bool{}
		for _, s := range requireWhole(t, r) {
			live[s.ID] = true
			require.NoError(t, c.compare(t.Context(), r, &s))
		}
		for id := range c.want {
			require.True(t, live[id] || c.doubtful[id], "snapshot %s, which was committed", id)
		}
		o := everything()
		o.RevokeAfter = &now
		report := collect(t, r, o)
		require.Zero(t, report.Condemned)
	}
	requireClean(t, r)
}
