package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// bulkRuns is how many runs may gather before they are merged although more are to come.
const bulkRuns = 64

// tidy merges runs if there are more than limit, unless that is being done already.
func (s *Set) tidy(ctx context.Context, limit int) error {
	if !s.merging.TryLock() {
		return nil
	}
	defer s.merging.Unlock()
	return s.mergeDown(ctx, limit)
}

// Settle merges runs until there are at most Options.MaxRuns. Add and AddFile do it themselves, but when files that Sync called
// missing were not all added. Lookups go on meanwhile.
func (s *Set) Settle(ctx context.Context) error {
	s.merging.Lock()
	defer s.merging.Unlock()
	return s.mergeDown(ctx, s.opt.MaxRuns)
}

// mergeDown merges runs of index files, and a session's own among themselves, until there are at most limit of each; then to MaxRuns at once. The
// caller holds merging.
func (s *Set) mergeDown(ctx context.Context, limit int) error {
	for _, own := range []bool{false, true} {
		s.mu.Lock()
		var runs []*run
		for _, r := range s.view.runs {
			if (r.uncovered != nil) == own && !r.damaged.Load() {
				runs = append(runs, r)
			}
		}
		var inputs []*input
		if len(runs) > limit {
			inputs = s.inputs(choose(runs, s.opt.MaxRuns))
		}
		s.mu.Unlock()
		if inputs == nil {
			continue
		}
		err := s.mergeRuns(ctx, inputs, own)
		if errors.Is(err, ErrDamaged) {
			s.note(err) // the damaged run is left out from now on
		} else if err != nil {
			return fmt.Errorf("merging the index: %w", err)
		}
	}
	return nil
}

func (s *Set) note(err error) {
	s.mu.Lock()
	s.damage = append(s.damage, err)
	s.mu.Unlock()
}

// choose returns the smallest runs: as many as leave half of max, and then each that is not much larger than all before it, so
// that sizes stay geometric and each chunk is written a logarithmic number of times.
func choose(runs []*run, maxRuns int) []*run {
	slices.SortFunc(runs, func(a, b *run) int { return cmp.Compare(a.header.entries, b.header.entries) })
	n := len(runs) - maxRuns/2 + 1
	sum := uint64(0)
	for _, r := range runs[:n] {
		sum += r.header.entries
	}
	for n < len(runs) && runs[n].header.entries <= 2*sum {
		sum += runs[n].header.entries
		n++
	}
	return runs[:n]
}

// inputs takes references of runs and notes which of their packs are kept. The caller holds mu.
func (s *Set) inputs(runs []*run) []*input {
	list := make([]*input, 0, len(runs))
	for _, r := range runs {
		r.refs.Add(1)
		owned := make([]bool, len(r.files))
		for i, n := range r.files {
			owned[i] = s.owners[n] == r
		}
		keep := func(p packRecord) bool { return p.file == noFile || owned[p.file] }
		list = append(list, &input{run: r, owned: owned, keep: keep})
	}
	return list
}

// mergeRuns replaces runs by one. The caller holds merging, so that none of them is dropped meanwhile, but a session's own may be.
func (s *Set) mergeRuns(ctx context.Context, inputs []*input, own bool) error {
	var old []*run
	var files []Name
	for _, in := range inputs {
		old = append(old, in.run)
		for i, n := range in.files {
			if in.owned[i] {
				files = append(files, n)
			}
		}
	}
	merged, err := s.place.merge(ctx, !own, inputs, files)
	if err == nil {
		err = s.replace(old, merged, own)
	}
	for _, r := range old {
		err = errors.Join(err, r.release())
	}
	return err
}

// replace puts the merged run in the place of the old ones.
func (s *Set) replace(old []*run, merged *run, own bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(ErrClosed, merged.release())
	}
	var errs []error
	if own {
		merged.uncovered = map[Name]struct{}{}
	}
	for _, r := range old {
		for n := range r.uncovered {
			merged.uncovered[n] = struct{}{}
		}
		for _, n := range r.files {
			if s.owners[n] == r {
				s.owners[n] = merged
			}
		}
		if r.path != "" && r.path != merged.path {
			errs = append(errs, ignoreMissing(os.Remove(r.path)))
		}
	}
	s.mark(merged)
	more := []*run{merged}
	if own && len(merged.uncovered) == 0 {
		more = nil
	}
	s.publish(&view{memory: s.view.memory, runs: s.view.with(old, more...)})
	if len(more) == 0 {
		errs = append(errs, merged.release())
	}
	return errors.Join(errs...)
}
