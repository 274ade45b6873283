package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// states verifies what is there as the states of CHECKPOINTs, and that those of the last two are there. found are those that were listed.
func (c *checker) states(ctx context.Context, found map[uint64]amount) error {
	for _, n := range slices.Sorted(maps.Keys(c.usedStates(found))) {
		err := c.state(ctx, n)
		if errors.Is(err, fs.ErrNotExist) {
			err = c.missingState(ctx, n)
		}
		if err == nil {
			continue
		}
		if err := c.fault(err); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) usedStates(found map[uint64]amount) map[uint64]amount {
	used := maps.Clone(found)
	c.repo.chain.view(func(st *ledger.State) {
		head, _ := st.Head()
		last := st.Checkpoints()
		used[last.N], used[last.Before] = amount{}, amount{}
		delete(used, 0) // there was none
		maps.DeleteFunc(used, func(n uint64, _ amount) bool { return n >= head || checkpointUseless(st, n) })
	})
	return used
}

// state compares the state of CHECKPOINT n with what the entry says.
func (c *checker) state(ctx context.Context, n uint64) error {
	damaged := func(err error) error { return &CorruptError{Key: ledger.CheckpointKey(n), Offset: -1, Err: err} }
	e, err := c.repo.Entry(ctx, n)
	if err != nil {
		return err
	}
	named, ok := e.Body.(*ledger.Checkpoint)
	if !ok {
		return damaged(fmt.Errorf("entry %d is no CHECKPOINT", n))
	}
	b, err := backend.ReadAll(ctx, c.repo.store, ledger.CheckpointKey(n), int64(named.Size))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return err
	case isDamage(err):
		return damaged(err)
	case err != nil:
		return err
	}
	if hash, err := ledger.HashState(b); err != nil || hash != named.State {
		return damaged(errors.New("it is not the state that the ledger names; 'holdfast repair ledger' makes it anew"))
	}
	return nil
}

// missingState reports a state that is not there as lost, unless somebody needed it no more.
func (c *checker) missingState(ctx context.Context, n uint64) error {
	if err := c.repo.chain.advance(ctx); err != nil {
		return err
	}
	useless := false
	c.repo.chain.view(func(st *ledger.State) { useless = checkpointUseless(st, n) })
	if useless {
		return nil
	}
	return &CorruptError{Key: ledger.CheckpointKey(n), Offset: -1, Err: errors.New("missing; nothing is lost, and 'holdfast repair ledger' makes it anew")}
}
