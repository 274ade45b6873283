package repo

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/internal/fsx"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// RestoreLedgerOptions are the options of [RestoreLedger]; nil means all fields zero.
type RestoreLedgerOptions struct {
	// CacheDir is the folder of [Options.CacheDir], where clients keep the entries that they have read.
	CacheDir string
	// Copies are copies of the repository, which may be older or newer.
	Copies []backend.Store
	// DryRun changes nothing, and reports what would be done.
	DryRun bool
}

// RestoreLedgerReport is what [RestoreLedger] did.
type RestoreLedgerReport struct {
	// Entries is how many the ledger has; after an error, how many were found to be whole.
	Entries uint64
	// Restored are the keys of those that were missing or damaged and are as they were, and of states that CHECKPOINTs name.
	Restored []string
}

// RestoreLedger puts back entries of the ledger that are lost or damaged, byte for byte, from local caches and copies of the repository. It needs no key: each
// entry is signed and names the hash of the one before it, and so does the one that follows. Entries after the last that is there
// are taken from the cache of this very place only, since a copy may have gone its own way. The states of the last two CHECKPOINTs, which the entries lead to, are
// put back, too. What was damaged is kept under quarantine/.
//
// Errors: [ErrNoRepository], a [*CorruptError] that wraps [ErrLedgerLost] for an entry that is nowhere; what was lost before the last sound entry before it is
// restored. Those of the store.
func RestoreLedger(ctx context.Context, store backend.Store, opts *RestoreLedgerOptions) (*RestoreLedgerReport, error) {
	r := &ledgerRestorer{store: &chain{store: store}}
	if opts != nil {
		r.opts = *opts
	}
	for _, s := range r.opts.Copies {
		r.copies = append(r.copies, &chain{store: s})
	}
	return &r.report, r.run(ctx)
}

type ledgerRestorer struct {
	opts   RestoreLedgerOptions
	store  *chain
	copies []*chain
	state  *ledger.State
	here   map[uint64][]byte   // entries in the cache of this place
	cached []map[uint64][]byte // those of other places
	found  []foundEntry        // restored when an entry that is there proves them right
	states []namedState
	report RestoreLedgerReport
}

// namedState is the state that CHECKPOINT n names.
type namedState struct {
	n    uint64
	body *ledger.Checkpoint
}

// foundEntry is an entry that the store lost.
type foundEntry struct {
	n       uint64
	bytes   []byte
	damaged []byte // what the store has; nil: nothing
	here    bool   // it is from the cache of this place
}

func (r *ledgerRestorer) run(ctx context.Context) error {
	for n := uint64(0); ; n++ {
		own, err := r.read(ctx, n)
		if err != nil {
			return err
		}
		if own != nil {
			if err := r.own(ctx, n, own); err != nil {
				return err
			}
			continue
		}
		err = r.search(ctx, n, nil)
		if errors.Is(err, ErrLedgerLost) {
			return r.end(ctx, n)
		}
		if err != nil {
			return err
		}
	}
}

// own deals with entry n as the store has it.
func (r *ledgerRestorer) own(ctx context.Context, n uint64, b []byte) error {
	wrong := r.apply(b)
	if wrong == nil {
		r.report.Entries = n + 1
		return r.putBack(ctx)
	}
	if len(r.found) > 0 && errors.Is(wrong, ledger.ErrPrevious) && r.state.CheckSignature(b) {
		// It is what was found elsewhere that is wrong: this entry is sound, and others may have built on it.
		err := fmt.Errorf("what was found does not lead to entry %d, which is sound: %w", n, ErrLedgerLost)
		return &CorruptError{Key: ledger.EntryKey(r.found[0].n), Offset: -1, Err: err}
	}
	err := r.search(ctx, n, b)
	if errors.Is(err, ErrLedgerLost) && !isType[*ledger.CorruptError](wrong) {
		return wrong // a newer program wrote it
	}
	return err
}

