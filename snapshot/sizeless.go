package snapshot

import (
	"context"
	"errors"
	"io"

	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// sizeless is a file whose size may say nothing; see [source.File].
type sizeless interface {
	ReadPast(p []byte, off int64) (int, error)
	MadeUp() bool
}

// maxSizeless is how much is stored of a file that does not say its size: some have no end.
const maxSizeless = 4 << 30

// errEndless is why no more is stored.
var errEndless = errors.New("it has no end")

// scanSmall finds and saves the chunks of a whole file.
func (r *reading) scanSmall(ctx context.Context, s *scanner, f *contents) (*part, error) {
	image, ok := f.image.(sizeless)
	if ok && f.size == 0 {
		return s.scanSizeless(ctx, f, image, maxSizeless)
	}
	p, err := s.scanPart(ctx, f, 0, f.size)
	if bad := r.bad.Load(); ok && err == nil && bad != nil && errors.Is(bad.Err, io.ErrUnexpectedEOF) && image.MadeUp() {
		r.bad.Store(nil) // nothing is missing: in /sys, whatever holds a few bytes claims to have a page
		return s.scanSizeless(ctx, f, image, maxSizeless)
	}
	return p, err
}

// scanSizeless is scanPart for a file that is read until it ends, wherever that is, but not much farther than limit.
func (s *scanner) scanSizeless(ctx context.Context, f *contents, r sizeless, limit int64) (*part, error) {
	p, sp, have := &part{}, &splitter{chunker: f.chunker}, 0
	s.room(sp)
	for end := false; !end; {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		n, err := r.ReadPast(s.buf[have:], p.end+int64(have))
		have += n
		s.counters.read.Add(uint64(n))
		if err == nil && p.end+int64(have) >= limit {
			err = errEndless
		}
		end = err != nil
		used, serr := sp.split(s.buf[:have], p.end, end, func(chunk []byte, hole int64) error { return s.keep(ctx, p, found(p.end, chunk, hole)) })
		if serr != nil {
			return nil, serr
		}
		have = copy(s.buf, s.buf[used:have])
		if end && err != io.EOF {
			f.unreadable(source.Range{Off: p.end, Err: err})
		}
	}
	return p, nil
}

// found makes an item of what a splitter found at off.
func found(off int64, chunk []byte, hole int64) item {
	it := item{off: off, length: hole + int64(len(chunk)), data: chunk}
	if chunk == nil {
		it.kind = reftree.Hole
	}
	return it
}

// madeUp reports whether a file that was found empty need not say so when that changes.
func (r *reading) madeUp() bool {
	f, ok := r.image.(sizeless)
	return ok && f.MadeUp()
}
