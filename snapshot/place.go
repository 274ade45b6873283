package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// place is a path in the snapshot: an item, or a folder on the way to items.
type place struct {
	path  string
	item  *Item
	below map[string]*place
}

// planItems arranges items by their paths.
func planItems(items []Item) (*place, error) {
	if len(items) == 0 {
		return nil, fmt.Errorf("%w: no sources were given", ErrNothing)
	}
	root := &place{path: "/", below: map[string]*place{}}
	for i := range items {
		if err := root.add(&items[i]); err != nil {
			return nil, err
		}
	}
	return root, nil
}

func (p *place) add(it *Item) error {
	if !strings.HasPrefix(it.path, "/") {
		return fmt.Errorf("source %q: its place in the snapshot is not an absolute path", it.path)
	}
	if it.changes != nil && it.disk == nil {
		return fmt.Errorf("source %q: only a disk can have a change map", it.path)
	}
	at := p
	for name := range strings.SplitSeq(it.path, "/") {
		if name == "" {
			continue
		}
		if name == "." || name == ".." || strings.Contains(name, "\x00") || len(name) > tree.MaxName {
			return fmt.Errorf("source %q: its path has a name that cannot be stored", it.path)
		}
		if at.item != nil && at.item.tree == nil {
			return fmt.Errorf("source %q lies inside source %q, which is no folder", it.path, at.path)
		}
		next := at.below[name]
		if next == nil {
			next = &place{path: join(at.path, name), below: map[string]*place{}}
			at.below[name] = next
		}
		at = next
	}
	switch {
	case at.item != nil && at.item.tree != nil && it.tree != nil:
		return nil // the same twice
	case at.item != nil:
		return fmt.Errorf("source %q was given twice", it.path)
	case it.tree == nil && (len(at.below) > 0 || at == p):
		return fmt.Errorf("source %q is no folder, and others lie inside it", it.path)
	}
	at.item = it
	return nil
}

// names returns what is below, in the order of the bytes.
func (p *place) names() []string {
	if p == nil {
		return nil
	}
	var names []string
	for n := range p.below {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// placeDir stores an item, or a folder that leads to items: only they are in it. was is what the parent has there, or nil.
func (b *backup) placeDir(ctx context.Context, p *place, was *tree.Node) *pending {
	if p.item != nil {
		return b.item(ctx, p, was)
	}
	f := b.assemble(ctx, p.path, nil)
	f.start(placeNode(ctx, p.path), was)
	old := b.subdir(was)
	for _, name := range p.names() {
		if !f.add(b.placeDir(ctx, p.below[name], b.lookup(ctx, p.path, old, name))) {
			break
		}
	}
	return f.finish()
}

// placeNode describes a folder on the way: as it is on this machine, or as a plain one.
func placeNode(ctx context.Context, path string) *tree.Node {
	t, err := source.NewTree(nil)
	if err == nil {
		if e, err := t.Stat(ctx, filepath.FromSlash(path)); err == nil && e.Type == source.TypeDirectory {
			return newNode(e, false)
		}
	}
	return &tree.Node{Name: base(path), Type: tree.Directory, Mode: 0o755}
}

// item stores one item. was is what the parent has at its path, or nil.
func (b *backup) item(ctx context.Context, p *place, was *tree.Node) *pending {
	var n *pending
	switch it := p.item; {
	case it.stream != nil:
		n = b.stream(ctx, p)
	case it.disk != nil:
		n = b.disk(ctx, p, was)
	case it.refused != nil:
		n = b.left(p.path, it.refused)
	default:
		n = b.files(ctx, p, was)
	}
	n.item, n.was = p.item, was
	return n
}

// settle notes what became of an item; other entries it ignores.
func (b *backup) settle(n *pending) {
	if n.item == nil {
		return
	}
	if !n.absent {
		b.tally.stored.Add(1)
	}
	if !n.item.same(n.node, n.was) {
		b.tally.differing.Add(1)
	}
}

// same reports whether node is what the parent has in its place. Either may be nil, if there is nothing.
func (it *Item) same(node, was *tree.Node) bool {
	switch {
	case node == nil || was == nil:
		return node == was
	case node.Type != was.Type || node.Dir != was.Dir || !node.Content.Equal(&was.Content) || node.Target != was.Target || node.Rdev != was.Rdev:
		return false
	case it.path == "/" || it.stream != nil || it.disk != nil && it.entry == nil:
		return node.Flags == was.Flags // the rest is not stored, or made up
	}
	return sameAttributes(node, was) && node.AccessTime == was.AccessTime
}

// unchangedItems reports whether all items are as the parent has them.
func (b *backup) unchangedItems() bool {
	p := b.parent
	return p != nil && p.Complete && slices.Equal(p.Paths, b.manifest.Paths) && b.tally.errors.Load() == 0 && b.tally.differing.Load() == 0
}

// files stores a file or a folder with all below it.
func (b *backup) files(ctx context.Context, p *place, was *tree.Node) *pending {
	t := p.item.tree
	native := filepath.FromSlash(p.path)
	e, err := t.Lstat(ctx, native)
	if err != nil {
		return b.left(p.path, err)
	}
	if e.Type != source.TypeDirectory {
		open := func(ctx context.Context) (*source.File, error) { return t.OpenFile(ctx, native, e) }
		return b.entry(ctx, p.path, e, was, open)
	}
	d, err := t.OpenDir(ctx, native)
	if err != nil {
		return b.left(p.path, err)
	}
	return b.dir(ctx, d, e, was, p)
}

// left reports a path that is not in the snapshot.
func (b *backup) left(path string, err error) *pending {
	var e *source.EntryError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return failed(err)
	case errors.As(err, &e) && e.Problem == source.Unsupported:
		b.opts.Report(Event{Kind: EventNote, Path: path, Err: err})
	default:
		b.fault(path, err)
	}
	return absent()
}

// lookup returns what a folder of the parent has under a name, or nil.
func (b *backup) lookup(ctx context.Context, path string, d *tree.Dir, name string) *tree.Node {
	if d == nil {
		return nil
	}
	n, err := d.Lookup(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		b.opts.Report(Event{Kind: EventNote, Path: path, Err: fmt.Errorf("the parent's folder cannot be read: %w", err)})
	}
	if err != nil {
		return nil
	}
	return n
}

// subdir opens a folder of the parent, if that is what it is.
func (b *backup) subdir(n *tree.Node) *tree.Dir {
	if n == nil || n.Type != tree.Directory {
		return nil
	}
	return tree.OpenDir(b.repo, n.Dir)
}
