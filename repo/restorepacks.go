package repo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
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
	// Condemned packs are read, too, until they are deleted.
	var files []ledger.IndexFile
	r.chain.view(func(st *ledger.State) { files = st.NamedFiles() })
	if _, _, err := p.findDamaged(ctx, files); err != nil {
		return &p.repaired, err
	}
	return &p.repaired, p.dropRetired(ctx)
}

// listed returns the packs of an index file; none if a collection has deleted it meanwhile.
func (p *repair) listed(ctx context.Context, f ledger.IndexFile) ([]index.Pack, error) {
	packs, err := p.repo.inventory(ctx, f)
	if isType[*CorruptError](err) && p.repo.retired(ctx, f) {
		return nil, nil
	}
	return packs, err
}

// retired reports whether a collection has deleted an index file meanwhile.
func (r *Repository) retired(ctx context.Context, f ledger.IndexFile) (retired bool) {
	if r.chain.advance(ctx) != nil {
		return false
	}
	r.chain.view(func(st *ledger.State) { retired = !slices.Contains(st.NamedFiles(), f) })
	return retired
}

// dropRetired drops those of the damaged packs that a collection has deleted meanwhile.
func (p *repair) dropRetired(ctx context.Context) error {
	if len(p.repaired.DamagedPacks) == 0 {
		return nil
	}
	if err := p.repo.chain.advance(ctx); err != nil {
		return err
	}
	named, err := p.repo.namedPacks(ctx)
	if err != nil {
		return err
	}
	p.repaired.DamagedPacks = slices.DeleteFunc(p.repaired.DamagedPacks, func(key string) bool { return !named.has(key) })
	return nil
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