// read returns what the store has as entry n, right or wrong; nil if that is nothing.
func (r *ledgerRestorer) read(ctx context.Context, n uint64) ([]byte, error) {
	b, err := readLeft(ctx, r.store.store, ledger.EntryKey(n), ledger.MaxEntry+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return append([]byte{}, b...), err
}

// search looks for entry n elsewhere. damaged is what the store has.
func (r *ledgerRestorer) search(ctx context.Context, n uint64, damaged []byte) error {
	e, err := r.find(ctx, n)
	if err != nil {
		return err
	}
	if e == nil {
		return &CorruptError{Key: ledger.EntryKey(n), Offset: -1, Err: ErrLedgerLost}
	}
	e.damaged = damaged
	r.found = append(r.found, *e)
	return nil
}

// end ends the search before entry n, which is missing, here and elsewhere.
func (r *ledgerRestorer) end(ctx context.Context, n uint64) error {
	if n == 0 {
		return fmt.Errorf("%s: %w", backend.Location(r.store.store), ErrNoRepository)
	}
	beyond, err := r.store.farBeyond(ctx, n)
	switch {
	case err != nil:
		return err
	case beyond > 0:
		return &CorruptError{Key: ledger.EntryKey(n), Offset: -1, Err: fmt.Errorf("missing, but entry %d is there; %w", beyond, ErrLedgerLost)}
	case !r.allHere():
		unproved := fmt.Errorf("nothing that is left here proves that it was what a copy has: %w", ErrLedgerLost)
		return &CorruptError{Key: ledger.EntryKey(r.found[0].n), Offset: -1, Err: unproved}
	}
	r.report.Entries = n
	if err := r.putBack(ctx); err != nil {
		return err
	}
	return r.putStates(ctx)
}

func (r *ledgerRestorer) allHere() bool {
	for i := range r.found {
		if !r.found[i].here {
			return false
		}
	}
	return true
}

// apply replays the next entry.
func (r *ledgerRestorer) apply(b []byte) (err error) {
	if r.state != nil {
		return r.applyNext(b)
	}
	if r.state, err = ledger.NewState(b, nil); err != nil {
		r.state = nil
		return err
	}
	r.here, r.cached, err = r.readCaches()
	return err
}

// applyNext replays an entry after GENESIS, and remembers the last two CHECKPOINTs.
func (r *ledgerRestorer) applyNext(b []byte) error {
	if err := r.state.Apply(b); err != nil {
		return err
	}
	e, err := ledger.Decode(b)
	if err != nil || r.state.Checkpoints().N != e.N {
		return err
	}
	body, err := e.Body()
	if err != nil {
		return err
	}
	r.states = append(r.states[max(0, len(r.states)-1):], namedState{e.N, body.(*ledger.Checkpoint)})
	return nil
}

// find returns an entry that fits from elsewhere, and applies it; nil if there is none.
func (r *ledgerRestorer) find(ctx context.Context, n uint64) (*foundEntry, error) {
	if b := r.here[n]; b != nil && r.apply(b) == nil {
		return &foundEntry{n: n, bytes: b, here: true}, nil
	}
	for _, c := range r.copies {
		b, err := c.read(ctx, n)
		if err == nil && r.apply(b) == nil {
			return &foundEntry{n: n, bytes: b}, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !isType[*CorruptError](err) {
			return nil, err
		}
	}
	for _, entries := range r.cached {
		if b := entries[n]; b != nil && r.apply(b) == nil {
			return &foundEntry{n: n, bytes: b}, nil
		}
	}
	return nil, nil
}

// putBack stores what was found.
func (r *ledgerRestorer) putBack(ctx context.Context) error {
	for i := range r.found {
		e := &r.found[i]
		if err := r.put(ctx, ledger.EntryKey(e.n), e.bytes, e.damaged); err != nil {
			return err
		}
	}
	r.found = nil
	return nil
}

// put stores an object as it was, and keeps what is damaged of it.
func (r *ledgerRestorer) put(ctx context.Context, key string, b, damaged []byte) error {
	if r.opts.DryRun {
		r.report.Restored = append(r.report.Restored, key)
		return nil
	}
	if damaged != nil {
		kept := quarantinePrefix + key
		err := backend.PutBytes(ctx, r.store.store, kept, damaged, &backend.PutOptions{IfAbsent: true})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("writing %s: %w", kept, err)
		}
	}
	if err := backend.PutBytes(ctx, r.store.store, key, b, &backend.PutOptions{IfAbsent: damaged == nil}); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	r.report.Restored = append(r.report.Restored, key)
	return nil
}

// putStates puts back the states of the last CHECKPOINTs.
func (r *ledgerRestorer) putStates(ctx context.Context) error {
	for _, c := range r.states {
		key := ledger.CheckpointKey(c.n)
		b, err := readLeft(ctx, r.store.store, key, int64(c.body.Size)+1)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			b = nil
		case err != nil:
			return err
		default:
			if hash, err := ledger.HashState(b); err == nil && hash == c.body.State {
				continue
			}
			b = append([]byte{}, b...)
		}
		if err := r.putState(ctx, c.n, b); err != nil {
			return err
		}
	}
	return nil
}

// putState puts back the state that CHECKPOINT n names: what the entries before it, which are all there now, lead to.
func (r *ledgerRestorer) putState(ctx context.Context, n uint64, damaged []byte) error {
	if r.opts.DryRun { // perhaps they are not
		return r.put(ctx, ledger.CheckpointKey(n), nil, damaged)
	}
	var state *ledger.State
	for i := range n {
		b, err := r.store.read(ctx, i)
		if err != nil {
			return missing(ledger.EntryKey(i), err)
		}
		if i == 0 {
			state, err = ledger.NewState(b, nil)
		} else {
			err = state.ApplyTrusted(b) // as was verified before
		}
		if err != nil {
			return err
		}
	}
	return r.put(ctx, ledger.CheckpointKey(n), state.Encode(), damaged)
}

// readCaches returns the entries in the cache of this place, and in those of other places of the same repository.
func (r *ledgerRestorer) readCaches() (here map[uint64][]byte, others []map[uint64][]byte, err error) {
	if r.opts.CacheDir == "" {
		return nil, nil, nil
	}
	repository := r.state.Genesis().Repository
	paths, err := filepath.Glob(filepath.Join(r.opts.CacheDir, hex.EncodeToString(repository[:])+"-*", "ledger"))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if fsx.IsDamaged(err) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("reading the cache: %w", err)
		}
		entries := cachedEntries(b)
		if filepath.Base(filepath.Dir(path)) == cacheName(repository, backend.Location(r.store.store)) {
			here = entries
		} else {
			others = append(others, entries)
		}
	}
	return here, others, nil
}

// cachedEntries reads what a ledgerCache wrote, as far as it goes.
func cachedEntries(b []byte) map[uint64][]byte {
	entries := map[uint64][]byte{}
	for n, entry := range cachedRecords(b) {
		entries[n] = bytes.Clone(entry)
	}
	return entries
}
