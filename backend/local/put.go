package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/internal/fsx"
)

const (
	// copyStep is how many bytes are read from a source and written at a time.
	copyStep = 1 << 20
	// writeStep is how many bytes of a source in memory are written between looks at the context.
	writeStep = 8 << 20
	// directFrom is the size in bytes from which a source in memory is written past the page cache.
	directFrom = 1 << 20
)

// Put implements [backend.Store].
func (s *Store) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	if err := s.put(ctx, key, src, size, opts != nil && opts.IfAbsent); err != nil {
		return s.failed("storing", key, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, key string, src io.ReaderAt, size int64, ifAbsent bool) error {
	if err := s.checkWrite(ctx, backend.CheckKey(key)); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("negative size %d: %w", size, fs.ErrInvalid)
	}
	if ifAbsent {
		if _, err := s.root.Lstat(filepath.FromSlash(key)); err == nil {
			return s.lost(key)
		}
	}
	var f *os.File
	name := randomName()
	tmp, err := s.folders.hold(tmpFolder, func(d *fsx.Dir) (err error) {
		f, err = d.Create(name, filePerm)
		return err
	})
	if err != nil {
		return err
	}
	defer s.folders.release(tmp)
	// After a rename there is nothing to remove. What cannot be removed is left for a later Open.
	defer func() { _ = tmp.dir.Remove(name) }()
	if err := s.write(ctx, f, src, size); err != nil {
		return err
	}
	return s.publish(ctx, tmp.dir, name, key, ifAbsent)
}

// write stores the first size bytes of src in the new file f, flushes and closes it. The file is locked meanwhile, which
// tells it from those of crashed writers.
func (s *Store) write(ctx context.Context, f *os.File, src io.ReaderAt, size int64) error {
	err := fsx.TryLock(f)
	if errors.Is(err, errors.ErrUnsupported) {
		err = nil // only its age protects the file then
	}
	if err == nil {
		err = s.fill(ctx, f, src, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (s *Store) fill(ctx context.Context, f *os.File, src io.ReaderAt, size int64) error {
	if size > copyStep {
		if err := fsx.Preallocate(f, size); err != nil {
			return err
		}
	}
	if b, ok := backend.InMemory(src); ok && int64(len(b)) >= size {
		return writeMemory(ctx, f, b[:size])
	}
	pooled := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(pooled)
	for off := int64(0); off < size; off += copyStep {
		b := (*pooled)[:min(copyStep, size-off)]
		if err := backend.ReadSource(src, b, off); err != nil {
			return err
		}
		if err := writeAll(ctx, f, b); err != nil {
			return err
		}
	}
	return nil
}

// writeMemory writes b, and what it can of it without a copy in the page cache: nobody reads a pack again soon, and what the source
// has there stays.
func writeMemory(ctx context.Context, f *os.File, b []byte) error {
	n := len(b) &^ (fsx.DirectUnit - 1)
	if n < directFrom || !fsx.Aligned(b) || fsx.SetDirect(f, true) != nil {
		return writeAll(ctx, f, b)
	}
	left, err := writeSome(ctx, f, b[:n])
	if err != nil && !fsx.IsNotDirect(err) {
		return err
	}
	if err := fsx.SetDirect(f, false); err != nil {
		return err
	}
	return writeAll(ctx, f, b[n-len(left):])
}

func writeAll(ctx context.Context, f *os.File, b []byte) error {
	_, err := writeSome(ctx, f, b)
	return err
}

// writeSome writes b up to the first error, and returns what is left of it.
func writeSome(ctx context.Context, f *os.File, b []byte) ([]byte, error) {
	for len(b) > 0 {
		if err := ctx.Err(); err != nil {
			return b, err
		}
		n, err := f.Write(b[:min(writeStep, len(b))])
		b = b[n:]
		if err != nil {
			return b, err
		}
	}
	return nil, nil
}

// publish gives the finished file called name in tmp the name key, durably.
func (s *Store) publish(ctx context.Context, tmp *fsx.Dir, name, key string, ifAbsent bool) error {
	err := s.folders.use(path.Dir(key), func(d *fsx.Dir) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if ifAbsent {
			err = s.create(ctx, tmp, name, d, path.Base(key))
		} else {
			err = fsx.Rename(tmp, name, d, path.Base(key))
		}
		if err != nil {
			return err
		}
		return d.Sync()
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist) && ifAbsent:
		return s.lost(key)
	case fsx.IsNotDir(err) || s.isFolder(key):
		return fmt.Errorf("%w: %v", backend.ErrConflict, err)
	}
	return err
}

// lost returns the error of a Put that found key taken. The other's name is made durable first, so that the caller can
// build on what they find.
func (s *Store) lost(key string) error {
	if s.isFolder(key) {
		return backend.ErrConflict
	}
	if err := s.folders.use(path.Dir(key), (*fsx.Dir).Sync); err != nil {
		return err
	}
	return fs.ErrExist
}

// isFolder reports whether key is taken by something that is no object.
func (s *Store) isFolder(key string) bool {
	info, err := s.root.Lstat(filepath.FromSlash(key))
	return err == nil && !info.Mode().IsRegular()
}
