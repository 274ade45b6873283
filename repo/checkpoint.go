package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sort"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// CheckpointEvery is after how many entries the next CHECKPOINT is due, so that a client that knows nothing seldom reads more than 64.
const CheckpointEvery = 48

// checkpointsTried is how many states such a client tries before it reads the ledger from the beginning, and maxCheckpoints how many names it looks at for that.
const (
	checkpointsTried = 8
	maxCheckpoints   = 100
)

// begin moves to the newest CHECKPOINT before the given entry that is as it should be. If there is none, the replay begins at GENESIS.
func (c *chain) begin(ctx context.Context, before uint64) error {
	list, err := checkpoints(ctx, c.store)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(n uint64) bool { return n >= before })
	for tried, looked := 0, 0; len(list) > 0 && tried < checkpointsTried && looked < maxCheckpoints; looked++ {
		n := list[len(list)-1]
		list = list[:len(list)-1]
		restored, err := c.restore(ctx, n)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errNoEntry):
			if list, err = c.withEntries(ctx, list); err != nil {
				return err
			}
		case err != nil:
			tried++
			c.log.Warn("a checkpoint of the ledger is not used", "object", ledger.CheckpointKey(n), "error", err)
		case restored != nil:
			c.state, c.origin = restored, origin{at: n, trusted: n}
			return nil
		}
	}
	return nil
}

// withEntries returns the part of an ascending list of names that is not beyond the head: anybody who can write to the store can add names there.
func (c *chain) withEntries(ctx context.Context, list []uint64) ([]uint64, error) {
	var failed error
	n := sort.Search(len(list), func(i int) bool {
		if failed != nil {
			return true
		}
		_, err := c.store.Stat(ctx, ledger.EntryKey(list[i]))
		failed = ifExists(err)
		return err != nil
	})
	return list[:n], failed
}

// errNoEntry says that the ledger has no such entry.
var errNoEntry = errors.New("there is no such entry")

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

// restore returns the state after CHECKPOINT n; nil if the entry is none, or its state is not there; errNoEntry if there is no such entry: somebody may be about to append it.
func (c *chain) restore(ctx context.Context, n uint64) (*ledger.State, error) {
	entry, err := c.read(ctx, n)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoEntry
	}
	if err != nil {
		return nil, err
	}
	e, err := ledger.Decode(entry)
	if err != nil || e.Type != ledger.TypeCheckpoint {
		return nil, err
	}
	body, err := e.Body()
	if err == nil && e.N != n {
		err = fmt.Errorf("it is entry %d", e.N)
	}
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
// next tries again. The caller has the turn to move.
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
		body := s.NextCheckpoint()
		if body.Size > ledger.MaxState {
			c.every = math.MaxUint64 // it gets no smaller
			return nil, fmt.Errorf("the state has %d bytes, more than the %d allowed", body.Size, ledger.MaxState)
		}
		state = s.Encode()
		return body, nil
	})
	if err != nil {
		return 0, err
	}
	// Who is faster stores the same bytes. Others may be left there by whoever can write to the store.
	if err := backend.PutBytes(ctx, c.store, ledger.CheckpointKey(n), state, nil); err != nil {
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
			c.log.Info("a state that is not needed stays", "object", ledger.CheckpointKey(n), "error", err)
		}
	}
	return nil
}

// farOff is how many entries others may add while somebody adds a CHECKPOINT.
const farOff = 10_000

// checkpointUseless reports whether the state of CHECKPOINT n is of no use any more: it is none, or there are two newer ones.
func checkpointUseless(s *ledger.State, n uint64) bool {
	head, _ := s.Head()
	if n >= head { // somebody may be about to append it, unless it is far off
		return n >= head+farOff
	}
	last := s.Checkpoints()
	return n != last.N && n != last.Before
}
