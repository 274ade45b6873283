package retry

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"github.com/holdfast-backup/holdfast/backend"
)

// Get implements [backend.Store]. The reader opens the object anew when reading fails, at the byte where it stopped.
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	r := &reader{s: s, ctx: ctx, key: key, off: off, left: n}
	err := s.do(ctx, backend.OpGet, key, func(int) error { return r.open() })
	if err != nil {
		return nil, err
	}
	if sized, ok := r.inner.(backend.Sized); ok && n < 0 {
		r.left = sized.Size()
	}
	if r.left < 0 {
		return r, nil
	}
	return &sizedReader{r}, nil
}

// reader reads a range of an object, in as many pieces as it takes.
type reader struct {
	s        *Store
	ctx      context.Context
	key      string
	off      int64
	left     int64         // bytes to come; negative if not known
	inner    io.ReadCloser // nil after a failure
	failures int           // since the last byte
	err      error         // returned from now on
}

func (r *reader) open() (err error) {
	r.inner, err = r.s.inner.Get(r.ctx, r.key, r.off, r.left)
	return err
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for r.err == nil {
		n, err := r.read(p)
		r.off += int64(n)
		if r.left >= 0 {
			r.left -= int64(n)
		}
		if n > 0 {
			r.failures = 0
			return n, nil // err, if any, comes again or is cured
		}
		switch {
		case err == nil:
			return 0, nil
		case err == io.EOF && r.left <= 0:
			r.err = io.EOF
		default:
			r.err = r.recover(err)
		}
	}
	return 0, r.err
}

func (r *reader) read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.inner == nil {
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	return r.inner.Read(p)
}

// recover drops the inner reader, which failed with err, and waits to open another. It returns an error if there is to
// be no other.
func (r *reader) recover(err error) error {
	if err == io.EOF {
		err = fmt.Errorf("%d bytes of %s are missing: %w", r.left, r.key, io.ErrUnexpectedEOF)
	}
	if r.inner != nil {
		_ = r.inner.Close() // it failed already
		r.inner = nil
	}
	r.failures++
	return r.s.pause(r.ctx, backend.OpGet, r.key, r.failures, err)
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.err = fs.ErrClosed
	if r.inner == nil {
		return nil
	}
	err := r.inner.Close()
	r.inner = nil
	return err
}

type sizedReader struct{ *reader }

// Size implements [backend.Sized].
func (r *sizedReader) Size() int64 { return r.left }

// List implements [backend.Store].
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		last, failures := "", 0
		for {
			err := s.list(ctx, prefix, func(info backend.Info) bool {
				if info.Key <= last {
					return true
				}
				last, failures = info.Key, 0
				return yield(info, nil)
			})
			if err == nil {
				return
			}
			failures++
			if err := s.pause(ctx, backend.OpList, prefix, failures, err); err != nil {
				yield(backend.Info{}, err)
				return
			}
		}
	}
}

// list calls use with all objects below prefix until it returns false.
func (s *Store) list(ctx context.Context, prefix string, use func(backend.Info) bool) error {
	for info, err := range s.inner.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if !use(info) {
			return nil
		}
	}
	return nil
}
