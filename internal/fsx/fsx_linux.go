package fsx

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// errCorrupted is what file systems say whose own structures are damaged.
const errCorrupted = unix.EUCLEAN

// Preallocate reserves room for size bytes in the new file f and sets its length, so that a full disk shows at once and
// the file is laid out in one piece. It does nothing where the file system cannot.
func Preallocate(f *os.File, size int64) error {
	if size <= 0 {
		return nil
	}
	err := control(f, func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if err == nil || errors.Is(err, errors.ErrUnsupported) || err == unix.EINVAL || err == unix.EPERM {
		return nil
	}
	return fmt.Errorf("reserving %d bytes for %s: %w", size, f.Name(), err)
}

// DirectUnit is what memory, offset and length of writes past the page cache must be multiples of, in bytes.
const DirectUnit = 4096

// SetDirect says whether writes to f go past the page cache, straight from memory to the disk. They are no more durable for it. It fails
// where the file system cannot.
func SetDirect(f *os.File, on bool) error {
	return control(f, func(fd int) error {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			return err
		}
		if flags &^= unix.O_DIRECT; on {
			flags |= unix.O_DIRECT
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, flags)
		return err
	})
}

// Aligned reports whether b starts where a write past the page cache can.
func Aligned(b []byte) bool { return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%DirectUnit == 0 }

// IsNotDirect reports whether err says that a write cannot go past the page cache, for one of many reasons.
func IsNotDirect(err error) bool { return errors.Is(err, unix.EINVAL) }

func renameNoReplace(from int, name string, to int, toName string) error {
	return unix.Renameat2(from, name, to, toName, unix.RENAME_NOREPLACE)
}
