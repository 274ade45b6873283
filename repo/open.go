package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Repository is an open repository. All its methods are safe for concurrent use. Close it when done; it does not close the store.
type Repository struct {
	store     backend.Store
	ring      *crypto.Keyring // nil for an auditor
	genesis   ledger.Genesis
	hash      ID // of GENESIS
	config    Config
	log       *slog.Logger
	now       func() time.Time // which is never trusted: it decides how long others are waited for, and what time is claimed
	cache     *cacheDir
	chain     *chain
	keys      *sessionKeys
	committed *committed // what is live
	condemned *committed // what is condemned, and not deleted yet
	cached    *segmentCache
	readers   sync.Pool // of *Reader
	sightings sightingStore

	slot atomic.Pointer[crypto.SlotID] // that was opened; nil after Init
}

// Open opens a repository. It reads the ledger and verifies all of it that this client has not verified before; the index
// is read when it is first needed.
//
// Errors: [ErrNoRepository], [ErrWrongCredential], [ErrNoSlot], [ErrRolledBack], [*CorruptError], [*FeatureError].
func Open(ctx context.Context, store backend.Store, opts *Options) (*Repository, error) {
	o := opts.withDefaults()
	genesis, err := backend.ReadAll(ctx, store, ledger.EntryKey(0), ledger.MaxEntry)
	if errors.Is(err, fs.ErrNotExist) {
		if err := noRemains(ctx, store); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", backend.Location(store), ErrNoRepository)
	}
	if err != nil {
		return nil, err
	}
	if o.Credential == nil {
		return open(ctx, store, nil, genesis, o)
	}
	// Slots name GENESIS by its hash, so that with a damaged one none of them would seem to be of this repository.
	if _, err := ledger.NewState(genesis, nil); err != nil {
		return nil, &CorruptError{Key: ledger.EntryKey(0), Offset: -1, Err: err}
	}
	return openWithSlot(ctx, store, genesis, o)
}

