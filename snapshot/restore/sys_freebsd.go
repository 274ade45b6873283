package restore

import "golang.org/x/sys/unix"

func mknodat(fd int, name string, mode uint32, rdev uint64) error {
	return unix.Mknodat(fd, name, mode, unix.Mkdev(uint32(rdev>>32), uint32(rdev)))
}
