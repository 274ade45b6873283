//go:build !linux && !darwin && !freebsd

package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	separator  = filepath.Separator
	hasOwners  = false
	hasDevices = false

	seekData = -1
	seekHole = -1
)

// Errors that only the systems with descriptors for folders can give.
var (
	errNotDir = errors.New("not a directory")
	errLoop   = errors.New("is a symlink")
	errStale  = errors.New("stale")
)

func isNoData(error) bool { return false }
func isGone(error) bool   { return false }

// location is a folder that names are relative to.
type location struct{ path string }

func cwd() location { return location{} }

func (l location) below(name string) string {
	if l.path == "" {
		return name
	}
	return l.path + string(separator) + name
}

// pool has nothing to keep: folders are reached by their paths.
type pool struct{ max int }

// handle tells an open folder from a closed one, and the folder it was from one that took its place.
type handle struct {
	mu     sync.Mutex
	closed bool
	info   fs.FileInfo
}

func (d *Dir) open(loc location) error {
	info, err := os.Lstat(loc.below(d.name))
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return ErrReplaced
	}
	d.id.typ, d.handle.info = TypeDirectory, info
	return nil
}

// at calls fn with the path of the folder, and notices afterwards if it led to another folder.
func (d *Dir) at(fn func(location) error) error {
	d.handle.mu.Lock()
	closed := d.handle.closed
	d.handle.mu.Unlock()
	if closed {
		return fs.ErrClosed
	}
	err := fn(location{path: d.path})
	if now, serr := os.Lstat(d.path); serr == nil && !os.SameFile(now, d.handle.info) {
		return ErrReplaced
	}
	return err
}

// Close gives the folder up. It returns fs.ErrClosed if it was closed already, and no other error.
func (d *Dir) Close() error {
	d.handle.mu.Lock()
	defer d.handle.mu.Unlock()
	if d.handle.closed {
		return fs.ErrClosed
	}
	d.handle.closed = true
	return nil
}

func sysOpen(loc location, name string) (*os.File, error) {
	info, err := os.Lstat(loc.below(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, ErrReplaced
	}
	return os.Open(loc.below(name))
}

func sysStat(loc location, name string, follow bool, e *Entry) error {
	path, stat := loc.below(name), os.Lstat
	if follow {
		stat = os.Stat
	}
	info, err := stat(path)
	if err != nil {
		return err
	}
	if err := e.fillInfo(info); err != nil {
		return err
	}
	if e.Type == TypeSymlink {
		e.Target, err = os.Readlink(path)
	}
	return err
}

func sysFstat(f *os.File, e *Entry) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return e.fillInfo(info)
}

// fillInfo sets what every system knows.
func (e *Entry) fillInfo(info fs.FileInfo) error {
	m := info.Mode()
	switch m.Type() {
	case 0:
		e.Type, e.Size = TypeFile, info.Size()
	case fs.ModeDir:
		e.Type = TypeDirectory
	case fs.ModeSymlink:
		e.Type = TypeSymlink
	case fs.ModeNamedPipe:
		e.Type = TypeFifo
	case fs.ModeSocket:
		return errSocket
	default:
		return ErrType
	}
	e.Mode = uint32(m.Perm())
	e.MTime = info.ModTime().UnixNano()
	e.Links = 1
	return nil
}

func sysReadNames(ctx context.Context, loc location, _ *sync.Pool, add func(name []byte)) error {
	f, err := os.Open(loc.path)
	if err != nil {
		return err
	}
	return readNames(ctx, f, add)
}
