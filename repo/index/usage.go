package index

import "iter"

// PackUsage says how much of a live pack is marked. Sizes are in bytes.
type PackUsage struct {
	PackInfo
	Body   uint64 // stored form of all segments
	Marked uint64 // plaintext of marked chunks
	Held   uint64 // stored form of segments that have a marked chunk
	Wasted uint64 // what in them is not marked, of their stored form, about
}

// Usage yields the live packs of the set's files with what of them is marked. A marked chunk that is in several packs counts in one of
// them only, so that the others can go. An error is a *RunError and ends the loop. It takes, beside what Marks take, some bytes for each pack and
// segment of one run at a time.
func (s *Set) Usage(m *Marks) iter.Seq2[PackUsage, error] {
	return func(yield func(PackUsage, error) bool) {
		v := s.pin()
		defer v.unpin()
		counted := s.NewMarks()
		defer counted.Close()
		seen := map[[16]byte]struct{}{} // a pack may be listed by several files; its hash tells packs apart
		for _, r := range v.runs {
			u := newRunUsage(r, seen)
			if err := u.count(m, counted); err != nil {
				yield(PackUsage{}, err)
				return
			}
			for i := range u.packs {
				if u.use.has(uint64(i)) && !yield(u.packs[i], nil) {
					return
				}
			}
		}
	}
}

// runUsage counts what is marked in one run.
type runUsage struct {
	run    *run
	use    bitmap // packs that are live and were not seen in other runs
	packs  []PackUsage
	marked []uint32 // plaintext marked in each segment
}

func newRunUsage(r *run, seen map[[16]byte]struct{}) *runUsage {
	u := &runUsage{run: r, use: newBitmap(uint64(r.header.packs)), packs: make([]PackUsage, r.header.packs), marked: make([]uint32, r.header.segments)}
	live := r.live.Load()
	for i := range r.header.packs {
		rec := r.pack(i)
		start := [16]byte(rec.name.Hash[:16])
		if _, again := seen[start]; again || !live.has(i) {
			continue
		}
		seen[start] = struct{}{}
		u.use.set(uint64(i))
		var file Name
		if rec.file != noFile {
			file = r.files[rec.file]
		}
		u.packs[i].PackInfo = PackInfo{rec.name, file, rec.class, rec.size, rec.segments, rec.chunks, rec.length}
	}
	return u
}

// count goes through the chunks, and then through the segments.
func (u *runUsage) count(m, counted *Marks) error {
	r := u.run
	var last prefix
	marked := false
	for n := range r.header.entries {
		e, err := r.at(n)
		if err != nil {
			return err
		}
		if n == 0 || e.prefix != last {
			last, marked = e.prefix, m.has(e.prefix)
		}
		if !marked {
			continue
		}
		seg, err := r.segment(e.segment)
		if err != nil {
			return err
		}
		if u.use.has(uint64(seg.pack)) && !counted.mark(e.prefix) {
			u.marked[e.segment] += e.length
		}
	}
	for n, marked := range u.marked {
		seg, err := r.segment(uint32(n))
		if err != nil {
			return err
		}
		p := &u.packs[seg.pack]
		p.Body += uint64(seg.stored)
		if marked == 0 {
			continue
		}
		p.Marked += uint64(marked)
		p.Held += uint64(seg.stored)
		p.Wasted += uint64(seg.stored) * uint64(seg.length-min(marked, seg.length)) / uint64(seg.length)
	}
	return nil
}
