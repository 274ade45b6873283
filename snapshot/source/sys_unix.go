//go:build linux || darwin || freebsd

package source

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	separator  = '/'
	hasOwners  = true
	hasDevices = true

	errNotDir = unix.ENOTDIR
	errLoop   = unix.ELOOP
	errStale  = unix.ESTALE
)

// location is a folder that names are relative to: its descriptor, and its path for what has no call with a descriptor.
type location struct {
	fd   int
	path string
}

// cwd is the location for absolute paths.
func cwd() location { return location{fd: unix.AT_FDCWD} }

// retry repeats a call that a signal interrupted, which happens on network and FUSE file systems.
func retry(fn func() error) error {
	for {
		if err := fn(); err != unix.EINTR {
			return err
		}
	}
}

// control calls fn with the descriptor of an open file, if it is still open. It stays open that long.
func control(f *os.File, fn func(fd int)) {
	if conn, err := f.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { fn(int(fd)) })
	}
}

// openat opens name at loc for reading, without changing its time of access if the system lets us.
func openat(loc location, name string, flags int) (fd int, err error) {
	flags |= unix.O_RDONLY | unix.O_CLOEXEC
	err = retry(func() error {
		fd, err = unix.Openat(loc.fd, name, flags|noatime, 0)
		return err
	})
	if err == unix.EPERM && noatime != 0 { // only the owner may ask for that
		err = retry(func() error {
			fd, err = unix.Openat(loc.fd, name, flags, 0)
			return err
		})
	}
	return fd, err
}

func sysOpenDir(loc location, name string) (int, identity, error) {
	fd, err := openat(loc, name, pathOnly|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return -1, identity{}, err
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		_ = unix.Close(fd)
		return -1, identity{}, err
	}
	return fd, identity{uint64(st.Dev), uint64(st.Ino), TypeDirectory}, nil
}

// sysOpen opens a regular file. O_NONBLOCK keeps a fifo that took its place from stopping us.
func sysOpen(loc location, name string) (*os.File, error) {
	fd, err := openat(loc, name, unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func sysStat(loc location, name string, follow bool, e *Entry) error {
	var st unix.Stat_t
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	if err := retry(func() error { return unix.Fstatat(loc.fd, name, &st, flags) }); err != nil {
		return err
	}
	if err := e.fill(&st); err != nil {
		return err
	}
	if e.Type != TypeSymlink {
		return nil
	}
	target, err := readlink(loc, name)
	e.Target = target
	return err
}

// fill sets all that stat knows.
func (e *Entry) fill(st *unix.Stat_t) error {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Type = TypeFile
	case unix.S_IFDIR:
		e.Type = TypeDirectory
	case unix.S_IFLNK:
		e.Type = TypeSymlink
	case unix.S_IFIFO:
		e.Type = TypeFifo
	case unix.S_IFCHR:
		e.Type = TypeCharDevice
	case unix.S_IFBLK:
		e.Type = TypeBlockDevice
	case unix.S_IFSOCK:
		return errSocket
	default:
		return ErrType
	}
	e.Mode = uint32(st.Mode) & 0o7777
	e.UID, e.GID = st.Uid, st.Gid
	e.MTime, e.CTime, e.ATime = st.Mtim.Nano(), st.Ctim.Nano(), st.Atim.Nano()
	e.Device, e.Inode = uint64(st.Dev), uint64(st.Ino)
	e.Links = uint32(min(uint64(st.Nlink), 1<<32-1))
	if e.Type == TypeFile {
		e.Size = st.Size
	}
	if e.Type == TypeCharDevice || e.Type == TypeBlockDevice {
		dev := uint64(st.Rdev)
		e.RDev = uint64(unix.Major(dev))<<32 | uint64(unix.Minor(dev))
	}
	return nil
}

// sysFstat reads the metadata of an open file.
func sysFstat(f *os.File, e *Entry) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var st unix.Stat_t
	var serr error
	err = conn.Control(func(fd uintptr) {
		serr = retry(func() error { return unix.Fstat(int(fd), &st) })
	})
	if err = errors.Join(err, serr); err != nil {
		return err
	}
	return e.fill(&st)
}

// maxLink bounds the target of a symlink. Systems have 4096 bytes.
const maxLink = 1 << 20

func readlink(loc location, name string) (string, error) {
	for size := 256; size <= maxLink; size *= 2 {
		buf := make([]byte, size)
		var n int
		err := retry(func() (err error) {
			n, err = unix.Readlinkat(loc.fd, name, buf)
			return err
		})
		if err == unix.EINVAL {
			return "", ErrReplaced // no longer a symlink
		}
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
	return "", errors.New("symlink target is too long")
}

// below returns a path for name at loc, for calls that take no descriptor.
func (l location) below(name string) string {
	if l.fd == unix.AT_FDCWD || l.path == "" {
		return name
	}
	return strings.TrimSuffix(l.path, "/") + "/" + name
}
