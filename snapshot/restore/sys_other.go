//go:build !linux && !darwin && !freebsd

package restore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// dirHandle is an open folder, which nothing reached through it leaves.
type dirHandle = *os.Root

// forbiddenInNames are characters that mean something in names of this system.
const forbiddenInNames = `\/:`

func isLocal(name string) bool { return filepath.IsLocal(name) }

func openTarget(path string) (dirHandle, error) { return os.OpenRoot(path) }

// openFolder opens a folder in d, and no symlink to one.
func openFolder(d dirHandle, name string) (dirHandle, error) {
	info, err := d.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, syscall.ENOTDIR
	}
	return d.OpenRoot(name)
}

func createFile(d dirHandle, name string) (*os.File, error) {
	return d.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func openFile(d dirHandle, name string, write bool) (*os.File, error) {
	info, err := d.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrReplaced
	}
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR
	}
	return d.OpenFile(name, flags, 0)
}

func lstat(d dirHandle, name string) (stat, error) {
	info, err := d.Lstat(name)
	if err != nil {
		return stat{}, err
	}
	return newStat(info), nil
}

func fstat(f *os.File) (stat, error) {
	info, err := f.Stat()
	if err != nil {
		return stat{}, err
	}
	return newStat(info), nil
}

func folderStat(d dirHandle) (stat, error) { return lstat(d, ".") }

func newStat(info fs.FileInfo) stat {
	s := stat{mode: uint32(info.Mode().Perm()), size: info.Size(), modTime: info.ModTime().UnixNano(), links: 1}
	switch info.Mode().Type() {
	case 0:
		s.typ = tree.File
	case fs.ModeDir:
		s.typ = tree.Directory
	case fs.ModeSymlink:
		s.typ = tree.Symlink
	case fs.ModeNamedPipe:
		s.typ = tree.FIFO
	}
	return s
}

func makeFolder(d dirHandle, name string) error                 { return d.Mkdir(name, 0o700) }
func makeSymlink(target string, d dirHandle, name string) error { return d.Symlink(target, name) }
func readSymlink(d dirHandle, name string) (string, error)      { return d.Readlink(name) }

// makeLink fails: two folders that are open apart cannot be linked between.
func makeLink(dirHandle, string, dirHandle, string) error { return errors.ErrUnsupported }
func makeSpecial(dirHandle, *tree.Node) error             { return errors.ErrUnsupported }
func removeFile(d dirHandle, name string) error           { return d.Remove(name) }
func removeFolder(d dirHandle, name string) error         { return d.Remove(name) }

func listFolder(d dirHandle) ([]string, error) {
	f, err := d.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func isRoot() bool              { return false }
func isDenied(err error) bool   { return errors.Is(err, fs.ErrPermission) }
func isExecuting(error) bool    { return false }
func isNotDir(err error) bool   { return errors.Is(err, syscall.ENOTDIR) }
func isNotEmpty(err error) bool { return errors.Is(err, syscall.ENOTEMPTY) }
func isReadOnly(error) bool     { return false }

// entry is something in the target whose attributes are set: by its name in an open folder.
type entry struct {
	dir  dirHandle
	name string
	file *os.File
	path string // of things held, none here
}

const keep = -1

func (e *entry) chown(int, int) error { return errors.ErrUnsupported }

func (e *entry) chmod(mode uint32) error { return e.dir.Chmod(e.name, fs.FileMode(mode&0o777)) }

func (e *entry) setTimes(access, modified int64) error {
	return e.dir.Chtimes(e.name, time.Unix(0, access), time.Unix(0, modified))
}

func (e *entry) xattrPath() string { return "" }

func ownXattr(string) bool        { return false }
func privilegedXattr(string) bool { return false }

func mountOf(dirHandle) uint64 { return 0 }

// syncTree does nothing: this system has no such call.
func syncTree(dirHandle) error { return nil }

func dropFileCache(*os.File) {}

// folderEntry is a folder whose attributes are set, called name in d.
func folderEntry(d, _ dirHandle, name string) *entry { return &entry{dir: d, name: name} }

func isTooMany(error) bool { return false }

// holding calls fn with something in d that is not opened, by its name.
func holding(d dirHandle, n *tree.Node, fn func(*entry)) error {
	fn(&entry{dir: d, name: n.Name})
	return nil
}
