package tree

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"sort"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Dir reads one directory. It holds nothing but what it was made of, and is safe for concurrent use.
type Dir struct {
	loader reftree.Loader
	pair   reftree.Pair
}

// OpenDir returns a Dir of the directory p, whose nodes are read with l. Nothing is read yet.
func OpenDir(l reftree.Loader, p reftree.Pair) *Dir { return &Dir{loader: l, pair: p} }

func (d *Dir) root() expected { return expected{ref: d.pair.Meta, root: true} }

// Len returns how many entries the directory has.
func (d *Dir) Len(ctx context.Context) (int64, error) {
	e := d.root()
	n, err := loadDirNode(ctx, d.loader, &e)
	if err != nil {
		return 0, err
	}
	return int64(n.entries), nil
}

// Entries returns the entries in the order of the bytes of their names. A part that cannot be read gives an error, after which the
// sequence goes on with what can be; the caller that wants all or nothing stops there. After an error of ctx it ends.
// Errors are those of the Loader, or wrap reftree.ErrFormat. Memory is bounded by one node for each level.
func (d *Dir) Entries(ctx context.Context) iter.Seq2[*Node, error] { return d.EntriesFrom(ctx, "") }

// EntriesFrom is Entries without the entries whose names come before name. It reads O(log n) nodes to begin with.
func (d *Dir) EntriesFrom(ctx context.Context, name string) iter.Seq2[*Node, error] {
	return func(yield func(*Node, error) bool) {
		e := d.root()
		w := entryWalk{loader: d.loader, from: name, yield: yield}
		w.node(ctx, &e)
	}
}

type entryWalk struct {
	loader reftree.Loader
	from   string
	yield  func(*Node, error) bool
}

// node yields the entries of a node and reports whether to go on.
func (w *entryWalk) node(ctx context.Context, e *expected) bool {
	n, err := loadDirNode(ctx, w.loader, e)
	if err != nil {
		return w.yield(nil, err) && ctx.Err() == nil
	}
	for i := n.search(w.from); i < n.len(); i++ {
		if n.level == 0 {
			if !w.yield(n.nodes[i], nil) {
				return false
			}
			continue
		}
		sub := e.below(n, i)
		if !w.node(ctx, &sub) {
			return false
		}
	}
	return true
}

// search returns the place of the first entry whose (last) name does not come before name.
func (n *dirNode) search(name string) int {
	return sort.Search(n.len(), func(i int) bool { return n.name(i) >= name })
}

// Lookup returns the entry of that name. An error is fs.ErrNotExist for errors.Is if, and only if, there is none; others are as in
// Entries. It reads O(log n) nodes.
func (d *Dir) Lookup(ctx context.Context, name string) (*Node, error) {
	e := d.root()
	for {
		n, err := loadDirNode(ctx, d.loader, &e)
		if err != nil {
			return nil, err
		}
		i := n.search(name)
		if i == n.len() || n.level == 0 && n.nodes[i].Name != name {
			return nil, fmt.Errorf("%.100q: %w", name, fs.ErrNotExist)
		}
		if n.level == 0 {
			return n.nodes[i], nil
		}
		e = e.below(n, i)
	}
}
