package repo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// ledgerCache keeps ledger entries on local disk, so that they are fetched and their signatures checked once, a state, after which the replay
// of them goes on, and a pin: the number and hash of the last one seen. The latter two are sealed under the slot's own key. The pin makes a repository
// that was rolled back visible. The file of entries is a list of records that several processes may append to: u64 number, u32 length, entry.
type ledgerCache struct {
	dir     *cacheDir
	fresh   []byte // records not yet written
	instead bool   // of those in the file
	kept    keptState
	gap     bool // the file lacks entries that came after the kept state
}

const pinName = "pin"

func (c *cacheDir) ledgerPath() string { return filepath.Join(c.path, "ledger") }

// openChain replays the cached entries, then the store's.
func (r *Repository) openChain(ctx context.Context, genesis []byte, state *ledger.State, every uint64) (*chain, error) {
	cache := &ledgerCache{dir: r.cache, kept: keptState{proved: true}}
	ch := &chain{
		store: r.store, cache: cache, genesis: genesis, opener: opener(r.ring), log: r.log, now: r.now, every: every,
		state: state, origin: origin{proved: true}, proving: newTurn(), moving: newTurn(),
	}
	pinned, err := cache.begin(ctx, ch)
	if err != nil {
		return nil, err
	}
	if err := ch.advance(ctx); err != nil {
		if errors.Is(err, errFalseCheckpoint) {
			err = errors.Join(err, ch.save()) // so that the next one begins with what is right
		}
		return nil, err
	}
	if n, _ := ch.state.Head(); n < pinned {
		return nil, fmt.Errorf("%w: its ledger has %d entries, %d were seen (remove %s if this is meant)", ErrRolledBack, n, pinned, r.cache.sealedPath(pinName))
	}
	return ch, nil
}

// begin moves the chain to the pin, from the cache or from a CHECKPOINT in the store, or, without a pin, to a CHECKPOINT. It returns how many entries were pinned.
func (c *ledgerCache) begin(ctx context.Context, ch *chain) (pinned uint64, err error) {
	n, hash, ok := c.dir.pin()
	if !ok { // it was never there, or somebody removed it because the repository was rolled back
		return 0, errors.Join(c.dropState(), ch.begin(ctx, math.MaxUint64))
	}
	genesis := ch.state
	kept, from := c.readState(ch)
	if kept != nil && from.at > n { // the end came between writing the two
		n, hash = kept.Head()
	}
	found, err := c.find(ch, kept, from, n, hash)
	if err != nil {
		return n, err
	}
	if found {
		return n, checkPinned(ctx, ch, n, hash)
	}
	if kept != nil {
		ch.state, ch.origin = kept, from
		err := ch.checkPassing(ctx, n, hash)
		if !isType[*CorruptError](err) && !errors.Is(err, ErrRolledBack) {
			return n, err
		}
		// It is of another branch than the pin, or something is damaged, which is for the store alone to show.
		ch.state, ch.origin, c.fresh = genesis, origin{proved: true}, nil
	}
	if err := errors.Join(c.dropState(), ch.begin(ctx, n)); err != nil {
		return n, err
	}
	return n, ch.checkPassing(ctx, n, hash)
}

func (c *cacheDir) pin() (n uint64, hash ID, ok bool) {
	b, ok := c.readSealed(pinName)
	if !ok {
		return 0, ID{}, false
	}
	d := wire.NewDecoder(b)
	n = d.U64()
	d.Copy(hash[:])
	return n, hash, d.Finish() == nil
}

