package retry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/holdfast-backup/holdfast/backend"
)

// Put implements [backend.Store].
func (s *Store) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	return s.do(ctx, backend.OpPut, key, func(failures int) error {
		err := s.inner.Put(ctx, key, src, size, opts)
		if failures == 0 || !errors.Is(err, fs.ErrExist) {
			return err
		}
		// An earlier try may have stored it.
		same, cerr := s.holds(ctx, key, src, size)
		switch {
		case cerr != nil && !errors.Is(cerr, fs.ErrNotExist):
			return backend.Permanent(cerr) // it was tried often enough
		case same:
			return nil
		}
		return err
	})
}

// Delete implements [backend.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.do(ctx, backend.OpDelete, key, func(failures int) error {
		err := s.inner.Delete(ctx, key)
		if failures > 0 && errors.Is(err, fs.ErrNotExist) {
			return nil // an earlier try removed it, or somebody else did
		}
		return err
	})
}

// holds reports whether the object of key consists of the first size bytes of src.
func (s *Store) holds(ctx context.Context, key string, src io.ReaderAt, size int64) (bool, error) {
	info, err := s.Stat(ctx, key)
	if err != nil || info.Size != size {
		return false, err
	}
	r, err := s.Get(ctx, key, 0, size)
	if err != nil {
		return false, err
	}
	same, err := equal(r, src, size)
	return same, closeAfter(r, err)
}

func equal(r io.Reader, src io.ReaderAt, size int64) (bool, error) {
	step := min(size, 1<<20)
	stored, mine := make([]byte, step), make([]byte, step)
	for off := int64(0); off < size; off += step {
		n := min(step, size-off)
		if _, err := io.ReadFull(r, stored[:n]); err != nil {
			return false, err
		}
		if err := backend.ReadSource(src, mine[:n], off); err != nil {
			return false, err
		}
		if !bytes.Equal(stored[:n], mine[:n]) {
			return false, nil
		}
	}
	return true, nil
}
