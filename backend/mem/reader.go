package mem

import (
	"context"
	"io"
	"io/fs"
)

// reader reads a range of an object; it implements [backend.Sized].
type reader struct {
	ctx    context.Context
	b      []byte
	closed bool
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fs.ErrClosed
	}
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

// Size implements [backend.Sized].
func (r *reader) Size() int64 { return int64(len(r.b)) }

// Close implements io.Closer.
func (r *reader) Close() error {
	r.closed = true
	return nil
}
