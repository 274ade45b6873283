package snapshot

import (
	"context"
	"errors"
	"strings"

	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// pending is an entry of a folder whose content may still be on its way.
type pending struct {
	done   chan struct{} // closed when the rest is final
	path   string
	node   *tree.Node
	absent bool       // it is not in the snapshot
	item   *Item      // what was asked for; nil if it is only a part of that
	was    *tree.Node // what the parent has in place of an item, or nil
	err    error      // ends the backup
}

var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

func failed(err error) *pending { return &pending{done: closed, err: err} }
func absent() *pending          { return &pending{done: closed, absent: true} }
func ready(path string, node *tree.Node) *pending {
	return &pending{done: closed, path: path, node: node}
}
func unfinished(path string) *pending       { return &pending{done: make(chan struct{}), path: path} }
func (n *pending) complete(node *tree.Node) { n.node = node; close(n.done) }
func (n *pending) completeAbsent()          { n.absent = true; close(n.done) }
func (n *pending) completeErr(err error)    { n.err = err; close(n.done) }

// wait waits until the entry is final and returns its error, or that of the context.
func (n *pending) wait(ctx context.Context) error {
	select {
	case <-n.done:
		return n.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// broken reports whether it is known already that the entry ends the backup.
func (n *pending) broken() bool {
	select {
	case <-n.done:
		return n.err != nil
	default:
		return false
	}
}

// folder puts a directory together: entries are added in the order of their names, while the contents of earlier ones are still being
// read, and a goroutine of its own builds the tree. That way a walk through many small folders does not wait for each.
type folder struct {
	backup *backup
	ctx    context.Context
	queue  chan *pending
	result *pending
	dir    *source.Dir // closed in the end; may be nil
}

// maxQueue is how many entries of one folder wait to be built in.
const maxQueue = 256

func (b *backup) assemble(ctx context.Context, path string, dir *source.Dir) *folder {
	return &folder{backup: b, ctx: ctx, dir: dir, queue: make(chan *pending, maxQueue), result: unfinished(path)}
}

// start lets the building begin. node describes the folder itself, was what the parent has in its place.
func (f *folder) start(node, was *tree.Node) {
	f.backup.folders.Go(func() error {
		err := f.build(node, was)
		for range f.queue { // what is still being added after an error
		}
		if f.dir != nil {
			err = errors.Join(err, f.dir.Close())
		}
		if err != nil {
			f.result.completeErr(err)
			f.backup.pool.stop(err)
			return err
		}
		f.result.complete(node)
		return nil
	})
}

// add adds an entry. It reports false when it is no use to go on.
func (f *folder) add(n *pending) bool {
	select {
	case f.queue <- n:
		return !n.broken()
	case <-f.ctx.Done():
		return false
	}
}

// finish says that there are no more entries, and returns the folder as an entry.
func (f *folder) finish() *pending {
	close(f.queue)
	return f.result
}

func (f *folder) build(node, was *tree.Node) error {
	builder := tree.NewDirBuilder(f.backup.session)
	for n := range f.queue {
		if err := n.wait(f.ctx); err != nil {
			return err
		}
		if !n.absent {
			if err := builder.Add(f.ctx, n.node); err != nil {
				return err
			}
		}
		f.backup.settle(n)
	}
	if err := context.Cause(f.ctx); err != nil {
		return err
	}
	pair, err := builder.Finish(f.ctx)
	if err != nil {
		return err
	}
	node.Dir = pair
	f.backup.countDir(f.result.path, node, was)
	return nil
}

func (b *backup) countDir(path string, node, was *tree.Node) {
	kind, counter := EventChanged, &b.tally.dirsChanged
	switch {
	case was == nil:
		kind, counter = EventNew, &b.tally.dirsNew
	case was.Type == tree.Directory && was.Dir == node.Dir && sameAttributes(node, was):
		kind, counter = EventUnmodified, &b.tally.dirsUnmodified
	}
	counter.Add(1)
	b.opts.Report(Event{Kind: kind, Path: strings.TrimSuffix(path, "/") + "/"})
}

// dir stores a folder with all below it that the filter keeps. It returns when everything was handed to workers.
//
// p, if not nil, holds items that lie inside the folder: they are in the snapshot whatever the filter says.
func (b *backup) dir(ctx context.Context, d *source.Dir, e *source.Entry, was *tree.Node, p *place) *pending {
	b.warn(d.Path(), e)
	f := b.assemble(ctx, d.Path(), d)
	node := newNode(e, b.opts.WithATime)
	f.start(node, was)
	w := &dirWalk{backup: b, dir: d, place: p, inner: p.names(), old: b.cursor(ctx, d.Path(), was)}
	defer w.old.close()
	for e, err := range d.Entries(ctx) {
		if err == nil && !w.before(ctx, f, e.Name) || !f.add(w.entry(ctx, e, err)) {
			break
		}
	}
	w.before(ctx, f, "")
	return f.finish()
}

// dirWalk is what the walk through one folder keeps.
type dirWalk struct {
	backup *backup
	dir    *source.Dir
	place  *place
	inner  []string // names of places inside that were not met yet
	old    *cursor
}

// before adds the places inside whose names come before name, or all that are left if it is empty: the walk does not come to them.
func (w *dirWalk) before(ctx context.Context, f *folder, name string) bool {
	for len(w.inner) > 0 && (name == "" || w.inner[0] < name) {
		sub := w.place.below[w.inner[0]]
		was := w.old.seek(w.inner[0])
		w.inner = w.inner[1:]
		if !f.add(w.backup.placeDir(ctx, sub, was)) {
			return false
		}
	}
	return true
}

func (w *dirWalk) entry(ctx context.Context, e *source.Entry, err error) *pending {
	b, d := w.backup, w.dir
	if err != nil {
		return b.left(d.Path(), err)
	}
	was := w.old.seek(e.Name)
	path := join(d.Path(), e.Name)
	var inside *place
	if len(w.inner) > 0 && w.inner[0] == e.Name {
		inside = w.place.below[e.Name]
		w.inner = w.inner[1:]
		if inside.item != nil || e.Type != source.TypeDirectory {
			return b.placeDir(ctx, inside, was)
		}
	}
	if e.Type != source.TypeDirectory {
		return b.entry(ctx, path, e, was, func(ctx context.Context) (*source.File, error) { return d.OpenFile(ctx, e) })
	}
	if len(path) > tree.MaxPath || strings.Count(path, "/") >= tree.MaxDepth {
		return b.left(path, tree.ErrTooDeep)
	}
	sub, err := d.OpenDir(ctx, e)
	if err != nil {
		return b.left(path, err)
	}
	return b.dir(ctx, sub, e, was, inside)
}

// warn reports attributes that could not be read.
func (b *backup) warn(path string, e *source.Entry) {
	if e.Warning != nil {
		b.fault(path, e.Warning)
	}
}
