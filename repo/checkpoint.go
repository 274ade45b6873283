package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// CheckpointEvery is after how many entries the next CHECKPOINT is due, so that a client that knows nothing seldom reads more than 64.
const CheckpointEvery = 48

// checkpointsTried is how many such a client tries before it reads the ledger from the beginning.
const checkpointsTried = 8

var errFalseCheckpoint = errors.New("the entries before it do not lead to this state: its signer lied, or their program is faulty; it is not used any more, run this again")

// origin is where the replay of a ledger began.
type origin struct {
	at uint64 // number of the first entry that was replayed here; 0: GENESIS
	// proved: all that comes before it was replayed, too, by this client, earlier. Otherwise one trusts who signed the CHECKPOINT.
	proved bool
	void   []ledger.VoidEntry // that came before it, if it is proved
}

// begin moves to the newest CHECKPOINT before the given entry that is as it should be. If there is none, the replay begins at GENESIS.
func (c *chain) begin(ctx context.Context, before uint64) error {
	list, err := checkpoints(ctx, c.store)
	if err != nil {
		return err
	}
	tried := 0
	for _, n := range slices.Backward(list) {
		if n >= before || tried == checkpointsTried {
			continue
		}
		tried++
		restored, err := c.restore(ctx, n)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			c.log.Warn("a checkpoint of the ledger is not used", "object", ledger.CheckpointKey(n), "error", err)
		}
		if restored != nil {
			c.state, c.origin = restored, origin{at: n}
			return nil
		}
	}
	return nil
}

