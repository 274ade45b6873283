package source

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
)

// TreeOptions change how a Tree reads. A nil *TreeOptions means the defaults.
type TreeOptions struct {
	// Filter says what to leave out of folders. Nil leaves out nothing.
	Filter *Filter
	// NoXattrs leaves out extended attributes, for those who only count.
	NoXattrs bool
	// MaxOpen is how many folders are kept open at most, besides those that are being read at the moment and the ones
	// a walk starts from: 128 if zero, at least 2. Folders above that are opened again when they are needed.
	MaxOpen int
}

const defaultMaxOpen = 128

// Tree reads folders and metadata. It holds what the folders of one walk share: the filter, the names of owners, and
// the folders kept open. It needs no closing; its folders do.
type Tree struct {
	filter *Filter
	xattrs bool
	owners owners
	pool   pool
	bufs   sync.Pool // of *[]byte, for reading folders
}

// NewTree returns a Tree for one walk, or several at once.
func NewTree(o *TreeOptions) (*Tree, error) {
	var opt TreeOptions
	if o != nil {
		opt = *o
	}
	if opt.MaxOpen == 0 {
		opt.MaxOpen = defaultMaxOpen
	}
	if opt.MaxOpen < 2 {
		return nil, fmt.Errorf("tree: at least 2 folders must be open, not %d", opt.MaxOpen)
	}
	t := &Tree{filter: opt.Filter, xattrs: !opt.NoXattrs}
	t.pool.max = opt.MaxOpen
	t.bufs.New = func() any { b := make([]byte, 32<<10); return &b }
	return t, nil
}

// Lstat returns the metadata of path, which is made absolute; of a symlink, not of what it points to. Errors are
// *EntryError or those of the context. The filter is not asked.
func (t *Tree) Lstat(ctx context.Context, path string) (*Entry, error) {
	return t.stat(ctx, path, false)
}

// Stat is Lstat for the file that path points to in the end. Name is still the last component of path.
func (t *Tree) Stat(ctx context.Context, path string) (*Entry, error) { return t.stat(ctx, path, true) }

func (t *Tree) stat(ctx context.Context, path string, follow bool) (*Entry, error) {
	abs, err := absolute(ctx, path)
	if err != nil {
		return nil, err
	}
	e, err := t.look(cwd(), abs, follow)
	if err != nil {
		return nil, entryError("lstat", abs, err)
	}
	e.Name = filepath.Base(abs)
	return e, nil
}

// look reads all metadata of name at loc, with attributes and the names of owners.
func (t *Tree) look(loc location, name string, follow bool) (*Entry, error) {
	e := &Entry{Name: name}
	if err := sysStat(loc, name, follow, e); err != nil {
		return nil, err
	}
	if hasOwners {
		e.User, e.Group = t.owners.user(e.UID), t.owners.group(e.GID)
	}
	if t.xattrs {
		e.Xattrs, e.Warning = readXattrs(loc, name, follow)
	}
	return e, nil
}

// OpenFile opens the regular file path, which is made absolute, and which must still be the one that e describes; if
// e is nil it may be any. A symlink is not followed in the last component. See Dir.OpenFile for the rest.
func (t *Tree) OpenFile(ctx context.Context, path string, e *Entry) (*File, error) {
	abs, err := absolute(ctx, path)
	if err != nil {
		return nil, err
	}
	f, err := openFile(cwd(), abs, abs, e)
	return f, entryError("open", abs, err)
}

// OpenDir opens the folder path, which is made absolute, to read what is in it. A symlink is not followed in the last
// component. It succeeds for folders that may not be read; Names tells.
func (t *Tree) OpenDir(ctx context.Context, path string) (*Dir, error) {
	abs, err := absolute(ctx, path)
	if err != nil {
		return nil, err
	}
	d := &Dir{tree: t, name: abs, path: abs}
	if err := d.open(cwd()); err != nil {
		return nil, entryError("open", abs, err)
	}
	d.rootDevice = d.id.device
	d.cursors = t.filter.at(abs)
	return d, nil
}

func absolute(ctx context.Context, path string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if path == "" {
		return "", entryError("open", path, errors.New("empty path"))
	}
	abs, err := filepath.Abs(path)
	return abs, entryError("open", path, err)
}
