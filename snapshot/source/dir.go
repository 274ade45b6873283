package source

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/holdfast-backup/holdfast/internal/pattern"
)

// Dir is an open folder. It must be closed; folders opened from it stay usable after that.
type Dir struct {
	tree   *Tree
	parent *Dir   // nil for the folder a walk starts from
	name   string // in parent, or the absolute path
	path   string
	id     identity
	handle handle // guarded by the pool

	cursors    []*pattern.Cursor
	rootDevice uint64
	barred     bool // on another file system: seems empty
	tagOnce    sync.Once
	tags       []string // if not nil, only these names are kept
}

// identity is what tells a file from every other one.
type identity struct {
	device, inode uint64
	typ           Type
}

func (e *Entry) identity() identity { return identity{e.Device, e.Inode, e.Type} }

// Path returns the absolute path of the folder when it was opened. It may be longer than the system allows.
func (d *Dir) Path() string { return d.path }

func (d *Dir) join(name string) string {
	if d.path[len(d.path)-1] == separator {
		return d.path + name
	}
	return d.path + string(separator) + name
}

// Names returns the names in the folder that the filter keeps, sorted by their bytes. The names are never nil: with an
// error (an *EntryError, or the context's) they are those that could be read before it.
func (d *Dir) Names(ctx context.Context) (*Names, error) {
	n := &Names{}
	if d.barred {
		return n, nil
	}
	d.tagOnce.Do(func() { d.tags = d.findTags() })
	var bad error
	err := d.at(func(loc location) error {
		return sysReadNames(ctx, loc, &d.tree.bufs, func(name []byte) {
			if err := checkName(name); err != nil {
				bad = err
			} else if d.keepName(name) {
				n.add(name)
			}
		})
	})
	n.finish()
	return n, entryError("readdir", d.path, errors.Join(err, bad))
}

var errName = errors.New("impossible file name")

// checkName refuses what no file system should return, and what must never reach a path.
func checkName[T []byte | string](name T) error {
	if len(name) == 0 || len(name) >= maxName {
		return errName
	}
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return errName
		}
	}
	return nil
}

// Lstat returns the metadata of the entry name, which must not contain a separator. Errors are *EntryError, or those of
// the context. The filter is not asked.
func (d *Dir) Lstat(ctx context.Context, name string) (*Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, entryError("lstat", d.join(name), err)
	}
	var e *Entry
	err := d.at(func(loc location) (err error) {
		e, err = d.tree.look(loc, name, false)
		return err
	})
	if err != nil {
		return nil, entryError("lstat", d.join(name), err)
	}
	return e, nil
}

// Entries yields the metadata of what is in the folder and the filter keeps, in the order of the bytes of the names.
// What could not be read is yielded as a nil entry and an *EntryError, and a folder that could be read only in part
// as the same in the end; an error of the context ends the iteration. To spread the work, use Names, Lstat and Keep.
func (d *Dir) Entries(ctx context.Context) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		names, nameErr := d.Names(ctx)
		for name := range names.All() {
			e, err := d.Lstat(ctx, name)
			if err == nil && !d.Keep(e) {
				continue
			}
			if !yield(e, err) || isContext(err) {
				return
			}
		}
		if nameErr != nil {
			yield(nil, nameErr)
		}
	}
}

// OpenDir opens the folder e of this folder, which must still be a folder and, unless something was just mounted on it,
// the same one. With a filter that stays on one file system, a folder on another one opens as an empty one.
func (d *Dir) OpenDir(ctx context.Context, e *Entry) (*Dir, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := d.join(e.Name)
	sub := &Dir{tree: d.tree, parent: d, name: e.Name, path: path, rootDevice: d.rootDevice}
	err := d.at(func(loc location) error {
		if err := sub.open(loc); err != nil {
			return err
		}
		if sub.id == e.identity() {
			return nil
		}
		var now Entry // another one since, or an automount: what counts is that the name leads here
		if err := sysStat(loc, e.Name, false, &now); err != nil || sub.id != now.identity() {
			return errors.Join(ErrReplaced, sub.Close())
		}
		return nil
	})
	if err != nil {
		return nil, entryError("open", path, err)
	}
	sub.barred = d.tree.filter.bars(sub.id.device, d.rootDevice)
	sub.cursors = d.enter(e.Name)
	return sub, nil
}

// OpenFile opens the regular file e of this folder for reading. It must be the file that e describes, else the problem
// is Replaced; if it was written to since, e gets the new size and times. Times of access are left alone where the
// system allows that. The file must be closed, and stays usable after the folder is closed.
func (d *Dir) OpenFile(ctx context.Context, e *Entry) (*File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := d.join(e.Name)
	var f *File
	err := d.at(func(loc location) (err error) {
		f, err = openFile(loc, e.Name, path, e)
		return err
	})
	return f, entryError("open", path, err)
}

// ErrSkip is returned by the function of a Walk to stay out of a folder.
var ErrSkip = errors.New("skip this folder")

// Walk calls fn for everything below d that the filter keeps: a folder before what is in it, names in the order of
// their bytes. dir is the folder that the entry e is in, open only during the call. If err is not nil, e is nil and err
// an *EntryError, and fn decides whether to go on. The walk ends with the first error that fn returns, except ErrSkip.
func Walk(ctx context.Context, d *Dir, fn func(dir *Dir, e *Entry, err error) error) error {
	for e, err := range d.Entries(ctx) {
		if isContext(err) {
			return err
		}
		err = fn(d, e, err)
		if err == nil && e != nil && e.Type == TypeDirectory {
			err = walkInto(ctx, d, e, fn)
		}
		if err != nil && !errors.Is(err, ErrSkip) {
			return err
		}
	}
	return nil
}

func walkInto(ctx context.Context, d *Dir, e *Entry, fn func(*Dir, *Entry, error) error) error {
	sub, err := d.OpenDir(ctx, e)
	if isContext(err) {
		return err
	}
	if err != nil {
		return fn(d, nil, err)
	}
	err = Walk(ctx, sub, fn)
	if cerr := sub.Close(); err == nil {
		err = cerr
	}
	return err
}
