// Package local keeps a store's objects as files in a folder of a local or mounted file system.
//
// The object "packs/ab/cd" is the file packs/ab/cd below the folder. Data goes to a file in tmp/ first, is flushed to
// disk, and then gets its name in one step: by link(2) or a rename that never replaces with PutOptions.IfAbsent, by
// rename(2) otherwise. The folder that got the name, and the entries of all folders above it, are flushed before Put
// returns. Folders have permissions 0700, files 0600. Folders left empty by Delete are removed, except the first level.
//
// Only regular files whose paths are valid keys are objects; whatever else lies in the folder is left alone. Symbolic
// links may lead to the folder itself, but are never followed out of it. The folder may be on a read-only file system,
// or belong to somebody else, as long as it is only read.
//
// Errors name the key, and wrap the system's error (syscall.ENOSPC, syscall.EROFS, syscall.EACCES) with the path.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/internal/fsx"
)

const (
	folderPerm = 0o700
	filePerm   = 0o600

	tmpFolder   = "tmp"   // files being written
	locksFolder = "locks" // files for kernel locks
)

// ErrReadOnly is returned by what would change a store opened with Options.ReadOnly. It is fs.ErrPermission.
var ErrReadOnly = fmt.Errorf("store was opened for reading only: %w", fs.ErrPermission)

// Options are the options of [Open] and [Create]; nil means all fields zero.
type Options struct {
	// ReadOnly refuses everything that would change the folder, with [ErrReadOnly].
	ReadOnly bool
}

// Store is a store in a folder. It implements [backend.Store], [backend.Locker], [backend.Capacity], [backend.Prober]
// and [backend.Locator].
type Store struct {
	path     string // absolute
	readOnly bool
	root     *os.Root // for reading: resolves paths without leaving the folder
	folders  folders  // for writing
	closed   atomic.Bool
	buffers  sync.Pool // of *[]byte, copyStep bytes each

	probing sync.Mutex // guards method
	method  method
}

// Open opens the store in the folder at path, which must exist (fs.ErrNotExist) and be a folder. Unless opts say
// ReadOnly, it removes what crashed writers left in tmp/: files older than 24 hours that nobody is writing. It does not
// fail when it cannot.
func Open(path string, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	s, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("opening folder %s as a store: %w", path, err)
	}
	if !o.ReadOnly {
		s.removeStale()
	}
	return s, nil
}

// Create makes the folder at path and those above it where they are missing, durably, and opens it as [Open] does. A
// folder that is already there is used as it is.
func Create(path string, opts *Options) (*Store, error) {
	if opts != nil && opts.ReadOnly {
		return nil, fmt.Errorf("making folder %s: %w", path, ErrReadOnly)
	}
	if path != "" {
		if err := fsx.MkdirAll(path, folderPerm); err != nil {
			return nil, fmt.Errorf("making folder %s for a store: %w", path, err)
		}
	}
	return Open(path, opts)
}

func open(path string, o Options) (*Store, error) {
	if path == "" {
		return nil, fmt.Errorf("an empty path: %w", fs.ErrInvalid)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	top, err := fsx.OpenDir(abs)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, errors.Join(err, top.Close())
	}
	s := &Store{path: abs, readOnly: o.ReadOnly, root: root, folders: folders{top: top, open: map[string]*folder{}}}
	s.buffers.New = func() any { b := make([]byte, copyStep); return &b }
	return s, nil
}

// Stat implements [backend.Store].
func (s *Store) Stat(ctx context.Context, key string) (backend.Info, error) {
	if err := s.check(ctx, backend.CheckKey(key)); err != nil {
		return backend.Info{}, s.failed("looking for", key, err)
	}
	info, err := s.root.Lstat(filepath.FromSlash(key))
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return backend.Info{}, s.failed("looking for", key, missing(err))
	}
	return backend.Info{Key: key, Size: info.Size()}, nil
}

// Delete implements [backend.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.checkWrite(ctx, backend.CheckKey(key)); err != nil {
		return s.failed("deleting", key, err)
	}
	// A folder has to be told from an object first: what unlink says of one differs between systems.
	info, err := s.root.Lstat(filepath.FromSlash(key))
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err == nil {
		err = s.inFolder(path.Dir(key), func(d *fsx.Dir) error { return d.Remove(path.Base(key)) })
	}
	if err != nil {
		return s.failed("deleting", key, missing(err))
	}
	for dir := path.Dir(key); path.Dir(dir) != "."; dir = path.Dir(dir) {
		if s.inFolder(path.Dir(dir), func(d *fsx.Dir) error { return d.RemoveDir(path.Base(dir)) }) != nil {
			break // not empty, or somebody else was faster
		}
	}
	return nil
}

// inFolder calls use with the folder at dir (slashes between its parts; "." is the top), which must exist.
func (s *Store) inFolder(dir string, use func(*fsx.Dir) error) error {
	if dir == "." {
		return use(s.folders.top)
	}
	return s.inFolder(path.Dir(dir), func(above *fsx.Dir) error {
		d, err := above.Open(path.Base(dir))
		if err != nil {
			return err
		}
		return errors.Join(use(d), d.Close())
	})
}

// Capacity implements [backend.Capacity]: the room that this user has on the file system, and the size of it.
func (s *Store) Capacity(ctx context.Context) (free, total int64, err error) {
	if err := s.check(ctx, nil); err != nil {
		return 0, 0, fmt.Errorf("asking for the room in %s: %w", s.path, err)
	}
	return s.folders.top.Space()
}

// Location implements [backend.Locator]: the folder's absolute path.
func (s *Store) Location() string { return s.path }

// Close implements [backend.Store].
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return errors.Join(s.folders.close(), s.root.Close())
}

func (s *Store) check(ctx context.Context, keyErr error) error {
	if keyErr != nil {
		return keyErr
	}
	if s.closed.Load() {
		return fs.ErrClosed
	}
	return ctx.Err()
}

func (s *Store) checkWrite(ctx context.Context, keyErr error) error {
	if err := s.check(ctx, keyErr); err != nil {
		return err
	}
	if s.readOnly {
		return ErrReadOnly
	}
	return nil
}

// failed adds to err what was being done, to which key and where.
func (s *Store) failed(doing, key string, err error) error {
	return fmt.Errorf("%s %s in %s: %w", doing, key, s.path, err)
}

// missing turns the error of a path that leads through an object into one that is fs.ErrNotExist.
func missing(err error) error {
	if fsx.IsNotDir(err) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
