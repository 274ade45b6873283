package repo

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// LostChunk is a chunk that a live snapshot refers to and no pack has.
type LostChunk struct {
	Class  Class
	ID     ID
	Length uint32
}

// Healer saves lost chunks that it finds elsewhere through a session, which stores nothing but what is lost. It may save others, too.
type Healer func(ctx context.Context, s *Session, lost []LostChunk) error

// HealOptions are the options of [Repository.Heal]; nil means all fields zero.
type HealOptions struct {
	// From are where to look, one after the other.
	From []Healer
	// DryRun looks for what is lost, and nothing else.
	DryRun bool
	// Host and Program describe who heals.
	Host, Program string
}

// HealReport is what [Repository.Heal] did.
type HealReport struct {
	// Healed chunks are there again.
	Healed uint64
	// Lost ones are not. There may be more below nodes that are lost.
	Lost []LostChunk
}

// Heal stores again what live snapshots refer to and no pack has, as far as it is found elsewhere; they are whole then. What is in damaged packs does
// not count as lost until [Repository.RepairPacks] has dealt with them. It takes an admin's key. Memory: that of the index, and 40 bytes for each
// lost chunk.
//
// Errors: [ErrNotAllowed], [ErrCollecting], those of the healers and of the store.
func (r *Repository) Heal(ctx context.Context, opts *HealOptions) (*HealReport, error) {
	h := &healing{packs: map[ID]bool{}}
	if opts != nil {
		h.opts = *opts
	}
	var err error
	if h.repair, err = r.newRepair(&RepairOptions{DryRun: h.opts.DryRun, Host: h.opts.Host, Program: h.opts.Program}); err != nil {
		return nil, err
	}
	if !r.CanRead(Data) {
		return nil, fmt.Errorf("%w: healing takes an admin's key", ErrNotAllowed)
	}
	return &h.report, h.run(ctx, h.heal)
}

// healing is one run of Heal.
type healing struct {
	*repair
	opts   HealOptions
	report HealReport
	packs  map[ID]bool // condemned ones: whether they are there and not known to be damaged
}

// heal goes on as long as something is found, since nodes that are there again refer to more.
func (h *healing) heal(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = h.once(ctx); err != nil {
			return err
		}
	}
	if h.report.Healed > 0 {
		h.finish(ctx)
	}
	return nil
}

// once looks for what is lost, and stores what is found of it.
func (h *healing) once(ctx context.Context) (more bool, err error) {
	h.repo.chain.view(func(st *ledger.State) { h.marked, _ = st.Head() })
	if h.report.Lost, err = h.lost(ctx); err != nil {
		return false, err
	}
	if len(h.report.Lost) == 0 || h.opts.DryRun || len(h.opts.From) == 0 {
		return false, nil
	}
	found, err := h.search(ctx, h.report.Lost)
	if err != nil || found == 0 {
		return false, err
	}
	h.report.Healed += found
	return true, h.condemn(ctx, nil, &round{})
}

// lost returns what live snapshots refer to and no pack has.
func (h *healing) lost(ctx context.Context) (lost []LostChunk, err error) {
	ix, err := h.repo.committed.current(ctx)
	if err != nil {
		return nil, err
	}
	if ix.lost != nil {
		return nil, fmt.Errorf("without the whole index nobody can tell what is lost; run 'holdfast repair index' first: %w", ix.lost)
	}
	list, err := h.repo.Snapshots()
	if err != nil {
		h.repo.log.Warn("healing leaves out snapshots", "error", err)
	}
	known := map[ID]bool{}
	w := &refWalk{repo: h.repo, seen: ix.set.NewMarks(), locations: h.locations, fault: func(s *Snapshot, t reftree.Target, err error) error {
		switch {
		case isType[*CorruptError](err):
			return nil // in a damaged pack
		case errors.Is(err, errMalformed):
			h.repo.log.Warn("what is below a reference is not healed", "snapshot", s.ID.String()[:8], "error", err)
			return nil
		case !errors.Is(err, ErrNotFound):
			return fmt.Errorf("snapshot %s: %w", s.ID.String()[:8], err)
		case !known[t.ID]:
			known[t.ID] = true
			lost = append(lost, LostChunk{Class: t.Class, ID: t.ID, Length: t.Length})
		}
		return nil
	}}
	defer w.seen.Close()
	for i := range list {
		if err := w.walk(ctx, &list[i]); err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// locations returns where a chunk is: in live packs, or in condemned ones that the end of a collection will list again.
func (h *healing) locations(ctx context.Context, c Class, id ID) (list []Location, err error) {
	if list, err = h.repo.committed.locations(ctx, c, id); len(list) > 0 || err != nil || !h.repo.anyCondemned() {
		return list, err
	}
	condemned, err := h.repo.condemned.locations(ctx, c, id)
	for i := range condemned {
		l := &condemned[i]
		usable, known := h.packs[l.Pack.Hash]
		if !known {
			if usable, err = h.repo.usable(ctx, l.Pack, l.PackSize); err != nil {
				return nil, err
			}
			h.packs[l.Pack.Hash] = usable
		}
		if usable {
			list = append(list, *l)
		}
	}
	return list, err
}

// search stores what the healers find, and returns how many of the lost chunks that is. Nodes are stored whether they are known to be lost or only
// absent: what is below a lost one nobody knows.
func (h *healing) search(ctx context.Context, lost []LostChunk) (found uint64, err error) {
	ix, err := h.repo.committed.current(ctx)
	if err != nil {
		return 0, err
	}
	missing := make(map[ID]struct{}, len(lost))
	for i := range lost {
		missing[lost[i].ID] = struct{}{}
	}
	s := h.session
	s.progress.reset()
	s.wanted = func(c Class, id ID) bool {
		if _, yes := missing[id]; yes {
			return true
		}
		return c != Data && !ix.set.Has(id)
	}
	for _, heal := range h.opts.From {
		if err := heal(ctx, s, lost); err != nil {
			return 0, err
		}
		if err := s.Flush(ctx); err != nil {
			return 0, err
		}
	}
	for id := range missing {
		if s.own.Has(id) {
			found++
		}
	}
	return found, s.writeListed(ctx)
}

// HealFrom returns what can be found in a copy of the repository, one with the same keys. It may be older, and damaged elsewhere.
func (r *Repository) HealFrom(other *Repository) (Healer, error) {
	if r.ring == nil || other.ring == nil || other.ring.Domain() != r.ring.Domain() {
		return nil, fmt.Errorf("%s is no copy of %s: its keys are others", other.Location(), r.Location())
	}
	return func(ctx context.Context, s *Session, lost []LostChunk) error {
		for i := range lost {
			chunk, err := other.Load(ctx, lost[i].Class, lost[i].ID, lost[i].Length)
			if errors.Is(err, ErrNotFound) || isType[*CorruptError](err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("reading from %s: %w", other.Location(), err)
			}
			if _, err := s.Save(ctx, lost[i].Class, chunk); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
