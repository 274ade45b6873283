package repo

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// RestorePacks makes damaged packs whole again: by their parity, if the repository has any (see [Config]) and the damage is not too much, and those to which bytes were
// added, by taking these off. It needs no key, and no session, since what it stores has the hash that names it. The damaged packs that are left are in the report.
// Of the options it takes Packs, DryRun and Progress.
//
// Errors: [ErrNotFound] for a pack that the index does not name, [*CorruptError] for an index file that is damaged, those of the store.
func (r *Repository) RestorePacks(ctx context.Context, opts *RepairOptions) (*RepairReport, error) {
	p := &repair{collector: &collector{repo: r, start: time.Now()}}
	if opts != nil {
		p.opts = *opts
	}
	if err := r.chain.advance(ctx); err != nil {
		return nil, err
	}
	if err := p.known(ctx, p.opts.Packs); err != nil {
		return nil, err
	}
	_, _, err := p.findDamaged(ctx)
	return &p.repaired, err
}

// restore makes a pack whole, if it can.
func (p *repair) restore(ctx context.Context, k *index.Pack, damaged []byte) (bool, error) {
	whole, err := wholePack(damaged, k)
	if err != nil {
		return false, nil // then it stays damaged
	}
	if !p.opts.DryRun {
		if err := backend.PutBytes(ctx, p.repo.store, k.PackKey(), whole, nil); err != nil {
			return false, fmt.Errorf("writing %s: %w", k.PackKey(), err)
		}
	}
	p.repaired.RestoredPacks = append(p.repaired.RestoredPacks, k.PackKey())
	return true, nil
}

// wholePack makes the pack of its damaged bytes.
func wholePack(damaged []byte, k *index.Pack) ([]byte, error) {
	if size := int(k.Size); len(damaged) > size && hashOf(damaged[:size]) == k.Hash {
		return damaged[:size], nil
	}
	return pack.Restore(damaged, k.Size, k.Hash)
}