// find moves the chain to the pin by the cached entries, from the kept state or from GENESIS on, without checking their signatures again: the pin's hash covers them.
// It reports whether they lead there.
func (c *ledgerCache) find(ch *chain, kept *ledger.State, from origin, pinN uint64, pinHash ID) (bool, error) {
	b, err := os.ReadFile(c.dir.ledgerPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("reading the cache: %w", err)
	}
	if kept != nil {
		if state := kept.Clone(); leadsTo(state, b, pinN, pinHash) {
			ch.state, ch.origin = state, from
			return true, nil
		}
	}
	if state := ch.state.Clone(); leadsTo(state, b, pinN, pinHash) {
		ch.state = state
		return true, nil
	}
	// Damaged, or lost: it is filled anew.
	if err := os.Remove(c.dir.ledgerPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("clearing the cache: %w", err)
	}
	return false, nil
}

// leadsTo applies the cached entries that follow, and reports whether they end at the pin.
func leadsTo(state *ledger.State, cached []byte, pinN uint64, pinHash ID) bool {
	next, hash := state.Head()
	for n, entry := range cachedRecords(cached) {
		if n != next || next >= pinN {
			continue
		}
		if state.ApplyTrusted(entry) != nil {
			return false
		}
		next, hash = state.Head()
	}
	return next == pinN && hash == pinHash
}

// cachedRecords yields the records of a ledger file, as far as it goes.
func cachedRecords(b []byte) iter.Seq2[uint64, []byte] {
	return func(yield func(uint64, []byte) bool) {
		for len(b) >= 12 {
			n, size := binary.LittleEndian.Uint64(b), uint64(binary.LittleEndian.Uint32(b[8:]))
			if size > uint64(len(b)-12) {
				return
			}
			if !yield(n, b[12:12+size]) {
				return
			}
			b = b[12+size:]
		}
	}
}

// checkPassing replays the store up to the pin, and makes sure that it passes it.
func (c *chain) checkPassing(ctx context.Context, pinN uint64, pinHash ID) error {
	if err := c.fetchTo(ctx, pinN); err != nil {
		return err
	}
	if n, hash := c.state.Head(); n == pinN && hash != pinHash {
		return fmt.Errorf("%w: entry %d of its ledger is another one", ErrRolledBack, n-1)
	}
	return nil
}

// checkPinned makes sure that the store still holds the pinned entry.
func checkPinned(ctx context.Context, ch *chain, pinN uint64, pinHash ID) error {
	if pinN == 1 {
		return nil // GENESIS, which was read
	}
	b, err := ch.read(ctx, pinN-1)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: entry %d of its ledger is missing", ErrRolledBack, pinN-1)
	}
	if err != nil {
		return err
	}
	if crypto.Hash(b) != pinHash {
		return fmt.Errorf("%w: entry %d of its ledger is another one", ErrRolledBack, pinN-1)
	}
	return nil
}

// add remembers an entry that was verified.
func (c *ledgerCache) add(n uint64, entry []byte) {
	if c == nil || !c.dir.on() {
		return
	}
	c.fresh = wire.AppendU64(c.fresh, n)
	c.fresh = wire.AppendU32(c.fresh, uint32(len(entry)))
	c.fresh = append(c.fresh, entry...)
}

// save writes what was added, the pin, and the state.
func (c *ledgerCache) save(state *ledger.State, from *origin) error {
	if c == nil || !c.dir.on() {
		return nil
	}
	if err := c.saveEntries(); err != nil {
		return err
	}
	n, hash := state.Head()
	if pinned, _, ok := c.dir.pin(); !ok || pinned < n { // else another process has seen more
		if err := c.dir.writeSealed(pinName, append(wire.AppendU64(nil, n), hash[:]...)); err != nil {
			return err
		}
	}
	return c.saveState(state, from)
}

func (c *ledgerCache) saveEntries() error {
	if c.instead {
		if err := os.Remove(c.dir.ledgerPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clearing the cache: %w", err)
		}
		c.instead = false
	}
	if len(c.fresh) == 0 {
		return nil
	}
	f, err := os.OpenFile(c.dir.ledgerPath(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	_, err = f.Write(c.fresh)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the cache: %w", err)
	}
	c.fresh = nil
	return nil
}