// checkpoints returns the numbers of the states in the store, ascending.
func checkpoints(ctx context.Context, store backend.Store) (list []uint64, err error) {
	for info, err := range store.List(ctx, ledger.CheckpointPrefix) {
		if err != nil {
			return nil, fmt.Errorf("listing checkpoints: %w", err)
		}
		if n, err := ledger.ParseCheckpointKey(info.Key); err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// restore returns the state after CHECKPOINT n; nil if there is no such entry, or its state is not there: somebody may be about to append it, or was overtaken.
func (c *chain) restore(ctx context.Context, n uint64) (*ledger.State, error) {
	entry, err := c.read(ctx, n)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	e, err := ledger.Decode(entry)
	if err != nil || e.Type != ledger.TypeCheckpoint {
		return nil, err
	}
	body, err := e.Body()
	if err != nil {
		return nil, err
	}
	state, err := backend.ReadAll(ctx, c.store, ledger.CheckpointKey(n), int64(body.(*ledger.Checkpoint).Size))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	restored, err := ledger.Restore(c.genesis, entry, state, c.opener)
	if err == nil {
		c.cache.add(n, entry)
		c.cache.gap = true
	}
	return restored, err
}

// checkpoint adds a CHECKPOINT if one is due and this key may sign it, and returns how many bytes it stored. It only saves others time, so that it can fail: whoever appends
// next tries again. The caller holds moving.
func (c *chain) checkpoint(ctx context.Context, ring *crypto.Keyring) int {
	due := false
	c.view(func(s *ledger.State) { due = c.origin.proved && s.SinceCheckpoint() >= c.every })
	if role := ring.Role(); !due || role != crypto.Admin && role != crypto.Collector {
		return 0
	}
	size, err := c.addCheckpoint(ctx, ring)
	if err == nil {
		err = c.dropCheckpoints(ctx)
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("keeping checkpoints of the ledger", "error", err)
	}
	return size
}

// addCheckpoint stores the state, and then the entry that names it. When somebody else's entry comes first, the state is of no use.
func (c *chain) addCheckpoint(ctx context.Context, ring *crypto.Keyring) (size int, err error) {
	n := c.head()
	var state []byte
	entry, err := c.next(ring, func(s *ledger.State) (ledger.Body, error) {
		state = s.Encode()
		return s.NextCheckpoint(), nil
	})
	if err != nil {
		return 0, err
	}
	if won, err := create(ctx, c.store, ledger.CheckpointKey(n), state); err != nil || !won {
		return 0, err
	}
	won, err := create(ctx, c.store, ledger.EntryKey(n), entry)
	if err != nil || !won {
		return len(state), err
	}
	return len(state) + len(entry), c.apply(n, readEntry{bytes: entry})
}

// dropCheckpoints deletes the states of no use. One that may not be deleted stays.
func (c *chain) dropCheckpoints(ctx context.Context) error {
	list, err := checkpoints(ctx, c.store)
	if err != nil {
		return err
	}
	c.view(func(s *ledger.State) {
		list = slices.DeleteFunc(list, func(n uint64) bool { return !checkpointUseless(s, n) })
	})
	for _, n := range list {
		if err := c.store.Delete(ctx, ledger.CheckpointKey(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// prove makes sure that nothing in the state rests on the word of who signed a CHECKPOINT.
func (c *chain) prove(ctx context.Context) error {
	c.proving.Lock()
	defer c.proving.Unlock()
	if c.isProved() {
		return nil
	}
	_, err := c.replay(ctx)
	return err
}

// advanceProved is advance for who decides what may be deleted.
func (c *chain) advanceProved(ctx context.Context, dryRun bool) error {
	if err := c.advance(ctx); err != nil {
		return err
	}
	err := c.prove(ctx)
	if errors.Is(err, errFalseCheckpoint) && !dryRun {
		err = errors.Join(err, c.dropCheckpoints(ctx)) // so that others do not begin there
	}
	return err
}

func (c *chain) isProved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.origin.proved
}

// replay replays the ledger from GENESIS, as the store has it, and makes sure that it leads to what this client knows.
func (c *chain) replay(ctx context.Context) (*ledger.State, error) {
	again, err := c.again(ctx)
	if err != nil {
		return nil, err
	}
	var mine *ledger.State
	c.view(func(s *ledger.State) { mine = s.Clone() })
	n, hash := mine.Head()
	if err := again.fetchTo(ctx, n); err != nil {
		return nil, err
	}
	if m, h := again.state.Head(); m < n || h != hash {
		err := fmt.Errorf("%w: the ledger ends with entry %d, which is not the one read before", ErrRolledBack, m-1)
		return nil, &CorruptError{Key: ledger.EntryKey(m - 1), Offset: -1, Err: err}
	}
	if err := c.settle(ctx, mine, again); err != nil {
		return nil, err
	}
	return again.state, again.fetch(ctx)
}

// again returns a chain that is at GENESIS, as the store has it.
func (c *chain) again(ctx context.Context) (*chain, error) {
	genesis, err := c.read(ctx, 0)
	if err != nil {
		return nil, missing(ledger.EntryKey(0), err)
	}
	state, err := ledger.NewState(genesis, c.opener)
	if err != nil {
		return nil, &CorruptError{Key: ledger.EntryKey(0), Offset: -1, Err: err}
	}
	again := &chain{store: c.store, state: state, origin: origin{proved: true}}
	if !c.isProved() {
		again.cache = c.cache.anew()
	}
	return again, nil
}

// settle puts the state as replayed from GENESIS in the place of one that began later. mine is the latter as it was when both had as many entries: it must be the same.
func (c *chain) settle(ctx context.Context, mine *ledger.State, again *chain) error {
	c.moving.Lock()
	defer c.moving.Unlock()
	at := c.origin.at
	if at == 0 {
		return nil
	}
	same := *mine.NextCheckpoint() == *again.state.NextCheckpoint()
	if err := again.fetchTo(ctx, c.head()); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state, c.origin = again.state.Clone(), origin{proved: true}
	if same {
		return nil
	}
	c.cache = again.cache
	return &CorruptError{Key: ledger.CheckpointKey(at), Offset: -1, Err: errFalseCheckpoint}
}

// why says why entry n is void; "" if it is not, or that is not known since the replay began after it.
func (c *chain) why(n uint64) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.state.Void()
	if n < c.origin.at {
		list = c.origin.void
	}
	i, ok := slices.BinarySearchFunc(list, n, func(v ledger.VoidEntry, n uint64) int { return cmp.Compare(v.N, n) })
	if !ok {
		return ""
	}
	return list[i].Why
}

// proveBefore proves what came before the origin if entry n did.
func (c *chain) proveBefore(ctx context.Context, n uint64) error {
	c.mu.Lock()
	after := n >= c.origin.at
	c.mu.Unlock()
	if after {
		return nil
	}
	return c.prove(ctx)
}

// checkpointUseless reports whether the state of CHECKPOINT n is of no use any more: it is none, or there are two newer ones.
func checkpointUseless(s *ledger.State, n uint64) bool {
	head, _ := s.Head()
	if n >= head { // somebody may be about to append it
		return false
	}
	last := s.Checkpoints()
	return n != last.N && n != last.Before
}
