package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/internal/fsx"
)

// Get implements [backend.Store].
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := s.check(ctx, backend.CheckKey(key)); err != nil {
		return nil, s.failed("reading", key, err)
	}
	f, err := s.root.OpenFile(filepath.FromSlash(key), os.O_RDONLY|fsx.NonBlock, 0)
	if err != nil {
		return nil, s.failed("reading", key, damaged(key, missing(err)))
	}
	n, err = rangeOf(f, key, off, n)
	if err != nil {
		return nil, s.failed("reading", key, errors.Join(err, f.Close()))
	}
	return &reader{ctx: ctx, s: s, key: key, f: f, pos: off, left: n}, nil
}

// rangeOf returns the length of the range (off, n) of the object in f.
func rangeOf(f *os.File, key string, off, n int64) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no regular file: %w", f.Name(), fs.ErrNotExist)
	}
	return backend.CheckRange(key, off, n, info.Size())
}

// reader reads a range of an object; it implements [backend.Sized].
type reader struct {
	ctx       context.Context
	s         *Store
	key       string
	f         *os.File
	pos, left int64
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if err != nil && err != io.EOF {
		err = r.s.failed("reading", r.key, damaged(r.key, err))
	}
	return n, err
}

func (r *reader) read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.f.ReadAt(p, r.pos)
	r.pos += int64(n)
	r.left -= int64(n)
	switch {
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF // the file was cut short since it was opened
	case err == nil && r.left == 0 && n == 0:
		return 0, io.EOF
	}
	return n, err
}

// Size implements [backend.Sized].
func (r *reader) Size() int64 { return r.left }

// Close implements io.Closer.
func (r *reader) Close() error { return r.f.Close() }

// damaged marks an error that says that what was stored cannot be read.
func damaged(key string, err error) error {
	if fsx.IsDamaged(err) {
		return &backend.DamagedError{Key: key, Err: err}
	}
	return err
}
