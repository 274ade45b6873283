package repo_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

var simulations = flag.Int("simulations", 1, "how many seeds TestSimulation goes through")

// simulation is a store, and a network before it, whose every call waits until a scheduler says that it is its turn, and what becomes of it: done, refused, done
// and reported as failed, done again or only later, or the end of the client. Time passes when the scheduler says so, and each host has a clock of its own, which it sets. One seed gives one history.
type simulation struct {
	rng   *rand.Rand
	base  *mem.Store
	locks bool // clients have kernel locks

	mu      sync.Mutex
	waiting []*call
	hosts   []*client
	asleep  map[string]int // hosts, and the step at which they wake
	late    []func()
	steps   int
	trace   crypto.ID // hash of all that happened

	storing sync.Mutex
	fresh   []string       // keys that were stored lately
	gone    []backend.Info // that were deleted lately
}

// call is a call to the store that waits.
type call struct {
	store  *simulated
	op     backend.Op
	key    string
	answer chan fate
}

func (c *call) name() string { return fmt.Sprintf("%s %v %s", c.store.host, c.op, c.key) }

// kind is the name without hashes: which of two goroutines is the first to ask for random bytes may differ from run to run.
func (c *call) kind() string { return hashes.ReplaceAllString(c.name(), "#") }

var hashes = regexp.MustCompile("[0-9a-f]{64}")

// fate is what becomes of a call.
type fate int

const (
	done    fate = iota
	refuse       // it fails, and nothing was done
	unheard      // it was done, and the reply is lost
	strand       // it fails, and arrives much later
	twice        // it is done, and once more much later
	stale        // a listing without what was stored lately, and with what was deleted
	die          // the client, with all its calls
)

var errDead = errors.New("this client is dead")

// run lets clients work until all have ended.
func (m *simulation) run(ended func() bool) {
	for {
		synctest.Wait() // until everybody waits
		m.mu.Lock()
		m.steps++
		ready := m.ready()
		chance := m.rng.IntN(1000)
		switch {
		case len(ready) == 0 && len(m.waiting) == 0 && ended():
			m.mu.Unlock()
			return
		case len(ready) == 0:
			m.sleep(time.Minute)
		case chance < 3:
			m.sleep(2 * time.Hour)
		case chance < 8:
			m.asleep[ready[m.rng.IntN(len(ready))].store.host] = m.steps + m.rng.IntN(400)
		case chance < 12:
			m.setClock()
		case chance < 40 && len(m.late) > 0:
			m.deliver(m.rng.IntN(len(m.late)))
		default:
			m.answer(ready[m.rng.IntN(len(ready))])
		}
		m.mu.Unlock()
	}
}

// ready returns the calls of hosts that are awake, in an order that depends on nothing but what they are.
func (m *simulation) ready() (list []*call) {
	for _, c := range m.waiting {
		if m.asleep[c.store.host] <= m.steps {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b *call) int { return cmp.Compare(a.kind(), b.kind()) })
	return list
}

// sleep lets time pass.
func (m *simulation) sleep(most time.Duration) {
	d := time.Duration(m.rng.Int64N(int64(most)))
	m.note("sleep " + d.String())
	m.mu.Unlock()
	time.Sleep(d)
	m.mu.Lock()
}

// setClock sets the clock of a host to some time within half a year.
func (m *simulation) setClock() {
	const halfYear = 182 * 24 * int64(time.Hour)
	h := m.hosts[m.rng.IntN(len(m.hosts))]
	h.skew.Store(m.rng.Int64N(2*halfYear) - halfYear)
	m.note("clock of " + h.name)
}

func (m *simulation) note(what string) {
	if os.Getenv("TRACE") != "" {
		fmt.Fprintln(os.Stderr, "TRACE", m.steps, what)
	}
	m.trace = crypto.Hash(append(m.trace[:], what...))
}

func (m *simulation) deliver(i int) {
	request := m.late[i]
	m.late = slices.Delete(m.late, i, i+1)
	m.note("late")
	request()
}

