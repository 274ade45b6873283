package snapshot

import (
	"context"
	"errors"

	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// pending is an entry of a folder whose content may still be on its way.
type pending struct {
	done   chan struct{} // closed when the rest is final
	path   string
	node   *tree.Node
	absent bool  // it is not in the snapshot
	err    error // ends the backup
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
		return n.err == nil
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
		if n.absent {
			continue
		}
		if err := builder.Add(f.ctx, n.node); err != nil {
			return err
		}
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
	b.opts.Report(Event{Kind: kind, Path: path + "/"})
}

// dir stores a folder with all below it that the filter keeps. It returns when everything was handed to workers.
func (b *backup) dir(ctx context.Context, d *source.Dir, e *source.Entry, was *tree.Node) *pending {
	b.warn(d.Path(), e)
	f := b.assemble(ctx, d.Path(), d)
	node := newNode(e, b.opts.WithATime)
	f.start(node, was)
	old := newCursor(ctx, b.subdir(was))
	defer old.close()
	for e, err := range d.Entries(ctx) {
		if !f.add(b.dirEntry(ctx, d, e, err, old)) {
			break
		}
	}
	return f.finish()
}

func (b *backup) dirEntry(ctx context.Context, d *source.Dir, e *source.Entry, err error, old *cursor) *pending {
	if err != nil {
		return b.left(d.Path(), err)
	}
	was, err := old.seek(e.Name)
	if err != nil {
		return failed(err)
	}
	path := join(d.Path(), e.Name)
	if e.Type != source.TypeDirectory {
		return b.entry(ctx, path, e, was, func(ctx context.Context) (*source.File, error) { return d.OpenFile(ctx, e) })
	}
	sub, err := d.OpenDir(ctx, e)
	if err != nil {
		return b.left(path, err)
	}
	return b.dir(ctx, sub, e, was)
}

// warn reports attributes that could not be read.
func (b *backup) warn(path string, e *source.Entry) {
	if e.Warning != nil {
		b.fault(path, e.Warning)
	}
}
