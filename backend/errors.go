package backend

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/holdfast-backup/holdfast/internal/fsx"
)

var (
	// ErrLocked is returned by [Locker.TryLock] when another holder has the lock.
	ErrLocked = errors.New("locked by another process")

	// ErrConflict is returned by a Put of a key that the store cannot hold beside those it has: one of the two keys is
	// the other followed by "/" and more, or something that is no object stands in the way.
	ErrConflict = errors.New("key conflicts with what is already stored")
)

// RangeError reports a range that does not lie within its object. It is io.ErrUnexpectedEOF, since it is what reading
// an object that was cut short gives; for a negative offset it is fs.ErrInvalid instead.
type RangeError struct {
	// Key is the object's key.
	Key string
	// Off and N are the range as asked for; N < 0 means to the end.
	Off, N int64
	// Size is the object's size in bytes, or -1 if the store did not say.
	Size int64
}

// Error names the object, the range and the object's size.
func (e *RangeError) Error() string {
	size := fmt.Sprintf("its %d bytes", e.Size)
	if e.Size < 0 {
		size = "its end"
	}
	if e.N < 0 {
		return fmt.Sprintf("object %s: offset %d is outside %s", e.Key, e.Off, size)
	}
	return fmt.Sprintf("object %s: %d bytes at offset %d are not within %s", e.Key, e.N, e.Off, size)
}

// Unwrap returns io.ErrUnexpectedEOF, or fs.ErrInvalid when the offset is negative.
func (e *RangeError) Unwrap() error {
	if e.Off < 0 {
		return fs.ErrInvalid
	}
	return io.ErrUnexpectedEOF
}

// CheckRange returns the length of the range (off, n) of an object of size bytes as [Store.Get] defines it, or a
// [*RangeError]. Drivers call it once they know the size.
func CheckRange(key string, off, n, size int64) (int64, error) {
	if off < 0 || off > size || n > size-off {
		return 0, &RangeError{Key: key, Off: off, N: n, Size: size}
	}
	if n < 0 {
		return size - off, nil
	}
	return n, nil
}

// TooLargeError reports an object that is larger than its reader allows.
type TooLargeError struct {
	// Key is the object's key.
	Key string
	// Size is the object's size in bytes, or -1 if it is only known to be greater than Max.
	Size int64
	// Max is the greatest size allowed, in bytes.
	Max int64
}

// Error names the object and both sizes.
func (e *TooLargeError) Error() string {
	if e.Size < 0 {
		return fmt.Sprintf("object %s has more than the %d bytes allowed", e.Key, e.Max)
	}
	return fmt.Sprintf("object %s has %d bytes, more than the %d allowed", e.Key, e.Size, e.Max)
}

// DamagedError reports an object that is there and that the storage cannot read, or not all of it: a bad sector, or a checksum that the file system or
// service found wrong.
type DamagedError struct {
	// Key is the object's key.
	Key string
	// Err is what the storage said.
	Err error
}

// Error gives what the storage said.
func (e *DamagedError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *DamagedError) Unwrap() error { return e.Err }

// SourceError reports that the source of a Put failed, not the store.
type SourceError struct {
	// Off is the offset in the source at which reading failed, in bytes.
	Off int64
	// Err is what the source returned; io.ErrUnexpectedEOF if it ended before the size given to Put.
	Err error
}

// Error names the offset and the cause.
func (e *SourceError) Error() string {
	return fmt.Sprintf("reading the data to store at offset %d: %v", e.Off, e.Err)
}

// Unwrap returns Err.
func (e *SourceError) Unwrap() error { return e.Err }

// ReadSource fills buf from src at off on behalf of a Put. It fails with a [*SourceError] if src fails, or if it has
// fewer bytes.
func ReadSource(src io.ReaderAt, buf []byte, off int64) error {
	n, err := src.ReadAt(buf, off)
	switch {
	case n == len(buf):
		return nil
	case err == nil || err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return &SourceError{Off: off + int64(n), Err: err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks err as one that trying again cannot cure, for drivers that know it from what the store said. Its text
// and what it wraps stay the same. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether trying again cannot cure err. It holds for errors marked with [Permanent], missing and
// existing and damaged objects, refused permission, invalid and oversized requests, conflicts, locks held by others, a closed store,
// a source that failed, and a file system that is full or read-only. An error of a context is not permanent here, since
// drivers have time limits of their own: whoever tries again looks at their own context first.
func IsPermanent(err error) bool {
	for _, target := range []error{
		fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, fs.ErrClosed, errors.ErrUnsupported,
		ErrLocked, ErrConflict, syscall.EROFS,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return isType[*permanentError](err) || isType[*SourceError](err) || isType[*RangeError](err) ||
		isType[*TooLargeError](err) || isType[*DamagedError](err) || fsx.IsFull(err)
}

func isType[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
