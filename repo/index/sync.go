package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Sync says which index files count, and which of their packs are live (nil: all). Runs that speak for none of them are removed; what they listed
// is found no more. It returns the files that no run has, in the order given: the caller reads them and calls AddFile for each. A
// session names its own files too. What was added by Add stays.
func (s *Set) Sync(files []Name, live Live) (missing []Name, err error) {
	s.merging.Lock()
	defer s.merging.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.dropDamaged()
	s.live = live
	s.owners = make(map[Name]*run, len(files))
	for _, n := range files {
		s.owners[n] = nil
	}
	runs := slices.Clone(s.view.runs)
	slices.SortStableFunc(runs, func(a, b *run) int { return cmp.Compare(b.header.entries, a.header.entries) })
	var useless []*run
	for _, r := range runs {
		if r.uncovered != nil {
			continue
		}
		if owns := s.claim(r); !owns {
			useless = append(useless, r)
			continue
		}
		s.mark(r)
	}
	err = s.drop(useless)
	s.missing = map[Name]bool{}
	for _, n := range files {
		if s.owners[n] == nil && !s.missing[n] {
			s.missing[n] = true
			missing = append(missing, n)
		}
	}
	for _, n := range missing {
		delete(s.owners, n)
	}
	return missing, err
}

// claim makes r speak for those of its files that are wanted and have no run. The caller holds mu.
func (s *Set) claim(r *run) (any bool) {
	for _, n := range r.files {
		if owner, wanted := s.owners[n]; wanted && owner == nil {
			s.owners[n] = r
			any = true
		}
	}
	return any
}

// mark computes which packs of a run count. The caller holds mu.
func (s *Set) mark(r *run) {
	owned := make([]bool, len(r.files))
	for i, n := range r.files {
		owned[i] = s.owners[n] == r
	}
	r.live.Store(newLiveSet(r.header.packs, func(i uint32) bool {
		p := r.pack(i)
		return p.file == noFile || owned[p.file] && (s.live == nil || s.live(r.files[p.file], p.name))
	}))
}

// dropDamaged removes the runs that were found damaged, and forgets that they had files. The caller holds merging and mu.
func (s *Set) dropDamaged() {
	var bad []*run
	for _, r := range s.view.runs {
		if r.damaged.Load() && r.uncovered == nil {
			bad = append(bad, r)
			s.damage = append(s.damage, &RunError{Path: r.path, Err: ErrDamaged})
		}
	}
	if err := s.drop(bad); err != nil {
		s.damage = append(s.damage, err)
	}
}

// drop takes runs out of the view and removes their files. The caller holds merging and mu.
func (s *Set) drop(runs []*run) error {
	if len(runs) == 0 {
		return nil
	}
	var errs []error
	for _, r := range runs {
		for _, n := range r.files {
			if s.owners[n] == r {
				delete(s.owners, n)
			}
		}
		if r.path != "" {
			errs = append(errs, ignoreMissing(os.Remove(r.path)))
		}
	}
	s.publish(&view{memory: s.view.memory, runs: s.view.with(runs)})
	return errors.Join(errs...)
}

// AddFile adds the contents of an index file, that is then wanted as if Sync had named it. Packs that were added by Add and
// that f lists are kept by its run from then on. A file that the set has is not added again. Runs are merged when there are too
// many; while files that Sync called missing are still to come, they may gather, so that they are merged at once.
func (s *Set) AddFile(ctx context.Context, n Name, f *File) error {
	return s.AddFiles(ctx, []NamedFile{{n, f}})
}

// NamedFile is the contents of an index file with its name.
type NamedFile struct {
	Name
	*File
}

// AddFiles is AddFile for several files at once. Many small ones are added sooner together, since they become one run.
func (s *Set) AddFiles(ctx context.Context, files []NamedFile) error {
	s.mu.Lock()
	files = slices.DeleteFunc(slices.Clone(files), func(f NamedFile) bool { return s.owners[f.Name] != nil })
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if len(files) == 0 {
		return nil
	}
	r, err := s.place.fromFiles(files)
	if err != nil {
		return fmt.Errorf("adding index file %s and %d more: %w", files[0].Name, len(files)-1, err)
	}
	more, err := s.adopt(r, files)
	if err != nil {
		return err
	}
	if more {
		return s.tidy(ctx, bulkRuns) // so that many are merged at once
	}
	return s.tidy(ctx, s.opt.MaxRuns)
}

// adopt puts a new run into the view, and reports whether more files are missing.
func (s *Set) adopt(r *run, files []NamedFile) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	won := false
	for _, f := range files {
		delete(s.missing, f.Name)
		if s.owners[f.Name] == nil && !s.closed {
			s.owners[f.Name], won = r, true
		}
	}
	if !won {
		// Whoever was faster may have made the very same file, so its name is not removed; if it is of no use, the next Sync does it.
		err := r.release()
		if s.closed {
			err = ErrClosed
		}
		return len(s.missing) > 0, err
	}
	s.mark(r)
	v := &view{memory: s.view.memory, runs: s.view.with(nil, r)}
	cover := func(uncovered map[Name]struct{}) (empty bool) {
		before := len(uncovered)
		for _, f := range files {
			for i := range f.Packs {
				delete(uncovered, f.Packs[i].Name)
			}
		}
		return before > 0 && len(uncovered) == 0
	}
	if cover(v.memory.uncovered) {
		v.memory = newGeneration()
	}
	v.runs = slices.DeleteFunc(v.runs, func(r *run) bool { return r.uncovered != nil && cover(r.uncovered) })
	s.publish(v)
	return len(s.missing) > 0, nil
}

// Add adds a pack of the running session. Its chunks are found when Add returns. The caller does not change p afterwards. Now and then a call takes
// long, because memory becomes a run or runs are merged; others are not held up by a merge.
func (s *Set) Add(ctx context.Context, p *Pack) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("adding pack %s to the index: %w", p.Name, err)
	}
	if err := s.addMemory(p); err != nil {
		return err
	}
	return s.tidy(ctx, s.opt.MaxRuns)
}

func (s *Set) addMemory(p *Pack) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	g := s.view.memory
	entries := g.addPack(p)
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(partOf(a.prefix), partOf(b.prefix)) })
	for len(entries) > 0 {
		n, part := 1, partOf(entries[0].prefix)
		for n < len(entries) && partOf(entries[n].prefix) == part {
			n++
		}
		s.slots[part].Lock()
		for _, e := range entries[:n] {
			g.parts[part].add(e)
		}
		s.slots[part].Unlock()
		entries = entries[n:]
	}
	if g.chunks < s.opt.MemoryChunks {
		return nil
	}
	r, err := s.place.fromMemory(g)
	if err != nil {
		return fmt.Errorf("adding pack %s to the index: %w", p.Name, err)
	}
	s.mark(r)
	s.publish(&view{memory: newGeneration(), runs: s.view.with(nil, r)})
	return nil
}
