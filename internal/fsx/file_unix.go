//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// TryLock takes the exclusive advisory lock of the open file f, or fails at once with [ErrLocked] when another open file
// has it, in this process or another. Closing f releases it, and so does the end of the process.
func TryLock(f *os.File) error {
	err := control(f, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return nil
}
