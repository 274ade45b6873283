package snapshot

import (
	"context"
	"fmt"
	"iter"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// cursor goes through a folder of the parent beside a walk: both are in the order of the bytes of the names. What cannot be read of the
// parent is taken for not being there, and so is read again from the source.
type cursor struct {
	next   func() (*tree.Node, error, bool)
	stop   func()
	failed func(error)
	node   *tree.Node
	end    bool
}

// cursor opens the folder that the parent has for a path, if it is one.
func (b *backup) cursor(ctx context.Context, path string, was *tree.Node) *cursor {
	d := b.subdir(was)
	if d == nil {
		return &cursor{end: true, stop: func() {}}
	}
	c := &cursor{failed: func(err error) {
		if ctx.Err() == nil {
			b.opts.Report(Event{Kind: EventNote, Path: path, Err: fmt.Errorf("the parent's folder cannot be read: %w", err)})
		}
	}}
	c.next, c.stop = iter.Pull2(d.Entries(ctx))
	return c
}

// seek returns the entry of that name, or nil. Names must be asked for in ascending order.
func (c *cursor) seek(name string) *tree.Node {
	for !c.end && (c.node == nil || c.node.Name < name) {
		n, err, ok := c.next()
		if err != nil {
			c.failed(err)
			c.end = true
			return nil
		}
		c.node, c.end = n, !ok
	}
	if c.end || c.node.Name != name {
		return nil
	}
	return c.node
}

func (c *cursor) close() { c.stop() }
