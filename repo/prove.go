package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

var errFalseCheckpoint = errors.New("the entries before it do not lead to this state: its signer lied, or their program is faulty; it is not used any more, run this again")

// origin is where the replay of a ledger began.
type origin struct {
	at uint64 // number of the first entry that was replayed here; 0: GENESIS
	// proved: all that comes before it was replayed, too, by this client, earlier. Otherwise one trusts who signed CHECKPOINT trusted.
	proved  bool
	trusted uint64
	void    []ledger.VoidEntry // that came before it, if it is proved
}

// prove makes sure that nothing in the state rests on the word of who signed a CHECKPOINT.
func (c *chain) prove(ctx context.Context) error {
	if err := c.proving.take(ctx); err != nil {
		return err
	}
	defer c.proving.pass()
	if proved, err := c.isProved(); proved || err != nil {
		return err
	}
	_, err := c.replay(ctx)
	return err
}

// advanceProved is advance for who decides what may be deleted.
func (c *chain) advanceProved(ctx context.Context, dryRun bool) error {
	err := c.advance(ctx)
	if err == nil {
		err = c.prove(ctx)
	}
	if errors.Is(err, errFalseCheckpoint) && !dryRun {
		err = errors.Join(err, c.dropCheckpoints(ctx)) // so that others do not begin there
	}
	return err
}

func (c *chain) isProved() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.origin.proved, c.lied
}

// doubtful reports whether somebody signed a CHECKPOINT that does not follow from the one where this client began: one of the two is false. That its signer may not do that is no excuse if
// only the state in doubt says so.
func (c *chain) doubtful() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.origin.proved {
		return false
	}
	return slices.ContainsFunc(c.state.Void(), func(v ledger.VoidEntry) bool {
		a, known := c.state.Actor(v.Actor)
		mayNot := a.Role == crypto.Writer || a.Role == crypto.Reader
		excused := known && (mayNot && a.AdmittedAt >= c.origin.at || a.RemovedAt >= c.origin.at && a.RemovedAt < v.N)
		return v.Type == ledger.TypeCheckpoint && !excused
	})
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
	return &chain{store: c.store, state: state, origin: origin{proved: true}}, nil
}

// settle puts the state as replayed from GENESIS in the place of one that began later. mine is the latter as it was when both had as many entries: it must be the same.
func (c *chain) settle(ctx context.Context, mine *ledger.State, again *chain) error {
	if err := c.moving.take(ctx); err != nil {
		return err
	}
	defer c.moving.pass()
	from := c.origin
	if from.at == 0 {
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
	c.cache = c.cache.anew()
	c.lied = from.falseState()
	return c.lied
}

// falseState says that the state with which the replay began was wrong.
func (o *origin) falseState() error {
	if o.proved {
		return fmt.Errorf("what the cache kept of the first %d entries of the ledger is not what they lead to, perhaps by a fault of an earlier version; it is not used any more, run this again", o.at)
	}
	return &CorruptError{Key: ledger.CheckpointKey(o.trusted), Offset: -1, Err: errFalseCheckpoint}
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
