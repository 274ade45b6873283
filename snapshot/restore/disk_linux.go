package restore

import (
	"errors"
	"io"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// exclusiveDevice makes opening a block device fail if it is mounted or used otherwise.
const exclusiveDevice = unix.O_EXCL

// control calls fn with the descriptor of f, again whenever a signal interrupts it.
func control(f *os.File, fn func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		for {
			if inner = fn(int(fd)); inner != unix.EINTR {
				return
			}
		}
	})
	return errors.Join(err, inner)
}

// fallocate reports what a file or device cannot do as errors.ErrUnsupported.
func fallocate(f *os.File, mode uint32, off, n int64) error {
	if n == 0 {
		return nil
	}
	err := control(f, func(fd int) error { return unix.Fallocate(fd, mode, off, n) })
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return errors.ErrUnsupported
	}
	return err
}

// punch makes a hole in a regular file.
func punch(f *os.File, off, n int64) error {
	return fallocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

// zeroDevice zeroes a range of a block device: without writing where it can, else by the kernel.
func zeroDevice(f *os.File, off, n int64) error {
	err := fallocate(f, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, errors.ErrUnsupported) {
		err = fallocate(f, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	}
	return err
}

// allocate reserves the space of a new file, where the file system can.
func allocate(f *os.File, n int64) error {
	if err := fallocate(f, 0, 0, n); !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// holeAt returns how many of the n bytes at off of a file are known to be in a hole.
func holeAt(f *os.File, off, n int64) int64 {
	data, err := f.Seek(off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		data, err = f.Seek(0, io.SeekEnd)
	}
	if err != nil || data <= off {
		return 0
	}
	return min(data-off, n)
}

// startFlush lets the system begin to write a range of a file to the disk, so that less is left to do in the end.
func startFlush(f *os.File, off, n int64) {
	_ = control(f, func(fd int) error { return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE) }) // the flush in the end tells
}

// dataAt returns how many of the n bytes at off of a file there are before its next hole, at least one block.
func dataAt(f *os.File, off, n int64) int64 {
	hole, err := f.Seek(off, unix.SEEK_HOLE)
	if err != nil || hole <= off {
		return min(n, int64(len(zeros)))
	}
	return min(n, hole-off)
}

// dropCache drops what is cached of a file, so that reading it reads the disk.
func dropCache(out any) {
	if f, ok := out.(*os.File); ok {
		_ = control(f, func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) }) // a hint
	}
}

// deviceSize is asked for devices that do not tell their size otherwise: there are none.
func deviceSize(*os.File) (int64, error) { return 0, nil }

// isInvalid reports the answer of things that cannot be flushed.
func isInvalid(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) }

// setFileTimes sets the times of an open file, to the nanosecond.
func setFileTimes(f *os.File, access, modified time.Time) error {
	ts := [2]unix.Timespec{unix.NsecToTimespec(access.UnixNano()), unix.NsecToTimespec(modified.UnixNano())}
	return control(f, func(fd int) error { return futimens(fd, &ts) })
}

// futimens is utimensat without a path, for which package unix has no call.
func futimens(fd int, ts *[2]unix.Timespec) error {
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(ts)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
