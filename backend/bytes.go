package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
)

type memory []byte

// ReadAt implements io.ReaderAt.
func (m memory) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(p, m[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Bytes returns a source of b for [Store.Put]. Drivers read such a source without copying it; b must not change until
// the Put returns.
func Bytes(b []byte) io.ReaderAt { return memory(b) }

// InMemory returns the bytes behind a source made by [Bytes], for drivers to read in place, and whether it is one.
func InMemory(src io.ReaderAt) ([]byte, bool) {
	m, ok := src.(memory)
	return m, ok
}

// PutBytes stores b under key, as [Store.Put] does.
func PutBytes(ctx context.Context, s Store, key string, b []byte, opts *PutOptions) error {
	return s.Put(ctx, key, Bytes(b), int64(len(b)), opts)
}

// ReadFull fills dst with the bytes of the object of key at offset off, reading straight into it. Fewer bytes than
// len(dst) are an error that is io.ErrUnexpectedEOF; after an error the contents of dst are undefined.
func ReadFull(ctx context.Context, s Store, key string, off int64, dst []byte) error {
	r, err := s.Get(ctx, key, off, int64(len(dst)))
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, dst)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("reading %d bytes of %s at offset %d: %w", len(dst), key, off, err)
	}
	return nil
}

// ReadAll returns all bytes of the object of key. One larger than limit bytes is refused with a [*TooLargeError] before
// its contents are read. No buffer is larger than limit, nor than twice what the object really holds (or 4096 bytes).
func ReadAll(ctx context.Context, s Store, key string, limit int64) ([]byte, error) {
	r, err := s.Get(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	b, err := readAll(r, key, limit)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", key, err)
	}
	return b, nil
}

func readAll(r io.Reader, key string, limit int64) ([]byte, error) {
	sized, ok := r.(Sized)
	if !ok {
		return readGrowing(r, key, limit)
	}
	size := sized.Size()
	if size > limit {
		return nil, &TooLargeError{Key: key, Size: size, Max: limit}
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// readGrowing reads r to its end into a buffer that doubles, up to limit bytes.
func readGrowing(r io.Reader, key string, limit int64) ([]byte, error) {
	buf := make([]byte, 0, max(0, min(limit, 4096)))
	for {
		if int64(len(buf)) >= limit {
			var one [1]byte
			switch _, err := io.ReadFull(r, one[:]); err {
			case nil:
				return nil, &TooLargeError{Key: key, Size: -1, Max: limit}
			case io.EOF:
				return buf, nil
			default:
				return nil, err
			}
		}
		if len(buf) == cap(buf) {
			grown := make([]byte, len(buf), min(2*int64(cap(buf)), limit))
			copy(grown, buf)
			buf = grown
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
