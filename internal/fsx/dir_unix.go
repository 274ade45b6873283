//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package fsx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// NonBlock is a flag for opening files for reading that keeps a pipe in a file's place from blocking the caller.
const NonBlock = unix.O_NONBLOCK

// Dir is an open folder. Names given to its methods are single path elements; a symbolic link in the place of a name is
// never followed. Once the folder has been removed, creating something in it fails with fs.ErrNotExist, even when
// another folder has its path. Safe for concurrent use.
type Dir struct{ f *os.File }

// OpenDir opens the folder at path.
func OpenDir(path string) (*Dir, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return &Dir{f}, nil
}

// Name returns the path that the folder was opened by.
func (d *Dir) Name() string { return d.f.Name() }

// Close closes the folder.
func (d *Dir) Close() error { return d.f.Close() }

// Sync makes the folder's entries durable. It does nothing on systems and file systems that cannot flush a folder.
func (d *Dir) Sync() error {
	err := d.f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// Open opens the folder called name in d.
func (d *Dir) Open(name string) (*Dir, error) {
	fd, err := d.openat(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &Dir{os.NewFile(uintptr(fd), d.join(name))}, nil
}

// Create creates the file called name in d for writing; one that is there is an error that is fs.ErrExist.
func (d *Dir) Create(name string, perm fs.FileMode) (*os.File, error) {
	fd, err := d.openat(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, perm)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), d.join(name)), nil
}

// Mkdir makes the folder called name in d.
func (d *Dir) Mkdir(name string, perm fs.FileMode) error {
	return d.do("mkdirat", name, func(fd int) error { return unix.Mkdirat(fd, name, uint32(perm.Perm())) })
}

// Remove removes the file called name from d. A folder of that name is an error.
func (d *Dir) Remove(name string) error {
	return d.do("unlinkat", name, func(fd int) error { return unix.Unlinkat(fd, name, 0) })
}

// RemoveDir removes the empty folder called name from d.
func (d *Dir) RemoveDir(name string) error {
	return d.do("unlinkat", name, func(fd int) error { return unix.Unlinkat(fd, name, unix.AT_REMOVEDIR) })
}

// Has reports whether d has an entry called name, of whatever kind.
func (d *Dir) Has(name string) (bool, error) {
	_, err := d.stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Same reports whether two names are of the same file. It is false when it cannot tell.
func Same(a *Dir, name string, b *Dir, other string) bool {
	x, err := a.stat(name)
	if err != nil {
		return false
	}
	y, err := b.stat(other)
	return err == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// Link gives the file called name in from a second name in to, unless that name exists: fs.ErrExist.
func Link(from *Dir, name string, to *Dir, toName string) error {
	return both("linkat", from, name, to, toName, func(a, b int) error {
		return unix.Linkat(a, name, b, toName, 0)
	})
}

// Rename moves the file called name in from to a name in to, replacing a file of that name.
func Rename(from *Dir, name string, to *Dir, toName string) error {
	return both("renameat", from, name, to, toName, func(a, b int) error {
		return unix.Renameat(a, name, b, toName)
	})
}

// RenameNoReplace moves the file called name in from to a name in to, unless that name exists: fs.ErrExist.
func RenameNoReplace(from *Dir, name string, to *Dir, toName string) error {
	return both("renameat2", from, name, to, toName, func(a, b int) error {
		err := renameNoReplace(a, name, b, toName)
		if err == unix.EINVAL {
			return unix.ENOTSUP // how file systems refuse flags they do not know
		}
		return err
	})
}

// IsNotDir reports whether err says that a path leads through something that is no folder.
func IsNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// IsFull reports whether err says that a file system or quota has no room left.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// IsDamaged reports whether err says that a file system or disk cannot read what was stored.
func IsDamaged(err error) bool {
	return errors.Is(err, syscall.EIO) || errors.Is(err, errCorrupted)
}

func (d *Dir) join(name string) string { return filepath.Join(d.f.Name(), name) }

func (d *Dir) stat(name string) (st unix.Stat_t, err error) {
	err = d.do("fstatat", name, func(fd int) error { return unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

func (d *Dir) openat(name string, flags int, perm fs.FileMode) (int, error) {
	opened := -1
	err := d.do("openat", name, func(fd int) (err error) {
		opened, err = unix.Openat(fd, name, flags|unix.O_CLOEXEC, uint32(perm.Perm()))
		return err
	})
	return opened, err
}

func (d *Dir) do(op, name string, call func(fd int) error) error {
	if err := control(d.f, call); err != nil {
		return &fs.PathError{Op: op, Path: d.join(name), Err: err}
	}
	return nil
}

func both(op string, from *Dir, name string, to *Dir, toName string, call func(from, to int) error) error {
	err := control(from.f, func(a int) error {
		return control(to.f, func(b int) error { return call(a, b) })
	})
	if err != nil {
		return &os.LinkError{Op: op, Old: from.join(name), New: to.join(toName), Err: err}
	}
	return nil
}

// control calls call with the descriptor of f, again whenever a signal interrupts it.
func control(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		for {
			if inner = call(int(fd)); inner != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return inner
}
