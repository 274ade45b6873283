package repo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// ledgerCache keeps ledger entries on local disk, so that they are fetched and their signatures checked once, and a pin: the
// number and hash of the last one seen, sealed under the slot's own key. The pin makes a repository that was rolled back
// visible. The file is a list of records that several processes may append to: u64 number, u32 length, entry.
type ledgerCache struct {
	dir   *cacheDir
	fresh []byte // records not yet written
}

const pinName = "pin"

func (c *cacheDir) ledgerPath() string { return filepath.Join(c.path, "ledger") }

// openChain replays the cached entries, then the store's.
func (c *cacheDir) openChain(ctx context.Context, store backend.Store, state *ledger.State) (*chain, error) {
	ch := &chain{store: store, state: state, cache: &ledgerCache{dir: c}}
	pinN, pinHash, pinned := c.pin()
	if pinned {
		if err := c.replay(ctx, ch, pinN, pinHash); err != nil {
			return nil, err
		}
	}
	if err := ch.advance(ctx); err != nil {
		return nil, err
	}
	if n, _ := ch.state.Head(); pinned && n < pinN {
		return nil, fmt.Errorf("%w: its ledger has %d entries, %d were seen (remove %s if this is meant)", ErrRolledBack, n, pinN, c.sealedPath(pinName))
	}
	return ch, nil
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

// replay applies the cached entries below the pin without checking their signatures again: the pin's hash covers them. It
// then makes sure that the store still holds the pinned entry.
func (c *cacheDir) replay(ctx context.Context, ch *chain, pinN uint64, pinHash ID) error {
	trusted, err := c.cachedState(ch.state, pinN, pinHash)
	if err != nil {
		return err
	}
	if trusted == nil {
		return c.compare(ctx, ch, pinN, pinHash)
	}
	if pinN > 1 {
		if err := checkPinned(ctx, ch, pinN, pinHash); err != nil {
			return err
		}
	}
	ch.state = trusted
	return nil
}

// cachedState returns the state at the pin, or nil if the cache does not lead there.
func (c *cacheDir) cachedState(state *ledger.State, pinN uint64, pinHash ID) (*ledger.State, error) {
	b, err := os.ReadFile(c.ledgerPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the cache: %w", err)
	}
	trusted := state.Clone()
	for len(b) >= 12 {
		n, size := binary.LittleEndian.Uint64(b), int(binary.LittleEndian.Uint32(b[8:]))
		if size > len(b)-12 {
			break
		}
		entry := b[12 : 12+size]
		b = b[12+size:]
		next, _ := trusted.Head()
		if n >= pinN || next >= pinN {
			break
		}
		if n == next && trusted.ApplyTrusted(entry) != nil {
			break
		}
	}
	if n, hash := trusted.Head(); n == pinN && hash == pinHash {
		return trusted, nil
	}
	// Damaged, or lost: it is filled anew.
	if err := os.Remove(c.ledgerPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("clearing the cache: %w", err)
	}
	return nil, nil
}

// compare replays the store up to the pin and compares its hash.
func (c *cacheDir) compare(ctx context.Context, ch *chain, pinN uint64, pinHash ID) error {
	for {
		n, hash := ch.state.Head()
		if n == pinN {
			if hash != pinHash {
				return fmt.Errorf("%w: entry %d of its ledger is another one", ErrRolledBack, n-1)
			}
			return nil
		}
		b, err := ch.read(ctx, n)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ch.apply(n, readEntry{bytes: b}); err != nil {
			return err
		}
	}
}

func checkPinned(ctx context.Context, ch *chain, pinN uint64, pinHash ID) error {
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

// save writes what was added, and the pin.
func (c *ledgerCache) save(state *ledger.State) error {
	if !c.dir.on() || len(c.fresh) == 0 {
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
	n, hash := state.Head()
	if pinned, _, ok := c.dir.pin(); ok && pinned >= n {
		return nil // another process has seen more
	}
	return c.dir.writeSealed(pinName, append(wire.AppendU64(nil, n), hash[:]...))
}
