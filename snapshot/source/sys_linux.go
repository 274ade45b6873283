package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	noatime  = unix.O_NOATIME
	pathOnly = unix.O_PATH // a folder need not be readable to be passed through

	seekData = unix.SEEK_DATA
	seekHole = unix.SEEK_HOLE
)

// isNoData reports the answer of SEEK_DATA where no data follows.
func isNoData(err error) bool { return errors.Is(err, unix.ENXIO) }

// isGone reports that the whole device is away, so that trying its other parts is no use.
func isGone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOMEDIUM)
}

// openDisk opens what is known to be a device or a regular file.
func openDisk(path string) (*os.File, error) {
	fd, err := openat(cwd(), path, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// advise gives a hint; whether the system takes it changes nothing but speed.
func advise(f *os.File, off, n int64, how int) {
	control(f, func(fd int) { _ = unix.Fadvise(fd, off, n, how) })
}

func adviseSequential(f *os.File)               { advise(f, 0, 0, unix.FADV_SEQUENTIAL) }
func advisePrefetch(f *os.File, off, n int64)   { advise(f, off, n, unix.FADV_WILLNEED) }
func adviseDrop(f *os.File, off int64, n int64) { advise(f, off, n, unix.FADV_DONTNEED) }

func madeUp(f *os.File) (is bool) {
	control(f, func(fd int) {
		var st unix.Statfs_t
		err := retry(func() error { return unix.Fstatfs(fd, &st) })
		is = err == nil && (st.Blocks == 0 || st.Type == unix.FUSE_SUPER_MAGIC)
	})
	return is
}

// dirent is the layout of linux_dirent64: inode u64, offset u64, length u16, type u8, name.
const (
	direntLen  = 16
	direntName = 19
)

// sysReadNames calls add with each name in the folder loc. The name is valid during the call.
func sysReadNames(ctx context.Context, loc location, bufs *sync.Pool, add func(name []byte)) error {
	fd, err := openat(loc, ".", unix.O_DIRECTORY) // a position of our own, and a descriptor that can be read
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buf := bufs.Get().(*[]byte)
	defer bufs.Put(buf)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		var n int
		err := retry(func() (err error) {
			n, err = unix.Getdents(fd, *buf)
			return err
		})
		if err == unix.ENOENT {
			return nil // the folder was removed while we read it
		}
		if err != nil || n == 0 {
			return err
		}
		if err := parseDirents((*buf)[:n], add); err != nil {
			return err
		}
	}
}

func parseDirents(b []byte, add func(name []byte)) error {
	for len(b) > 0 {
		if len(b) < direntName {
			return errors.New("the kernel returned a cut-off folder entry")
		}
		n := int(binary.NativeEndian.Uint16(b[direntLen:]))
		if n < direntName || n > len(b) {
			return errors.New("the kernel returned a folder entry of a wrong length")
		}
		name := b[direntName:n]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		if s := string(name); s != "." && s != ".." {
			add(name)
		}
		b = b[n:]
	}
	return nil
}

// attrPaths returns a path for calls on extended attributes of name at loc, which take no descriptor, and what to try
// if the first fails for want of /proc.
func attrPaths(loc location, name string) (string, string) {
	if loc.fd == unix.AT_FDCWD {
		return name, name
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", loc.fd, name), loc.below(name)
}

// noXattrs reports that name at loc is known to have no extended attributes, as almost all files. It asks the call that
// takes a descriptor (Linux 6.13), which costs half of a path through /proc; where that is missing, nothing is known.
func noXattrs(loc location, name string, follow bool) bool {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return false
	}
	flags := uintptr(unix.AT_SYMLINK_NOFOLLOW)
	if follow {
		flags = 0
	}
	n, _, errno := unix.Syscall6(unix.SYS_LISTXATTRAT, uintptr(loc.fd), uintptr(unsafe.Pointer(path)), flags, 0, 0, 0)
	return errno == 0 && n == 0
}
