package repo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// InitOptions are the options of [Init].
type InitOptions struct {
	Options
	// Config is fixed for the life of the repository. Its zero fields take their defaults.
	Config Config
	// Sealer makes the first key slot, whose role is admin. It is required; whoever loses it and has no other slot has lost
	// the data.
	Sealer crypto.Sealer
	// Label names the first key slot for people.
	Label string
}

// Init makes a repository in an empty place and opens it. It fails with [ErrRepositoryExists] if there is one.
//
// GENESIS, the first entry of the ledger, is created last and in one step: an Init that was interrupted has left no repository,
// and of two at once one succeeds.
func Init(ctx context.Context, store backend.Store, opts *InitOptions) (*Repository, error) {
	if opts == nil {
		opts = &InitOptions{}
	}
	cfg := opts.Config.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if opts.Sealer == nil {
		return nil, errors.New("init needs a password or a key for the first key slot")
	}
	if _, err := store.Stat(ctx, ledger.EntryKey(0)); err == nil {
		return nil, fmt.Errorf("%s: %w", backend.Location(store), ErrRepositoryExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := noRemains(ctx, store); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", backend.Location(store), ErrRepositoryExists, err)
	}
	primitive, err := writePrimitive(store)
	if err != nil {
		return nil, err
	}
	ring, public, err := crypto.NewKeyring(cfg.Suite)
	if err != nil {
		return nil, err
	}
	genesis, err := newGenesis(ring, public, cfg, primitive)
	if err != nil {
		return nil, err
	}
	if _, err := putSlot(ctx, store, ring, crypto.Hash(genesis), opts.Label, opts.Sealer); err != nil {
		return nil, err
	}
	if err := createGenesis(ctx, store, genesis); err != nil {
		return nil, err
	}
	return open(ctx, store, ring, genesis, opts.Options.withDefaults())
}

// noRemains fails if the store holds objects of a repository. Key slots alone are what an interrupted Init leaves.
func noRemains(ctx context.Context, store backend.Store) error {
	for _, prefix := range []string{"log/", "packs/", "index/", "snapshots/", "sessions/"} {
		for info, err := range store.List(ctx, prefix) {
			if err != nil {
				return err
			}
			err := fmt.Errorf("missing, but %s is there: GENESIS was lost; bring it back from a copy of the repository", info.Key)
			return &CorruptError{Key: ledger.EntryKey(0), Offset: -1, Err: err}
		}
	}
	return nil
}

func writePrimitive(store backend.Store) (ledger.Primitive, error) {
	p, ok := backend.As[backend.Prober](store)
	if !ok {
		return ledger.CreateIfAbsent, nil
	}
	switch p.CreateIfAbsent() {
	case backend.PrimitiveAtomic:
		return ledger.CreateIfAbsent, nil
	case backend.PrimitiveSingleWriter:
		return ledger.OneWriter, nil
	}
	return 0, fmt.Errorf("%s: %w, or cannot be written", backend.Location(store), ErrSingleWriter)
}

func newGenesis(ring *crypto.Keyring, public crypto.PublicKeys, cfg Config, primitive ledger.Primitive) ([]byte, error) {
	g := &ledger.Genesis{
		Domain: ring.Domain(), Admin: ring.Actor(), Keys: public, Suite: cfg.Suite, Primitive: primitive,
		ChunkMean: uint32(cfg.ChunkMean), SegmentSize: uint32(cfg.SegmentSize), PackSize: uint32(cfg.PackSize), Parity: uint8(cfg.Parity),
	}
	rand.Read(g.Repository[:])
	return ledger.New(ring, g, 0, crypto.ID{}, time.Now().UnixNano())
}

func createGenesis(ctx context.Context, store backend.Store, genesis []byte) error {
	won, err := create(ctx, store, ledger.EntryKey(0), genesis)
	if err != nil {
		return fmt.Errorf("creating the repository: %w", err)
	}
	if !won {
		return fmt.Errorf("%s: %w", backend.Location(store), ErrRepositoryExists)
	}
	return nil
}
