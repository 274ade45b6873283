package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/windows"
)

// NonBlock is a flag for opening files for reading; it is nothing on this system.
const NonBlock = 0

// Dir is a folder. Names given to its methods are single path elements. On this system it stands for a path: the folder
// itself is not held open. Safe for concurrent use.
type Dir struct{ path string }

// OpenDir opens the folder at path.
func OpenDir(path string) (*Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return &Dir{path}, nil
}

// Name returns the path that the folder was opened by.
func (d *Dir) Name() string { return d.path }

// Close does nothing on this system.
func (d *Dir) Close() error { return nil }

// Sync does nothing on this system: names are made durable by the calls that make them.
func (d *Dir) Sync() error { return nil }

// Open opens the folder called name in d.
func (d *Dir) Open(name string) (*Dir, error) {
	path := d.join(name)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOTDIR}
	}
	return &Dir{path}, nil
}

// Create creates the file called name in d for writing; one that is there is an error that is fs.ErrExist.
func (d *Dir) Create(name string, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(d.join(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
}

// Mkdir makes the folder called name in d.
func (d *Dir) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(d.join(name), perm) }

// Remove removes the file called name from d. A folder of that name is an error.
func (d *Dir) Remove(name string) error {
	return d.do("DeleteFile", name, windows.DeleteFile)
}

// RemoveDir removes the empty folder called name from d.
func (d *Dir) RemoveDir(name string) error {
	return d.do("RemoveDirectory", name, windows.RemoveDirectory)
}

// Has reports whether d has an entry called name, of whatever kind.
func (d *Dir) Has(name string) (bool, error) {
	_, err := os.Lstat(d.join(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Same reports whether two names are of the same file. It is false when it cannot tell.
func Same(a *Dir, name string, b *Dir, other string) bool {
	x, err := os.Lstat(a.join(name))
	if err != nil {
		return false
	}
	y, err := os.Lstat(b.join(other))
	return err == nil && os.SameFile(x, y)
}

// Link gives the file called name in from a second name in to, unless that name exists: fs.ErrExist.
func Link(from *Dir, name string, to *Dir, toName string) error {
	err := os.Link(from.join(name), to.join(toName))
	if errors.Is(err, windows.ERROR_INVALID_FUNCTION) || errors.Is(err, windows.ERROR_NOT_SUPPORTED) {
		return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return err
}

// Rename moves the file called name in from to a name in to, replacing a file of that name.
func Rename(from *Dir, name string, to *Dir, toName string) error {
	return move(from.join(name), to.join(toName), windows.MOVEFILE_REPLACE_EXISTING)
}

// RenameNoReplace moves the file called name in from to a name in to, unless that name exists: fs.ErrExist.
func RenameNoReplace(from *Dir, name string, to *Dir, toName string) error {
	return move(from.join(name), to.join(toName), 0)
}

// TryLock takes the exclusive lock of the open file f, or fails at once with [ErrLocked] when another open file has it,
// in this process or another. Closing f releases it, and so does the end of the process.
func TryLock(f *os.File) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, math.MaxUint32, math.MaxUint32, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	if err != nil {
		return fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return nil
}

// Space returns how many bytes this user can still write to the volume of d, and its size in bytes.
func (d *Dir) Space() (free, total int64, err error) {
	path, err := windows.UTF16PtrFromString(d.path)
	if err != nil {
		return 0, 0, err
	}
	var mine, all uint64
	if err := windows.GetDiskFreeSpaceEx(path, &mine, &all, nil); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space at %s: %w", d.path, err)
	}
	return int64(min(mine, math.MaxInt64)), int64(min(all, math.MaxInt64)), nil
}

// IsNotDir reports whether err says that a path leads through something that is no folder.
func IsNotDir(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, windows.ERROR_DIRECTORY)
}

// IsFull reports whether err says that a volume or quota has no room left.
func IsFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, windows.ERROR_DISK_QUOTA_EXCEEDED) || errors.Is(err, syscall.ENOSPC)
}

// IsDamaged reports whether err says that a volume or disk cannot read what was stored.
func IsDamaged(err error) bool {
	return errors.Is(err, windows.ERROR_CRC) || errors.Is(err, windows.ERROR_SECTOR_NOT_FOUND) || errors.Is(err, windows.ERROR_IO_DEVICE) ||
		errors.Is(err, windows.ERROR_FILE_CORRUPT) || errors.Is(err, windows.ERROR_DISK_CORRUPT) || errors.Is(err, windows.ERROR_READ_FAULT)
}

func (d *Dir) join(name string) string { return filepath.Join(d.path, name) }

func (d *Dir) do(op, name string, call func(*uint16) error) error {
	path, err := windows.UTF16PtrFromString(d.join(name))
	if err == nil {
		err = call(path)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: d.join(name), Err: err}
	}
	return nil
}

func move(from, to string, flags uint32) error {
	a, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	b, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(a, b, flags|windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "MoveFileEx", Old: from, New: to, Err: err}
	}
	return nil
}
