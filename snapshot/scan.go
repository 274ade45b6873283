package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
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
	for r, err := range roundOut(f.image.Extents(ctx, from, f.size-from), from, f.size) {
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

// extent scans [r.Off, r.End), which starts on a boundary, and returns where it got to.
func (s *scanner) extent(ctx context.Context, f *contents, r byteRange, limit int64, emit func(item) error) (int64, error) {
	sp := &splitter{chunker: f.chunker}
	if s.buf == nil {
		s.buf = make([]byte, bufferSize)
	}
	if need := 2 * sp.need(); len(s.buf) < need {
		s.buf = make([]byte, need)
	}
	pos, have := r.Off, 0
	for pos < r.End && pos < limit {
		if err := ctx.Err(); err != nil {
			return pos, err
		}
		want := int(min(int64(len(s.buf)-have), r.End-pos-int64(have)))
		got, bad, err := s.read(ctx, f, pos+int64(have), s.buf[have:have+want])
		if err != nil {
			return pos, err
		}
		have += got
		at := pos
		n, err := sp.split(s.buf[:have], pos, got < want || pos+int64(have) == r.End, func(chunk []byte, hole int64) error {
			it := item{off: at, length: hole + int64(len(chunk)), data: chunk}
			at += it.length
			if it.off >= limit {
				return errStop
			}
			if chunk == nil {
				return emitGap(reftree.Hole, it.off, at, limit, emit)
			}
			return emit(it)
		})
		if err != nil {
			return pos, err
		}
		copy(s.buf, s.buf[n:have])
		pos, have = pos+int64(n), have-n
		if bad > 0 {
			if err := emitGap(reftree.Unread, pos, pos+bad, limit, emit); err != nil {
				return pos, err
			}
			pos += bad
		}
	}
	return pos, nil
}

// read fills p from offset off. Where something cannot be read it returns how many bytes come before that, and how many it is.
func (s *scanner) read(ctx context.Context, f *contents, off int64, p []byte) (n int, bad int64, err error) {
	ranges, err := source.ReadFull(ctx, f.image, p, off)
	if err != nil {
		return 0, 0, err
	}
	s.counters.read.Add(uint64(len(p)))
	if len(ranges) == 0 {
		return len(p), 0, nil
	}
	f.unreadable(ranges[0])
	return int(ranges[0].Off - off), ranges[0].Len, nil
}
