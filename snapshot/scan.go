package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// byteRange is [Off, End) of a file.
type byteRange struct{ Off, End int64 }

// contents is a file whose chunks are wanted. Its fields do not change.
type contents struct {
	image   source.Image
	size    int64
	chunker chunk.Chunker
	// unreadable hears of what cannot be read, which becomes unread ranges. It is called by any number of goroutines.
	unreadable func(source.Range)

	// old, if there is one, is an older content of the file, complete and cut by the same chunker, that differs in the ranges changed
	// alone; see changedBlocks.
	old     *content.Map
	changed []byteRange
}

// scanner finds and saves the chunks of ranges of files. It owns its buffer and belongs to one goroutine.
type scanner struct {
	data     *repo.Writer
	buf      []byte
	counters *counters
}

// bufferSize is what is read at once. Larger buffers fall out of the processor's cache.
const bufferSize = 1 << 20

// item is something found at a place in a file: a chunk not yet saved, a hole, or a range that cannot be read.
type item struct {
	off    int64
	length int64
	kind   reftree.Kind
	data   []byte // of a chunk
}

var errStop = errors.New("stop")

// scan calls emit for each item of f, in order, from offset from on, which is taken for a boundary. Items start below limit; holes and unread
// ranges also end there. An error of emit ends the scan; errStop does so without being an error.
func (s *scanner) scan(ctx context.Context, f *contents, from, limit int64, emit func(item) error) error {
	err := s.ranges(ctx, f, from, limit, emit)
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

func (s *scanner) ranges(ctx context.Context, f *contents, from, limit int64, emit func(item) error) error {
	pos := from
	block := from &^ (holeBlock - 1) // a boundary within a block says that the block is no hole
	for r, err := range roundOut(f.image.Extents(ctx, block, f.size-block), from, f.size) {
		if err != nil {
			return fmt.Errorf("looking for data: %w", err)
		}
		if err := emitGap(reftree.Hole, pos, r.Off, limit, emit); err != nil {
			return err
		}
		if pos, err = s.extent(ctx, f, r, limit, emit); err != nil {
			return err
		}
		if pos >= limit {
			return nil
		}
	}
	return emitGap(reftree.Hole, pos, f.size, limit, emit)
}

// emitGap emits [from, to) as one item, cut off at limit.
func emitGap(kind reftree.Kind, from, to, limit int64, emit func(item) error) error {
	if to = min(to, limit); from >= to {
		return nil
	}
	return emit(item{off: from, length: to - from, kind: kind})
}

// roundOut widens the extents that may hold data to whole blocks of holes, joins those that meet, and adds a last block that is not whole: that one is always
// data. What lies between is holes by content, since nothing else reads as zeros.
func roundOut(extents iter.Seq2[source.Extent, error], from, size int64) iter.Seq2[byteRange, error] {
	return func(yield func(byteRange, error) bool) {
		var have byteRange
		add := func(r byteRange) bool {
			r = byteRange{max(r.Off&^(holeBlock-1), from), min(alignUp(r.End), size)}
			if r.Off >= r.End {
				return true
			}
			if have.End > have.Off && r.Off <= have.End {
				have.End = max(have.End, r.End)
				return true
			}
			last := have
			have = r
			return last.End <= last.Off || yield(last, nil)
		}
		for e, err := range extents {
			if err != nil {
				yield(byteRange{}, err)
				return
			}
			if e.Kind == source.Data && !add(byteRange{e.Off, e.Off + e.Len}) {
				return
			}
		}
		if tail := size &^ (holeBlock - 1); tail < size && !add(byteRange{tail, size}) {
			return
		}
		if have.End > have.Off {
			yield(have, nil)
		}
	}
}

// window is the part of a file that is in a scanner's buffer: buf[:have], from offset pos on, which is a boundary.
type window struct {
	scanner *scanner
	file    *contents
	emit    func(item) error
	limit   int64
	sp      *splitter
	pos     int64
	have    int
}

// room makes sure that the buffer is large enough for a splitter.
func (s *scanner) room(sp *splitter) {
	if need := max(bufferSize, 2*sp.need()); len(s.buf) < need {
		s.buf = make([]byte, need)
	}
}

// extent scans [r.Off, r.End), which starts on a boundary, and returns where it got to.
func (s *scanner) extent(ctx context.Context, f *contents, r byteRange, limit int64, emit func(item) error) (int64, error) {
	w := &window{scanner: s, file: f, emit: emit, limit: limit, sp: &splitter{chunker: f.chunker}, pos: r.Off}
	s.room(w.sp)
	step := int64(len(s.buf))
	if f.old != nil {
		step = minReuse
	}
	for w.pos < r.End && w.pos < limit {
		want := int(min(int64(len(s.buf)-w.have), r.End-w.pos-int64(w.have), step, w.wanted()))
		step = min(2*step, int64(len(s.buf)))
		bad, err := source.ReadFull(ctx, f.image, s.buf[w.have:w.have+want], w.pos+int64(w.have))
		if err != nil {
			return w.pos, err
		}
		s.counters.read.Add(uint64(want))
		w.have += want
		for _, b := range bad {
			if err := w.skip(b); err != nil {
				return w.pos, err
			}
		}
		if err := w.split(w.have, w.pos+int64(w.have) == r.End); err != nil {
			return w.pos, err
		}
	}
	return w.pos, nil
}

// wanted returns how much more is worth reading: up to the limit, and beyond it what the last chunk may need to find its end. The next part begins there, and
// reads it again.
func (w *window) wanted() int64 {
	need := int64(w.sp.need())
	return max(w.limit+need-w.pos-int64(w.have), need)
}

// skip emits what is in the window before a range that cannot be read, and then that range.
func (w *window) skip(bad source.Range) error {
	w.file.unreadable(bad)
	if err := w.split(int(bad.Off-w.pos), true); err != nil {
		return err
	}
	if err := emitGap(reftree.Unread, bad.Off, bad.Off+bad.Len, w.limit, w.emit); err != nil {
		return err
	}
	w.drop(int(bad.Len))
	return nil
}

// drop takes n bytes off the front of the window.
func (w *window) drop(n int) {
	buf := w.scanner.buf
	copy(buf, buf[n:w.have])
	w.pos, w.have = w.pos+int64(n), w.have-n
}

// split emits the chunks and holes at the front of the first n bytes of the window; with end all of them.
func (w *window) split(n int, end bool) error {
	at := w.pos
	used, err := w.sp.split(w.scanner.buf[:n], w.pos, end, func(chunk []byte, hole int64) error {
		it := item{off: at, length: hole + int64(len(chunk)), data: chunk}
		at += it.length
		if it.off >= w.limit {
			return errStop
		}
		if chunk == nil {
			return emitGap(reftree.Hole, it.off, at, w.limit, w.emit)
		}
		return w.emit(it)
	})
	if err != nil {
		return err
	}
	w.drop(used)
	return nil
}
