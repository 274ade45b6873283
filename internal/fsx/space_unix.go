//go:build linux || darwin || freebsd

package fsx

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Space returns how many bytes this user can still write to the file system of d, and its size in bytes.
func (d *Dir) Space() (free, total int64, err error) {
	var st unix.Statfs_t
	if err := control(d.f, func(fd int) error { return unix.Fstatfs(fd, &st) }); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space at %s: %w", d.Name(), err)
	}
	return bytesOf(uint64(max(0, int64(st.Bavail))), uint64(st.Bsize)), bytesOf(uint64(st.Blocks), uint64(st.Bsize)), nil
}

// bytesOf multiplies, stopping at the greatest int64.
func bytesOf(blocks, size uint64) int64 {
	if size != 0 && blocks > math.MaxInt64/size {
		return math.MaxInt64
	}
	return int64(blocks * size)
}
