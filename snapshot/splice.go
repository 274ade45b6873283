package snapshot

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// A chunker keeps nothing across a cut. So between two contents of which it is known where they differ, the cuts that follow a
// common one are the same up to the next difference, and whatever lies between can be taken over unread. docs/design.md
// ("Splice") says what counts as a difference for that.

// reused is the kind of those pieces of parts that are taken over from the older content. It is never stored.
const reused reftree.Kind = 255

// minReuse is the least that is worth ending a scan for: to begin another one a little later reads as much.
const minReuse = 128 << 10

// changedBlocks returns what must be looked at anew of a file whose size went from was to is, in ranges that lie apart. extents
// cover the file in order. Since a block decides as a whole whether it is a hole, it changes as a whole; and since
// the old end may have ended a chunk, and the new one does, the block before the nearer one counts as changed with all that follows.
func changedBlocks(extents iter.Seq[source.Extent], was, is int64) []byteRange {
	var list []byteRange
	add := func(off, end int64) {
		r := byteRange{off &^ (holeBlock - 1), min(alignUp(end), is)}
		switch n := len(list); {
		case r.Off >= r.End:
		case n > 0 && r.Off <= list[n-1].End:
			list[n-1].End = max(list[n-1].End, r.End)
		default:
			list = append(list, r)
		}
	}
	tail := is
	if was != is {
		tail = max(min(was, is)-1, 0) &^ (holeBlock - 1)
	}
	for e := range extents {
		if e.Off >= tail {
			break
		}
		if e.Kind != source.Unchanged {
			add(e.Off, e.Off+e.Len)
		}
	}
	if was != is {
		add(tail, is)
	}
	return list
}

// changes returns the ranges that must be looked at.
func (f *contents) changes() []byteRange {
	if f.old == nil {
		return []byteRange{{0, f.size}}
	}
	return f.changed
}

// borders yields where the parts of the file begin, but for the first, such that each has about size bytes to read, which is a multiple of
// holeBlock. Borders lie in changed ranges or at their start.
func (f *contents) borders(size int64) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		work := int64(0)
		for _, c := range f.changes() {
			if work >= size && !yield(c.Off) {
				return
			}
			at, room := c.Off, size-work
			if work >= size {
				work, room = 0, size
			}
			for c.End-at > room {
				at, work, room = at+room, 0, size
				if !yield(at) {
					return
				}
			}
			work += max(alignUp(c.End-at), 2*minReuse) // even the smallest change makes some reading
		}
	}
}

// ranges yields the parts of the file with their numbers.
func (f *contents) ranges(size int64) iter.Seq2[int, byteRange] {
	return func(yield func(int, byteRange) bool) {
		i, from := 0, int64(0)
		for to := range f.borders(size) {
			if !yield(i, byteRange{from, to}) {
				return
			}
			i, from = i+1, to
		}
		if from < f.size {
			yield(i, byteRange{from, f.size})
		}
	}
}

// begin returns where looking anew must begin for a change: with the old chunk that the byte before it is in, whose end may lie behind
// it, or may have been due to what it was.
func (f *contents) begin(ctx context.Context, c byteRange) (int64, error) {
	if f.old == nil || c.Off == 0 {
		return 0, nil
	}
	for span, err := range f.old.Spans(ctx, c.Off-1, 1) {
		switch {
		case err != nil:
			return 0, err
		case span.Kind == reftree.Chunk:
			return span.Offset, nil
		case span.Kind == reftree.Hole:
			return c.Off, nil
		}
		return 0, &content.Error{Offset: span.Offset, Err: errHasUnread}
	}
	return 0, fmt.Errorf("a change at %d of a content of %d bytes", c.Off, f.old.Size())
}

// errHasUnread is an error because such a content is not given to a splice: what could not be read must be tried again.
var errHasUnread = fmt.Errorf("%w: an unread range in what was complete", reftree.ErrFormat)

// boundary reports whether an old chunk, or a block of an old hole, begins at off.
func (f *contents) boundary(ctx context.Context, off int64) (bool, error) {
	for span, err := range f.old.Spans(ctx, off, 1) {
		if err != nil || span.Kind == reftree.Unread {
			return false, err
		}
		return span.Offset == off && (span.Kind == reftree.Chunk || off%holeBlock == 0), nil
	}
	return false, nil
}