// answer decides what becomes of a call.
func (m *simulation) answer(c *call) {
	f := done
	switch chance := m.rng.IntN(1000); {
	case c.store.reliable:
	case chance < 1:
		f = die
	case c.op == backend.OpList:
		if chance < 150 {
			f = stale
		}
	case c.op == backend.OpPut && chance < 20, c.op == backend.OpDelete && chance < 100:
		f = []fate{refuse, unheard, strand, twice}[m.rng.IntN(4)]
	case chance < 3:
		f = refuse
	}
	m.note(fmt.Sprintf("%s: %d", c.kind(), f))
	if f == die {
		m.kill(c.store)
		return
	}
	m.remove(c)
	c.answer <- f
}

// kill ends a client with all its calls.
func (m *simulation) kill(s *simulated) {
	s.dead.Store(true)
	for _, c := range slices.Clone(m.waiting) {
		if c.store == s {
			m.remove(c)
			c.answer <- die
		}
	}
}

func (m *simulation) remove(c *call) {
	m.waiting = slices.DeleteFunc(m.waiting, func(w *call) bool { return w == c })
}

// simulated is the store as one client sees it, from its start to its end.
type simulated struct {
	*simulation
	host     string
	reliable bool // nothing happens to it but that it waits
	dead     atomic.Bool
}

// ask waits until it is a call's turn.
func (s *simulated) ask(ctx context.Context, op backend.Op, key string) (fate, error) {
	if s.dead.Load() {
		return die, errDead
	}
	c := &call{s, op, key, make(chan fate, 1)}
	s.mu.Lock()
	s.waiting = append(s.waiting, c)
	s.mu.Unlock()
	select {
	case f := <-c.answer:
		switch f {
		case die:
			return f, errDead
		case refuse:
			return f, errTimeout
		}
		return f, nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.remove(c)
		return die, context.Cause(ctx)
	}
}

// send makes a request that changes something.
func (s *simulated) send(ctx context.Context, op backend.Op, key string, request func(context.Context) error) error {
	f, err := s.ask(ctx, op, key)
	if err != nil {
		return err
	}
	if f == strand || f == twice {
		s.mu.Lock()
		s.late = append(s.late, func() { _ = request(context.Background()) })
		s.mu.Unlock()
	}
	if f != strand {
		err = request(ctx)
	}
	if f == strand || f == unheard {
		return errTimeout
	}
	return err
}

func (s *simulated) Put(ctx context.Context, key string, src io.ReaderAt, size int64, o *backend.PutOptions) error {
	b := make([]byte, size)
	if err := backend.ReadSource(src, b, 0); err != nil {
		return err
	}
	return s.send(ctx, backend.OpPut, key, func(ctx context.Context) error {
		s.storing.Lock()
		defer s.storing.Unlock()
		err := s.base.Put(ctx, key, backend.Bytes(b), size, o)
		if err == nil {
			s.fresh = append(s.fresh[max(0, len(s.fresh)-10):], key)
		}
		return err
	})
}

func (s *simulated) Delete(ctx context.Context, key string) error {
	return s.send(ctx, backend.OpDelete, key, func(ctx context.Context) error {
		s.storing.Lock()
		defer s.storing.Unlock()
		info, err := s.base.Stat(ctx, key)
		if err == nil {
			s.gone = append(s.gone[max(0, len(s.gone)-10):], info)
		}
		return s.base.Delete(ctx, key)
	})
}

func (s *simulated) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if _, err := s.ask(ctx, backend.OpGet, key); err != nil {
		return nil, err
	}
	return s.base.Get(ctx, key, off, n)
}

func (s *simulated) Stat(ctx context.Context, key string) (backend.Info, error) {
	if _, err := s.ask(ctx, backend.OpStat, key); err != nil {
		return backend.Info{}, err
	}
	return s.base.Stat(ctx, key)
}

func (s *simulated) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		f, err := s.ask(ctx, backend.OpList, prefix)
		if err != nil {
			yield(backend.Info{}, err)
			return
		}
		list := s.listed(ctx, prefix)
		if f == stale {
			list = s.older(list, prefix)
		}
		for _, info := range list {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *simulated) listed(ctx context.Context, prefix string) (list []backend.Info) {
	for info, err := range s.base.List(ctx, prefix) {
		if err == nil {
			list = append(list, info)
		}
	}
	return list
}

