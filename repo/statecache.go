package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

const keptStateName = "state"

// keptState says what the cached state is of.
type keptState struct {
	entries uint64 // 0: there is none
	proved  bool
	from    uint64 // where the replay had begun that led to it
}

// anew returns a cache that will take the place of this one, if it is saved.
func (c *ledgerCache) anew() *ledgerCache {
	if c == nil {
		return nil
	}
	return &ledgerCache{dir: c.dir, instead: true, kept: c.kept, gap: true}
}

// saveState keeps the state, what is known of the entries before it, and whether that was proved, if it saves the next client much.
func (c *ledgerCache) saveState(state *ledger.State, from *origin) error {
	n, _ := state.Head()
	now := keptState{n, from.proved, from.at}
	if !c.gap && n < c.kept.entries+CheckpointEvery && now.proved == c.kept.proved && now.from == c.kept.from {
		return nil
	}
	if was, ok := c.dir.readSealed(keptStateName); ok && !from.proved && wire.NewDecoder(was).Bool() {
		return nil // another process knows more
	}
	b := wire.AppendU64(wire.AppendU64(wire.AppendBool(nil, from.proved), n), from.trusted)
	var void []ledger.VoidEntry
	if from.proved {
		void = append(slices.Clip(from.void), state.Void()...)
	}
	b = wire.AppendUvarint(b, uint64(len(void)))
	for _, v := range void {
		b = append(wire.AppendUvarint(b, v.N), byte(v.Type))
		b = wire.AppendBytes(append(b, v.Actor[:]...), v.Why)
	}
	if err := c.dir.writeSealed(keptStateName, append(b, state.Encode()...)); err != nil {
		return err
	}
	c.kept, c.gap = now, false
	return nil
}

// dropState forgets the kept state.
func (c *ledgerCache) dropState() error {
	c.kept = keptState{proved: true}
	if !c.dir.on() {
		return nil
	}
	if err := os.Remove(c.dir.sealedPath(keptStateName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clearing the cache: %w", err)
	}
	return nil
}

// readState returns the kept state; nil if there is none that can be used. It is what this key slot wrote, so nothing is verified again.
func (c *ledgerCache) readState(ch *chain) (*ledger.State, origin) {
	b, ok := c.dir.readSealed(keptStateName)
	if !ok {
		return nil, origin{}
	}
	d := wire.NewDecoder(b)
	from := origin{proved: d.Bool(), at: d.U64(), trusted: d.U64()}
	for range d.Count(1+1+16+1, "void entries") {
		v := ledger.VoidEntry{N: d.UvarintMax(from.at, "entries"), Type: ledger.Type(d.U8())}
		d.Copy(v.Actor[:])
		v.Why = d.String(ledger.MaxEntry, "reason")
		from.void = append(from.void, v)
	}
	if d.Err() != nil {
		return nil, origin{}
	}
	state, err := ledger.Resume(ch.genesis, b[d.Offset():], ch.opener)
	if err != nil {
		return nil, origin{}
	}
	if n, _ := state.Head(); n != from.at {
		return nil, origin{}
	}
	c.kept = keptState{from.at, from.proved, from.at}
	return state, from
}
