package snapshot

import (
	"context"
	"iter"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// cursor goes through a folder of the parent beside a walk: both are in the order of the bytes of the names.
type cursor struct {
	next func() (*tree.Node, error, bool)
	stop func()
	node *tree.Node
	end  bool
}

func newCursor(ctx context.Context, d *tree.Dir) *cursor {
	if d == nil {
		return &cursor{end: true, stop: func() {}}
	}
	c := &cursor{}
	c.next, c.stop = iter.Pull2(d.Entries(ctx))
	return c
}

// seek returns the entry of that name, or nil. Names must be asked for in ascending order.
func (c *cursor) seek(name string) (*tree.Node, error) {
	for !c.end && (c.node == nil || c.node.Name < name) {
		n, err, ok := c.next()
		if err != nil {
			return nil, err
		}
		c.node, c.end = n, !ok
	}
	if c.end || c.node.Name != name {
		return nil, nil
	}
	return c.node, nil
}

func (c *cursor) close() { c.stop() }
