package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// WalkFunc is called by Walk for each entry, with a path that starts below the root. If err is not nil, a part of the directory
// n, or of the root if n is nil, could not be read; err is an *Error, and entries of the directory may have been seen before.
//
// It returns nil to go on, fs.SkipDir to leave out the contents of the directory n (or what is left of the directory that n is
// in, if n is not one, or if err is not nil), fs.SkipAll to end the walk without an error, or an error to end it with.
type WalkFunc func(path string, n *Node, err error) error

// Walk calls fn for all entries below root, each directory before its contents, in the order of the bytes of names. It returns
// the error of fn or of ctx.
func Walk(ctx context.Context, l reftree.Loader, root reftree.Pair, fn WalkFunc) error {
	w := walker{loader: l, fn: fn}
	err := w.dir(ctx, "", nil, root, 1)
	if err == fs.SkipAll || err == fs.SkipDir {
		return nil
	}
	return err
}

type walker struct {
	loader reftree.Loader
	fn     WalkFunc
}

func (w *walker) dir(ctx context.Context, path string, dir *Node, pair reftree.Pair, depth int) error {
	if tooDeep(path, depth) {
		return w.fn(path, dir, &Error{Path: path, Err: ErrTooDeep})
	}
	for n, err := range OpenDir(w.loader, pair).Entries(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if err := w.fn(path, dir, &Error{Path: path, Err: err}); err != nil {
				return err
			}
			continue
		}
		if err := w.entry(ctx, join(path, n.Name), n, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry returns fs.SkipDir if the directory that n is in is to be left.
func (w *walker) entry(ctx context.Context, path string, n *Node, depth int) error {
	err := w.fn(path, n, nil)
	if n.Type != Directory {
		return err
	}
	if err == nil {
		err = w.dir(ctx, path, n, n.Dir, depth+1)
	}
	if err == fs.SkipDir {
		return nil
	}
	return err
}

// Resolve returns the entry at path below root; superfluous slashes are ignored, and symlinks are not followed. The empty path
// gives a Node of type Directory without a name for the root itself. An error is an *Error with the path up to where it happened;
// it wraps fs.ErrNotExist if there is no such entry, and ErrNotDirectory if the path goes on after something that is none.
func Resolve(ctx context.Context, l reftree.Loader, root reftree.Pair, path string) (*Node, error) {
	n := &Node{Type: Directory, Dir: root}
	at := ""
	for name := range strings.SplitSeq(path, "/") {
		if name == "" {
			continue
		}
		if n.Type != Directory {
			return nil, &Error{Path: at, Err: ErrNotDirectory}
		}
		next, err := OpenDir(l, n.Dir).Lookup(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{Path: join(at, name), Err: fs.ErrNotExist}
		}
		if err != nil {
			return nil, &Error{Path: at, Err: fmt.Errorf("looking for %.100q: %w", name, err)}
		}
		n, at = next, join(at, name)
	}
	return n, nil
}
