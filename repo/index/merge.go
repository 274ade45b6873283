package index

import "context"

// input is a run to merge, with the packs that are kept of it.
type input struct {
	*run
	owned  []bool // for each file: the run speaks for it
	keep   func(packRecord) bool
	number []uint32 // of each pack in the result, or dropped
	segs   []uint32 // of each segment in the result, or dropped
	keys   []uint32 // of each session key in the result
}

const dropped = ^uint32(0)

// merge makes one run of several, in memory that does not depend on their size beyond a few bytes for each pack, segment and block.
func (p *place) merge(ctx context.Context, keep bool, inputs []*input, files []Name) (*run, error) {
	t := &tables{files: files, keys: newKeyTable()}
	fileNumber := make(map[Name]uint32, len(files))
	for i, n := range files {
		fileNumber[n] = uint32(i)
	}
	chunks := uint64(0)
	first := uint32(0)
	for _, in := range inputs {
		in.number = make([]uint32, in.header.packs)
		in.segs = make([]uint32, in.header.segments)
		for i := range in.number {
			rec := in.pack(uint32(i))
			segs := in.segs[rec.first : rec.first+rec.segments]
			if in.number[i] = dropped; !in.keep(rec) {
				for j := range segs {
					segs[j] = dropped
				}
				continue
			}
			for j := range segs {
				segs[j] = first + uint32(j)
			}
			in.number[i] = uint32(len(t.packs))
			if rec.file != noFile {
				rec.file = fileNumber[in.files[rec.file]]
			}
			rec.first = first
			first += rec.segments
			chunks += uint64(rec.chunks)
			t.packs = append(t.packs, rec)
		}
		in.keys = make([]uint32, in.header.keys)
		for i := range in.keys {
			in.keys[i] = uint32(t.keys.addEncoded(string(in.keyBytes(uint32(i)))))
		}
	}
	return p.create(keep, t, chunks, func(w *runWriter) error {
		for _, in := range inputs {
			if err := in.copySegments(ctx, w); err != nil {
				return err
			}
		}
		return mergeEntries(ctx, inputs, w)
	})
}

// copySegments writes the segments of the packs that are kept.
func (in *input) copySegments(ctx context.Context, w *runWriter) error {
	for i, n := range in.number {
		if n == dropped {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rec := in.pack(uint32(i))
		for j := range rec.segments {
			s, err := in.segment(rec.first + j)
			if err != nil {
				return err
			}
			if s.key >= uint32(len(in.keys)) {
				return in.fail("key %d of %d", s.key, len(in.keys))
			}
			s.key, s.pack = in.keys[s.key], n
			if err := w.addSegment(&s); err != nil {
				return err
			}
		}
	}
	return nil
}

// cursor walks over the entries of a run that are kept.
type cursor struct {
	entry
	in   *input
	next uint64
}

// advance moves to the next entry; false at the end.
func (c *cursor) advance() (bool, error) {
	for c.next < c.in.header.entries {
		e, err := c.in.at(c.next)
		if err != nil {
			return false, err
		}
		c.next++
		if e.segment >= uint32(len(c.in.segs)) {
			return false, c.in.fail("chunk in segment %d of %d", e.segment, len(c.in.segs))
		}
		if n := c.in.segs[e.segment]; n != dropped {
			e.segment = n
			c.entry = e
			return true, nil
		}
	}
	return false, nil
}

// heap is a binary heap of cursors, the least entry first.
type heap []*cursor

// down restores the order below i.
func (h heap) down(i int) {
	for {
		least := i
		for _, child := range [2]int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child].less(&h[least].entry) {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// mergeEntries writes the entries of all inputs in order.
func mergeEntries(ctx context.Context, inputs []*input, w *runWriter) error {
	var h heap
	for _, in := range inputs {
		c := &cursor{in: in}
		ok, err := c.advance()
		if err != nil {
			return err
		}
		if ok {
			h = append(h, c)
		}
	}
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	for n := 0; len(h) > 0; n++ {
		if n%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.addEntry(&h[0].entry); err != nil {
			return err
		}
		ok, err := h[0].advance()
		if err != nil {
			return err
		}
		if !ok {
			h[0] = h[len(h)-1]
			h = h[:len(h)-1]
		}
		h.down(0)
	}
	return nil
}