// splicer makes one part: it scans what changed, and takes over the rest.
type splicer struct {
	scanner *scanner
	file    *contents
	from    int64
	to      int64
	at      int64 // the part is made up to here
	changed []byteRange
	part    *part
}

// scanPart finds and saves the chunks of f that start in [from, to), from being 0 or a border and to the next one. If from lies within a
// changed range, chunks before it are only looked at.
func (s *scanner) scanPart(ctx context.Context, f *contents, from, to int64) (*part, error) {
	w := &splicer{scanner: s, file: f, from: from, to: to, at: from, changed: f.changes(), part: &part{start: -1}}
	for w.at < to {
		w.drop(w.at)
		begin, err := w.begin(ctx)
		if err != nil {
			return nil, err
		}
		if begin > w.at {
			w.take(begin)
			continue
		}
		if err := w.scan(ctx, max(begin, w.at-warmUp(f))); err != nil {
			return nil, err
		}
	}
	if w.part.start < 0 {
		w.part.start, w.part.end = to, to
	}
	return w.part, nil
}

// drop forgets the changes that end before off.
func (w *splicer) drop(off int64) {
	n, _ := slices.BinarySearchFunc(w.changed, off, func(c byteRange, off int64) int {
		if c.End <= off {
			return -1
		}
		return 1
	})
	w.changed = w.changed[n:]
}

// begin returns where looking anew must begin for the next change.
func (w *splicer) begin(ctx context.Context) (int64, error) {
	if len(w.changed) == 0 {
		return w.file.size, nil
	}
	return w.file.begin(ctx, w.changed[0])
}

// take takes over everything up to end.
func (w *splicer) take(end int64) {
	w.start(w.at)
	w.part.add(reftree.Span{Kind: reused, Length: end - w.at, Count: 1})
	w.scanner.counters.scanned.Add(uint64(end - w.at))
	w.at = end
}

func (w *splicer) start(off int64) {
	if w.part.start < 0 {
		w.part.start, w.part.end = off, off
	}
}

// scan goes on from a boundary until everything is as it was, or to the end of the part.
func (w *splicer) scan(ctx context.Context, begin int64) error {
	stopped := false
	err := w.scanner.scan(ctx, w.file, begin, w.to, func(it item) error {
		if it.off < w.from && it.data == nil && it.off+it.length > w.from {
			it.length -= w.from - it.off
			it.off = w.from
		}
		if it.off < w.from {
			return nil
		}
		var err error
		if stopped, err = w.add(ctx, it); stopped && err == nil {
			err = errStop
		}
		return err
	})
	if !stopped {
		w.at = w.to
	}
	return err
}

// add adds what was found to the part, unless or as far as it can be taken over, and reports whether what follows can be.
func (w *splicer) add(ctx context.Context, it item) (bool, error) {
	w.start(it.off)
	w.drop(it.off)
	w.at = it.off
	if ok, err := w.synced(ctx, it.off); ok || err != nil {
		return ok, err
	}
	cut, err := w.cutHole(ctx, &it)
	if err != nil {
		return false, err
	}
	w.at += it.length
	return cut, w.scanner.keep(ctx, w.part, it)
}

// synced reports whether the old content can be taken over from the boundary off on, and enough of it.
func (w *splicer) synced(ctx context.Context, off int64) (bool, error) {
	if w.file.old == nil || len(w.changed) > 0 && off >= w.changed[0].Off {
		return false, nil
	}
	ok, err := w.file.boundary(ctx, off)
	if !ok || err != nil || len(w.changed) == 0 {
		return ok, err
	}
	begin, err := w.begin(ctx)
	return begin-off >= minReuse, err
}

// cutHole ends a hole where a change ends that it goes beyond, if the old content can be taken over from there on.
func (w *splicer) cutHole(ctx context.Context, it *item) (bool, error) {
	if w.file.old == nil || it.kind != reftree.Hole || len(w.changed) == 0 {
		return false, nil
	}
	c := w.changed[0]
	if it.off < c.Off || it.off+it.length <= c.End {
		return false, nil
	}
	ok, err := w.file.boundary(ctx, c.End)
	if ok {
		it.length = c.End - it.off
	}
	return ok, err
}
