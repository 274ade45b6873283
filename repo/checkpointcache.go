package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

const checkpointName = "checkpoint"

// kept says what the cached checkpoint is.
type kept struct {
	n      uint64 // 0: there is none
	proved bool
}

// anew returns a cache that will take the place of this one, if it is saved.
func (c *ledgerCache) anew() *ledgerCache {
	if c == nil {
		return nil
	}
	return &ledgerCache{dir: c.dir, instead: true, kept: c.kept}
}

// saveCheckpoint keeps the last CHECKPOINT with what it stands for, what is known of the entries before it, and whether that was proved.
func (c *ledgerCache) saveCheckpoint(state *ledger.State, from *origin) error {
	last := state.Checkpoint()
	if last == nil {
		return c.dropCheckpoint()
	}
	now := kept{last.N, from.proved}
	if now == c.kept {
		return nil
	}
	var void []ledger.VoidEntry
	if from.proved {
		void = voidBefore(append(from.void[:len(from.void):len(from.void)], state.Void()...), last.N)
	}
	b := appendCheckpoint(nil, last, from.proved, void)
	if err := c.dir.writeSealed(checkpointName, b); err != nil {
		return err
	}
	c.kept = now
	return nil
}

func (c *ledgerCache) dropCheckpoint() error {
	if c.kept.n == 0 {
		return nil
	}
	if err := os.Remove(c.dir.sealedPath(checkpointName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clearing the cache: %w", err)
	}
	c.kept = kept{}
	return nil
}

func appendCheckpoint(b []byte, last *ledger.Checkpointed, proved bool, void []ledger.VoidEntry) []byte {
	b = wire.AppendU64(wire.AppendBool(b, proved), last.N)
	b = wire.AppendUvarint(b, uint64(len(void)))
	for _, v := range void {
		b = append(wire.AppendUvarint(b, v.N), byte(v.Type))
		b = wire.AppendBytes(append(b, v.Actor[:]...), []byte(v.Why))
	}
	return wire.AppendBytes(wire.AppendBytes(b, last.Entry), last.State)
}

// readCheckpoint returns the state after the cached checkpoint; nil if there is none. It is what this key slot wrote, so nothing is verified again.
func (c *ledgerCache) readCheckpoint(ch *chain) (*ledger.State, origin) {
	b, ok := c.dir.readSealed(checkpointName)
	if !ok {
		return nil, origin{}
	}
	d := wire.NewDecoder(b)
	from := origin{proved: d.Bool(), checkpoint: d.U64()}
	for range d.Count(1+1+8+1, "void entries") {
		v := ledger.VoidEntry{N: d.UvarintMax(from.checkpoint, "entries"), Type: ledger.Type(d.U8())}
		d.Copy(v.Actor[:])
		v.Why = string(d.Bytes(ledger.MaxEntry, "reason"))
		from.void = append(from.void, v)
	}
	entry := d.Bytes(ledger.MaxEntry, "entry")
	encoded := d.Bytes(ledger.MaxState, "state")
	if d.Finish() != nil {
		return nil, origin{}
	}
	state, err := ledger.Restore(ch.genesis, entry, encoded, ch.opener, true)
	if err != nil {
		return nil, origin{}
	}
	c.kept = kept{from.checkpoint, from.proved}
	return state, from
}
