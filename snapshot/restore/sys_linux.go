package restore

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

const (
	noatime       = unix.O_NOATIME
	futimensWorks = true
)

func mknodat(fd int, name string, mode uint32, rdev uint64) error {
	return unix.Mknodat(fd, name, mode, int(unix.Mkdev(uint32(rdev>>32), uint32(rdev))))
}

// chmodAt sets the permissions of something that must not be opened. It is never a symlink; should it be by now, nothing happens to
// where that leads.
func chmodAt(d dirHandle, name string, mode uint32) error {
	err := unix.Fchmodat(int(d.Fd()), name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if err != unix.EOPNOTSUPP {
		return err
	}
	f, err := openAt(d, name, unix.O_PATH, 0) // kernels before 6.6
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), mode)
}

// xattrPath is a path of an entry for calls on extended attributes, which take no descriptor of a folder.
func (e *entry) xattrPath() string {
	if e.path != "" {
		return e.path
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", e.dir.Fd(), e.name)
}

// ownXattr reports whether an extended attribute belongs to what is restored, so that it is removed if the snapshot does not have it. Labels of the
// system's security modules do not.
func ownXattr(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "system.posix_acl_") ||
		name == "security.capability"
}

// privilegedXattr reports whether only root may set the attribute.
func privilegedXattr(name string) bool {
	return strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "trusted.")
}

// holding calls fn with a symlink, fifo or device in d, held so that whoever exchanges it meanwhile changes nothing about what fn gets. It
// is not opened for that.
func holding(d dirHandle, n *tree.Node, fn func(*entry)) error {
	f, err := openAt(d, n.Name, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := fstat(f)
	if err == nil && st.typ != n.Type {
		err = ErrReplaced
	}
	if err != nil {
		return err
	}
	e := entry{dir: d, name: n.Name, path: fmt.Sprintf("/proc/self/fd/%d", f.Fd())}
	if _, err := os.Lstat(e.path); err != nil {
		e.path = "" // no /proc here
	}
	fn(&e)
	return nil
}

// mountOf tells mounts apart, those of one file system too.
func mountOf(d dirHandle) uint64 {
	var st unix.Statx_t
	err := retry(func() error { return unix.Statx(int(d.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st) })
	if err != nil || st.Mask&unix.STATX_MNT_ID == 0 { // kernels before 5.8
		return uint64(st.Dev_major)<<32 | uint64(st.Dev_minor)
	}
	return st.Mnt_id
}

// syncTree makes everything durable that is on the file system of d.
func syncTree(d dirHandle) error { return unix.Syncfs(int(d.Fd())) }

func dropFileCache(f *os.File) { dropCache(f) }

// folderEntry is a folder whose attributes are set, open as own and called name in d.
func folderEntry(d, own dirHandle, name string) *entry { return &entry{dir: d, name: name, file: own} }
