//go:build darwin || freebsd

package restore

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

const (
	noatime       = 0
	futimensWorks = false
)

func futimens(int, *[2]unix.Timespec) error { return unix.ENOSYS }

func chmodAt(d dirHandle, name string, mode uint32) error {
	return unix.Fchmodat(int(d.Fd()), name, mode, unix.AT_SYMLINK_NOFOLLOW)
}

func (e *entry) xattrPath() string { return "" }

func ownXattr(string) bool        { return false }
func privilegedXattr(string) bool { return false }

// mountOf tells file systems apart.
func mountOf(d dirHandle) uint64 {
	st, _ := fstat(d)
	return st.id.device
}

// syncTree makes everything durable that was written on this machine.
func syncTree(dirHandle) error { return unix.Sync() }

func dropFileCache(*os.File) {}

// folderEntry is a folder whose attributes are set, open as own and called name in d.
func folderEntry(d, own dirHandle, name string) *entry { return &entry{dir: d, name: name, file: own} }

// holding calls fn with something in d that is not opened, by its name.
func holding(d dirHandle, n *tree.Node, fn func(*entry)) error {
	fn(&entry{dir: d, name: n.Name})
	return nil
}
