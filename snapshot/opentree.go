package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// Tree is a snapshot as a tree of names. Names and paths are raw bytes, whatever their encoding; a path is names joined by "/" below
// the root, and superfluous slashes in it are ignored. Symlinks are entries like any others and are not followed; the view that
// [Tree.FS] gives follows them.
//
// Nothing is held open: directories and files are read when they are asked for. A Tree is safe for concurrent use.
type Tree struct {
	ctx      context.Context
	repo     *repo.Repository
	manifest *Manifest
}

// OpenTree opens a snapshot as a tree. ctx bounds every read from it, also of its files. Errors wrap [repo.ErrNotFound] or those
// of the repository.
func OpenTree(ctx context.Context, r *repo.Repository, id repo.ID) (*Tree, error) {
	m, err := Find(ctx, r, id.String(), nil)
	if err != nil {
		return nil, err
	}
	return &Tree{ctx: ctx, repo: r, manifest: m}, nil
}

// WithContext returns the same tree with another context, such as that of one request.
func (t *Tree) WithContext(ctx context.Context) *Tree {
	c := *t
	c.ctx = ctx
	return &c
}

// Manifest describes the snapshot. It must not be changed.
func (t *Tree) Manifest() *Manifest { return t.manifest }

// root returns the node of the root, which is not stored.
func (t *Tree) root() *tree.Node {
	return &tree.Node{Type: tree.Directory, Mode: 0o755, ModTime: t.manifest.Time.UnixNano(), Links: 1, Dir: t.manifest.Root}
}

// Lookup returns the node at a path. The empty path is the root, which has no name, and the time of the snapshot.
//
// An error is a [*tree.Error] for errors.As; it wraps [io/fs.ErrNotExist] if there is no such entry, and [tree.ErrNotDirectory] if the
// path goes on after something that is none.
func (t *Tree) Lookup(path string) (*tree.Node, error) {
	if strings.Trim(path, "/") == "" {
		return t.root(), nil
	}
	n, err := tree.Resolve(t.ctx, t.repo, t.manifest.Root, path)
	if err != nil {
		return nil, t.wrap(err)
	}
	return n, nil
}

// lookupDir returns the node of the directory at a path.
func (t *Tree) lookupDir(path string) (*tree.Node, error) {
	n, err := t.Lookup(path)
	if err == nil && n.Type != tree.Directory {
		return nil, t.wrap(&tree.Error{Path: cleanPath(path), Err: tree.ErrNotDirectory})
	}
	return n, err
}

// Entries returns the entries of the directory at a path, in the order of the bytes of their names. Memory does not depend on how many
// they are. A part that cannot be read gives an error, after which the sequence goes on with what can be.
func (t *Tree) Entries(path string) iter.Seq2[*tree.Node, error] {
	return func(yield func(*tree.Node, error) bool) {
		dir, err := t.lookupDir(path)
		if err != nil {
			yield(nil, err)
			return
		}
		for n, err := range t.entries(dir) {
			if err != nil {
				err = t.wrap(&tree.Error{Path: cleanPath(path), Err: err})
			}
			if !yield(n, err) {
				return
			}
		}
	}
}

func (t *Tree) entries(dir *tree.Node) iter.Seq2[*tree.Node, error] {
	return tree.OpenDir(t.repo, dir.Dir).Entries(t.ctx)
}

// Walk calls fn for everything below the directory at a path, each directory before its contents; see [tree.WalkFunc] for what fn is
// given and may return. The paths that fn gets start at the root of the snapshot: [Tree.Open] takes them.
func (t *Tree) Walk(path string, fn tree.WalkFunc) error {
	dir, err := t.lookupDir(path)
	if err != nil {
		return err
	}
	if path = cleanPath(path); path == "" {
		return tree.Walk(t.ctx, t.repo, dir.Dir, fn)
	}
	return tree.Walk(t.ctx, t.repo, dir.Dir, func(p string, n *tree.Node, err error) error {
		if n == nil {
			n = dir
		}
		var e *tree.Error
		if errors.As(err, &e) {
			err = &tree.Error{Path: below(path, e.Path), Err: e.Err}
		}
		return fn(below(path, p), n, err)
	})
}

// Open opens the file or image at a path. Errors are those of [Tree.Lookup], or wrap [ErrNotFile].
func (t *Tree) Open(path string) (*Image, error) {
	n, err := t.Lookup(path)
	if err != nil {
		return nil, err
	}
	if !n.Type.HasContent() {
		return nil, t.wrap(&tree.Error{Path: cleanPath(path), Err: fmt.Errorf("it is a %s: %w", n.Type, ErrNotFile)})
	}
	return NewImage(t.ctx, t.repo, n), nil
}

// Xattrs returns the extended attributes of a node of the tree, sorted by name: at most [tree.MaxXattrs] bytes. Errors are those of the
// repository, or wrap reftree.ErrFormat.
func (t *Tree) Xattrs(n *tree.Node) ([]tree.Xattr, error) {
	list, err := tree.LoadXattrs(t.ctx, t.repo, n)
	if err != nil {
		return nil, t.wrap(err)
	}
	return list, nil
}

// wrap names the snapshot.
func (t *Tree) wrap(err error) error { return fmt.Errorf("snapshot %s: %w", t.manifest.ShortID(), err) }

// cleanPath leaves out superfluous slashes.
func cleanPath(path string) string {
	var names []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" {
			names = append(names, name)
		}
	}
	return strings.Join(names, "/")
}

// below appends a path to that of a directory; either may be empty.
func below(dir, path string) string {
	if dir == "" || path == "" {
		return dir + path
	}
	return dir + "/" + path
}