// older returns a listing as it was before the last changes.
func (s *simulated) older(list []backend.Info, prefix string) []backend.Info {
	s.storing.Lock()
	defer s.storing.Unlock()
	list = slices.DeleteFunc(list, func(info backend.Info) bool { return slices.Contains(s.fresh, info.Key) })
	for _, info := range s.gone {
		if strings.HasPrefix(info.Key, prefix) && !slices.ContainsFunc(list, func(i backend.Info) bool { return i.Key == info.Key }) {
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b backend.Info) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

func (s *simulated) Close() error { return nil }

// CreateIfAbsent implements [backend.ConditionalCreator].
func (s *simulated) CreateIfAbsent() backend.Primitive { return s.base.CreateIfAbsent() }

// locking is a simulated store that has kernel locks.
type locking struct{ *simulated }

func (s locking) Unwrap() backend.Store { return s.base }

// simulate plays one history, and returns its trace.
func simulate(t *testing.T, seed uint64) (trace crypto.ID) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	cryptotest.SetGlobalRandom(t, seed)
	synctest.Test(t, func(t *testing.T) {
		c := newChaos(t, seed)
		c.revoke = []time.Duration{0, 5 * time.Minute, time.Hour}
		m := &simulation{rng: rand.New(rand.NewPCG(seed, 7)), base: c.base, locks: seed%2 == 0, asleep: map[string]int{}}
		c.connect = func(h *client) (backend.Store, error) {
			s := &simulated{simulation: m, host: h.name, reliable: strings.HasPrefix(h.name, "auditor")}
			if m.locks {
				return locking{s}, nil
			}
			return s, nil
		}
		var ended atomic.Bool
		wg := c.play(seed)
		c.audit(wg, seed)
		c.mend(wg, seed)
		m.hosts = c.hosts
		go func() {
			wg.Wait()
			ended.Store(true)
		}()
		m.run(ended.Load)
		for len(m.late) > 0 {
			m.deliver(0)
		}
		c.verify()
		trace = m.trace
		t.Logf("%d steps, %v", m.steps, c.counts)
	})
	return trace
}

// audit lets somebody check the repository meanwhile, who must never find anything wrong with it.
func (c *chaos) audit(wg *sync.WaitGroup, seed uint64) {
	h := c.client(seed, "auditor 0")
	wg.Go(func() {
		for range 3 {
			h.step(c.t.Context(), func(ctx context.Context) error {
				report, err := h.repo.Check(ctx, &repo.CheckOptions{ReadData: repo.ReadAll(), Workers: 2})
				if err != nil {
					return err
				}
				for _, fault := range report.Errors {
					c.t.Errorf("a check beside the others: %v", fault)
				}
				return nil
			})
		}
		if h.repo != nil {
			_ = h.repo.Close()
		}
	})
}

// mend lets somebody repair the repository meanwhile, in which nothing is damaged.
func (c *chaos) mend(wg *sync.WaitGroup, seed uint64) {
	h := c.client(seed, "mender 0")
	repairs := []func(context.Context) error{
		func(ctx context.Context) error { _, err := h.repo.RepairIndex(ctx, nil); return err },
		func(ctx context.Context) error { _, err := h.repo.RepairPacks(ctx, nil); return err },
		func(ctx context.Context) error { _, err := h.repo.RestorePacks(ctx, nil); return err },
		func(ctx context.Context) error { _, err := h.repo.Heal(ctx, nil); return err },
	}
	wg.Go(func() {
		for range 5 {
			h.step(c.t.Context(), repairs[h.rng.IntN(len(repairs))])
		}
		if h.repo != nil {
			_ = h.repo.Close()
		}
	})
}

// TestSimulation lets writers, collectors and readers work on one simulated store under a scheduler that a seed decides: whose call comes next, which are lost, late or
// repeated, who dies, who sleeps for how long. In the end it is as after TestChaos.
func TestSimulation(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	for i := range *simulations {
		s := seed + uint64(i)
		t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) { simulate(t, s) })
	}
}

// TestSimulationRepeats: a seed gives the same history each time.
func TestSimulationRepeats(t *testing.T) {
	if raceEnabled() {
		t.Skip("the race detector has goroutines run in any order")
	}
	require.Equal(t, simulate(t, 5), simulate(t, 5))
}

// raceEnabled reports whether this is run under the race detector.
func raceEnabled() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
