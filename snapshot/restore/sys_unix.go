//go:build linux || darwin || freebsd

package restore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// dirHandle is an open folder. Names in it are looked up relative to it, and symlinks are never followed.
type dirHandle = *os.File

const forbiddenInNames = ""

func isLocal(string) bool { return true }

// retry repeats a call that a signal interrupted, which happens on network and FUSE file systems.
func retry(fn func() error) error {
	for {
		if err := fn(); err != unix.EINTR {
			return err
		}
	}
}

func openAt(d dirHandle, name string, flags int, perm uint32) (*os.File, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(d.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, perm)
		return err
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openTarget opens the folder where a tree goes; there, symlinks are the caller's choice.
func openTarget(path string) (dirHandle, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
}

// openFolder opens a folder in d.
func openFolder(d dirHandle, name string) (dirHandle, error) {
	return openAt(d, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// createFile makes a file that was not there, for its owner alone.
func createFile(d dirHandle, name string) (*os.File, error) {
	return openAt(d, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
}

// openFile opens a file in d for reading, and perhaps for writing. Something else in its place neither blocks nor is changed by that.
func openFile(d dirHandle, name string, write bool) (*os.File, error) {
	flags := unix.O_RDONLY
	if write {
		flags = unix.O_RDWR
	}
	flags |= unix.O_NONBLOCK | unix.O_NOCTTY
	f, err := openAt(d, name, flags|noatime, 0)
	if err == unix.EPERM && noatime != 0 { // only the owner may leave the time of access alone
		f, err = openAt(d, name, flags, 0)
	}
	return f, err
}

func lstat(d dirHandle, name string) (stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return newStat(&st), err
}

func fstat(f *os.File) (stat, error) {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstat(int(f.Fd()), &st) })
	return newStat(&st), err
}

func newStat(st *unix.Stat_t) stat {
	s := stat{
		mode: uint32(st.Mode) & 0o7777, uid: st.Uid, gid: st.Gid, size: st.Size, modTime: st.Mtim.Nano(),
		id: identity{uint64(st.Dev), uint64(st.Ino)}, links: uint64(st.Nlink),
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		s.typ = tree.File
	case unix.S_IFDIR:
		s.typ = tree.Directory
	case unix.S_IFLNK:
		s.typ = tree.Symlink
	case unix.S_IFIFO:
		s.typ = tree.FIFO
	case unix.S_IFCHR:
		s.typ = tree.CharDevice
	case unix.S_IFBLK:
		s.typ = tree.BlockDevice
	}
	return s
}

func folderStat(d dirHandle) (stat, error) { return fstat(d) }

func makeFolder(d dirHandle, name string) error {
	return retry(func() error { return unix.Mkdirat(int(d.Fd()), name, 0o700) })
}

func makeSymlink(target string, d dirHandle, name string) error {
	return retry(func() error { return unix.Symlinkat(target, int(d.Fd()), name) })
}

func readSymlink(d dirHandle, name string) (string, error) {
	buf := make([]byte, 8<<10) // systems have 4 KiB
	n := 0
	err := retry(func() (err error) {
		n, err = unix.Readlinkat(int(d.Fd()), name, buf)
		return err
	})
	return string(buf[:max(n, 0)]), err
}

// makeLink gives what is called name in d a second name.
func makeLink(d dirHandle, name string, to dirHandle, toName string) error {
	return retry(func() error { return unix.Linkat(int(d.Fd()), name, int(to.Fd()), toName, 0) })
}

// makeSpecial makes a fifo or a device.
func makeSpecial(d dirHandle, n *tree.Node) error {
	mode := uint32(unix.S_IFIFO)
	switch n.Type {
	case tree.CharDevice:
		mode = unix.S_IFCHR
	case tree.BlockDevice:
		mode = unix.S_IFBLK
	}
	return retry(func() error { return mknodat(int(d.Fd()), n.Name, mode|0o600, n.Rdev) })
}

func removeFile(d dirHandle, name string) error {
	return retry(func() error { return unix.Unlinkat(int(d.Fd()), name, 0) })
}

func removeFolder(d dirHandle, name string) error {
	return retry(func() error { return unix.Unlinkat(int(d.Fd()), name, unix.AT_REMOVEDIR) })
}

// listFolder returns the names in d.
func listFolder(d dirHandle) ([]string, error) {
	f, err := openAt(d, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0) // a position of its own
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

// isRoot reports whether this process may do what only root may.
func isRoot() bool { return os.Geteuid() == 0 }

func isDenied(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

// isExecuting reports that a file cannot be written because a process runs it.
func isExecuting(err error) bool { return errors.Is(err, unix.ETXTBSY) }

func isNotDir(err error) bool {
	return errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK)
}
func isNotEmpty(err error) bool { return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) }

// isTooMany reports that something cannot have another name: because it has too many, or because it lies on another file system.
func isTooMany(err error) bool {
	return errors.Is(err, unix.EMLINK) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EPERM)
}
func isReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }

// entry is something in the target whose attributes are set: open, or by its name in an open folder.
type entry struct {
	dir  dirHandle
	name string
	file *os.File // may be nil
	path string   // followed instead of the name, if it is not empty
}

// keep leaves an id of an owner as it is.
const keep = -1

func (e *entry) chown(uid, gid int) error {
	return retry(func() error {
		if e.file != nil {
			return unix.Fchown(int(e.file.Fd()), uid, gid)
		}
		if e.path != "" {
			return unix.Chown(e.path, uid, gid)
		}
		return unix.Fchownat(int(e.dir.Fd()), e.name, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	})
}

func (e *entry) chmod(mode uint32) error {
	return retry(func() error {
		if e.file != nil {
			return unix.Fchmod(int(e.file.Fd()), mode)
		}
		if e.path != "" {
			return unix.Chmod(e.path, mode)
		}
		return chmodAt(e.dir, e.name, mode)
	})
}

func (e *entry) setTimes(access, modified int64) error {
	ts := [2]unix.Timespec{unix.NsecToTimespec(access), unix.NsecToTimespec(modified)}
	return retry(func() error {
		if e.file != nil && futimensWorks {
			return futimens(int(e.file.Fd()), &ts)
		}
		if e.path != "" {
			return unix.UtimesNanoAt(unix.AT_FDCWD, e.path, ts[:], 0)
		}
		return unix.UtimesNanoAt(int(e.dir.Fd()), e.name, ts[:], unix.AT_SYMLINK_NOFOLLOW)
	})
}
