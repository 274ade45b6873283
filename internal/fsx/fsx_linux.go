package fsx

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

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

func renameNoReplace(from int, name string, to int, toName string) error {
	return unix.Renameat2(from, name, to, toName, unix.RENAME_NOREPLACE)
}
