package fault

import (
	"context"
	"fmt"
	"io"

	"github.com/holdfast-backup/holdfast/backend"
)

// flippedSource is a source with one bit changed.
type flippedSource struct {
	src io.ReaderAt
	bit int64
}

// ReadAt implements io.ReaderAt.
func (f *flippedSource) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.src.ReadAt(p, off)
	flip(p[:n], off, f.bit)
	return n, err
}

// flip changes a bit of an object of which p holds the bytes from off, if it lies there.
func flip(p []byte, off, bit int64) {
	if i := bit/8 - off; i >= 0 && i < int64(len(p)) {
		p[i] ^= 1 << (bit % 8)
	}
}

// reader reads from the inner store until the store is killed or a rule strikes.
type reader struct {
	s    *Store
	r    io.ReadCloser
	pos  int64 // bytes read
	kind Kind
	at   int64 // bytes after which Break and Short strike, or the bit that Flip changes
	err  error
}

// reader wraps r, the range (off, n) of the object of key.
func (s *Store) reader(ctx context.Context, r io.ReadCloser, rule *Rule, key string, off, n int64) (io.ReadCloser, error) {
	w := &reader{s: s, r: r}
	if rule != nil && rule.Kind != Delay {
		length, err := s.length(ctx, r, key, off, n)
		if err != nil {
			_ = r.Close() // err says more
			return nil, err
		}
		w.strike(rule, key, length)
	}
	if sized, ok := r.(backend.Sized); ok {
		return &sizedReader{w, sized}, nil
	}
	return w, nil
}

func (r *reader) strike(rule *Rule, key string, length int64) {
	switch rule.Kind {
	case Break:
		r.kind, r.at = Break, r.s.random(length)
		r.err = fmt.Errorf("reading %s after %d bytes: %w", key, r.at, rule.err())
	case Short:
		if length > 0 {
			r.kind, r.at, r.err = Short, r.s.random(length), io.EOF
		}
	case Flip:
		if length > 0 {
			r.kind, r.at = Flip, r.s.random(8*length)
		}
	}
}

// length returns how many bytes r will give.
func (s *Store) length(ctx context.Context, r io.Reader, key string, off, n int64) (int64, error) {
	if n >= 0 {
		return n, nil
	}
	if sized, ok := r.(backend.Sized); ok {
		return sized.Size(), nil
	}
	info, err := s.inner.Stat(ctx, key)
	return info.Size - off, err
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.s.alive(); err != nil {
		return 0, err
	}
	if r.err != nil {
		if r.pos >= r.at {
			return 0, r.err
		}
		p = p[:min(int64(len(p)), r.at-r.pos)]
	}
	n, err := r.r.Read(p)
	if r.kind == Flip {
		flip(p[:n], r.pos, r.at)
	}
	r.pos += int64(n)
	return n, err
}

// Close implements io.Closer.
func (r *reader) Close() error { return r.r.Close() }

type sizedReader struct {
	*reader
	backend.Sized
}
