package tree

import (
	"bytes"
	"context"
	"iter"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// CheckPair reads all nodes of one directory, which is at path, and proves that each of its reference nodes says exactly what
// its directory node says. It does not enter subdirectories. An error is an *Error, the first one met; it wraps ErrReferences if a
// reference node says something else.
func CheckPair(ctx context.Context, l reftree.Loader, p reftree.Pair, path string) error {
	c := checker{loader: l}
	var first error
	c.yield = func(err error) bool {
		first = err
		return false
	}
	c.pair(ctx, p, &expected{ref: p.Meta, root: true}, path, 0)
	return first
}

// Check does what CheckPair does for root and all directories below it: what a collector finds through the reference nodes is
// what a reader finds through the directory nodes. It gives an *Error for each node that is wrong and goes on with the rest;
// after an error of ctx it ends. A directory for which seen returns true is left out with all that is in it; seen may be nil.
func Check(ctx context.Context, l reftree.Loader, root reftree.Pair, seen func(reftree.Pair) bool) iter.Seq[error] {
	return func(yield func(error) bool) {
		c := checker{loader: l, yield: yield, seen: seen, recursive: true}
		c.dir(ctx, root, "", 1)
	}
}

type checker struct {
	loader    reftree.Loader
	yield     func(error) bool
	seen      func(reftree.Pair) bool
	recursive bool
	refs      []reftree.Reference
	buf       []byte
}

// fail reports an error and whether to go on.
func (c *checker) fail(ctx context.Context, path string, err error) bool {
	return c.yield(&Error{Path: path, Err: err}) && ctx.Err() == nil
}

func (c *checker) dir(ctx context.Context, p reftree.Pair, path string, depth int) bool {
	if c.seen != nil && c.seen(p) {
		return true
	}
	if tooDeep(path, depth) {
		return c.fail(ctx, path, ErrTooDeep)
	}
	return c.pair(ctx, p, &expected{ref: p.Meta, root: true}, path, depth)
}

// pair checks a directory node with its reference node and all below, and reports whether to go on.
func (c *checker) pair(ctx context.Context, p reftree.Pair, e *expected, path string, depth int) bool {
	n, err := loadDirNode(ctx, c.loader, e)
	if err != nil {
		return c.fail(ctx, path, err)
	}
	if err := c.references(ctx, n, p.Map); err != nil && !c.fail(ctx, path, err) {
		return false
	}
	for i := range n.children {
		sub := e.below(n, i)
		if !c.pair(ctx, n.children[i].pair, &sub, path, depth) {
			return false
		}
	}
	if !c.recursive {
		return true
	}
	for _, node := range n.nodes {
		if node.Type == Directory && !c.dir(ctx, node.Dir, join(path, node.Name), depth+1) {
			return false
		}
	}
	return true
}

// references compares a reference node with what it should be.
func (c *checker) references(ctx context.Context, n *dirNode, r reftree.Ref) error {
	p, err := load(ctx, c.loader, reftree.Map, r)
	if err != nil {
		return &readError{r.ID, err}
	}
	c.refs = n.appendReferences(c.refs[:0])
	c.buf = reftree.AppendReferenceNode(c.buf[:0], c.refs)
	if !bytes.Equal(p, c.buf) {
		return &readError{r.ID, ErrReferences}
	}
	return nil
}