// openWithSlot tries the slots until one opens whose actor the ledger admits. One that opens and is not admitted is left over from
// adding a key that was interrupted, or was removed.
func openWithSlot(ctx context.Context, store backend.Store, genesis []byte, o Options) (*Repository, error) {
	var rejected error
	for u, err := range unlock(ctx, store, crypto.Hash(genesis), o.Credential) {
		if err != nil {
			if rejected != nil {
				err = rejected
			}
			return nil, fmt.Errorf("%s: %w", backend.Location(store), err)
		}
		r, err := open(ctx, store, u.ring, genesis, o)
		if err != nil {
			return nil, err
		}
		r.slot.Store(&u.slot.ID)
		if rejected = r.checkAdmitted(u.slot); rejected == nil || o.Salvage { // its admission may be among what is lost
			return r, nil
		}
		if err := r.chain.advanceProved(ctx, true); err != nil { // who signed a false CHECKPOINT may have left out a key
			return nil, errors.Join(err, r.Close())
		}
		if rejected = r.checkAdmitted(u.slot); rejected == nil {
			return r, nil
		}
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: %w", backend.Location(store), rejected)
}

func open(ctx context.Context, store backend.Store, ring *crypto.Keyring, genesis []byte, o Options) (*Repository, error) {
	state, err := ledger.NewState(genesis, opener(ring))
	if err != nil {
		return nil, &CorruptError{Key: ledger.EntryKey(0), Offset: -1, Err: err}
	}
	g := state.Genesis()
	r := &Repository{
		store: store, ring: ring, genesis: g, hash: crypto.Hash(genesis), log: o.Logger, now: o.clock,
		config: Config{ChunkMean: int(g.ChunkMean), SegmentSize: int(g.SegmentSize), PackSize: int(g.PackSize), Parity: int(g.Parity), Suite: g.Suite},
		cached: newSegmentCache(segmentCacheBytes), sightings: sightingStore{turn: newTurn()},
	}
	if ring != nil {
		if err := ring.Bind(g.Domain, g.Suite, g.Keys); err != nil {
			return nil, &CorruptError{Key: ledger.EntryKey(0), Offset: -1, Err: err}
		}
	}
	if r.cache, err = openCache(o.CacheDir, g.Repository, backend.Location(store), ring); err != nil {
		o.Logger.Warn("working without a cache", "error", err)
		r.cache = &cacheDir{}
	}
	r.keys = newSessionKeys(ring, r.cache)
	r.committed = newCommitted(r, r.cache.indexPath(), (*ledger.State).IndexFiles)
	r.condemned = newCommitted(r, "", (*ledger.State).CondemnedFiles)
	if o.Salvage {
		err = r.salvage(ctx, state)
	} else {
		r.chain, err = r.openChain(ctx, genesis, state, o.checkpointEvery)
	}
	if err != nil {
		return nil, err
	}
	if u := unknown(r.featureSets().Read, features.read); len(u) > 0 {
		return nil, &FeatureError{Use: "reading", Features: u}
	}
	return r, nil
}

// opener returns what opens sealed parts of the ledger: nothing for an auditor.
func opener(ring *crypto.Keyring) ledger.Opener {
	if ring == nil {
		return nil
	}
	return ring
}

func (r *Repository) featureSets() (f ledger.FeatureSets) {
	r.chain.view(func(s *ledger.State) { f = s.Features() })
	return f
}

// checkAdmitted fails if the ledger does not know the slot's actor in the slot's role.
func (r *Repository) checkAdmitted(slot *crypto.Slot) error {
	var actor ledger.Actor
	r.chain.view(func(s *ledger.State) { actor, _ = s.Actor(r.ring.Actor().ID()) })
	if actor.Role != slot.Role || actor.Role != r.ring.Role() || actor.RemovedAt != 0 {
		return fmt.Errorf("%w: key slot %s was removed, or was never admitted by an administrator", ErrNotAllowed, slot.ID)
	}
	return nil
}

// Close ends the use of the repository and frees what it holds. Sessions must have ended before.
func (r *Repository) Close() error {
	err := errors.Join(r.committed.close(), r.condemned.close())
	for _, save := range []func() error{r.chain.save, r.keys.save} {
		if err := save(); err != nil {
			r.log.Warn("keeping the cache", "error", err)
		}
	}
	return err
}

// ID returns the repository's id, 32 hexadecimal digits.
func (r *Repository) ID() string { return fmt.Sprintf("%x", r.genesis.Repository) }

// Config returns what was chosen when the repository was made.
func (r *Repository) Config() Config { return r.config }

// Location says where the repository is.
func (r *Repository) Location() string { return backend.Location(r.store) }

// Role returns the role of the key slot that was opened; zero for an auditor.
func (r *Repository) Role() crypto.Role {
	if r.ring == nil {
		return 0
	}
	return r.ring.Role()
}

// CanRead reports whether this key can open chunks of the class.
func (r *Repository) CanRead(c Class) bool {
	if r.ring == nil {
		return false
	}
	switch r.ring.Role() {
	case crypto.Admin, crypto.Reader:
		return true
	}
	return c == Map
}

// NewChunker returns the repository's chunker of a kind: its cuts depend on the repository's keys. The result is safe for
// concurrent use.
func (r *Repository) NewChunker(kind chunk.Kind) (chunk.Chunker, error) {
	if r.ring == nil {
		return nil, fmt.Errorf("chunking: %w", ErrNotAllowed)
	}
	secret, err := r.ring.ChunkerSecret()
	if err != nil {
		return nil, err
	}
	return chunk.New(kind, chunk.Params{Mean: r.config.ChunkMean}, secret)
}

// Refresh reads what others have committed since the repository was opened or last refreshed.
func (r *Repository) Refresh(ctx context.Context) error {
	return r.chain.advance(ctx)
}
