package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/zeebo/blake3"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// child is an entry of a directory node above level 0.
type child struct {
	last    string // the last name in it
	pair    reftree.Pair
	entries uint64 // of level 0
}

const childSize = 2 + 2*(32+1) + 1

// dirNode is one node of a directory.
type dirNode struct {
	level    uint8
	nodes    []*Node // the entries at level 0
	children []child // the entries at higher levels
	entries  uint64  // of level 0
	complete bool    // it ends by the rule
}

func (n *dirNode) len() int { return len(n.nodes) + len(n.children) }

func (n *dirNode) name(i int) string {
	if n.level == 0 {
		return n.nodes[i].Name
	}
	return n.children[i].last
}

// ends reports whether a node ends after its n-th entry, counted from 1, which has that (last) name. size is the length of these
// n entries in bytes.
func ends(level uint8, n, size int, name string) bool {
	if n >= reftree.MaxEntries || size >= maxNodeSize {
		return true
	}
	return n >= reftree.MinEntries && blake3.Sum256([]byte(name))[level]&31 == 0
}

func appendDirHeader(b []byte, level uint8, entries int) []byte {
	return wire.AppendUvarint(append(b, reftree.TagDirectory, level), uint64(entries))
}

func appendChild(b []byte, c *child) []byte {
	b = wire.AppendBytes(b, c.last)
	b = reftree.AppendPair(b, c.pair)
	return wire.AppendUvarint(b, c.entries)
}

func decodeChild(d *wire.Decoder) (c child) {
	c.last = d.String(MaxName, "name")
	c.pair = reftree.DecodePair(d)
	c.entries = d.UvarintMax(reftree.MaxSize, "number of entries")
	if d.Err() == nil && (!ValidName(c.last) || c.entries == 0) {
		d.Fail("child of %d entries up to %.100q", c.entries, c.last)
	}
	return c
}

// decodeDirNode decodes a directory node. Errors wrap reftree.ErrFormat or ErrOrder.
func decodeDirNode(p []byte) (*dirNode, error) {
	d := wire.NewDecoder(p)
	if tag := d.U8(); tag != reftree.TagDirectory {
		d.Fail("tag is %d, not that of a directory node", tag)
	}
	n := &dirNode{level: d.U8()}
	if n.level > reftree.MaxLevel {
		d.Fail("level is %d, at most %d allowed", n.level, reftree.MaxLevel)
	}
	least := nodeSize
	if n.level > 0 {
		least = childSize
	}
	count := d.Count(least, "entries")
	if count > reftree.MaxEntries || count == 0 && n.level > 0 {
		d.Fail("%d entries at level %d", count, n.level)
	}
	if err := n.decodeEntries(d, count); err != nil {
		return nil, err
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("directory node: %w", err)
	}
	return n, nil
}

func (n *dirNode) decodeEntries(d *wire.Decoder, count int) error {
	start := d.Offset()
	before := &Node{}
	for i := 0; i < count && d.Err() == nil; i++ {
		if n.level == 0 {
			before = decodeNode(d, before)
			n.nodes = append(n.nodes, before)
			n.entries++
		} else {
			c := decodeChild(d)
			n.children = append(n.children, c)
			if n.entries += c.entries; n.entries > reftree.MaxSize {
				d.Fail("too many entries")
			}
		}
		if d.Err() != nil {
			break
		}
		if i > 0 && n.name(i) <= n.name(i-1) {
			return fmt.Errorf("directory node: %w: %w: %.100q after %.100q", reftree.ErrFormat, ErrOrder, n.name(i), n.name(i-1))
		}
		n.complete = ends(n.level, i+1, d.Offset()-start, n.name(i))
		if n.complete && i+1 < count {
			d.Fail("entry %d should be the last", i)
		}
	}
	return nil
}

// expected is what is known of a directory node before it is read.
type expected struct {
	ref     reftree.Ref
	root    bool   // nothing more is known
	level   uint8  // of the node
	after   string // its names come after this one
	last    string // its last name
	entries uint64
	final   bool // it is the last of its level
}

// below returns what a node, which was found where e said, says of its child i.
func (e *expected) below(n *dirNode, i int) expected {
	c := &n.children[i]
	sub := expected{ref: c.pair.Meta, level: n.level - 1, after: e.after, last: c.last, entries: c.entries}
	if i > 0 {
		sub.after = n.children[i-1].last
	}
	sub.final = i+1 == len(n.children) && (e.final || e.root)
	return sub
}

// readError reports a directory node that cannot be read. That it is missing is damage and does not mean that an entry does not
// exist, so it is never fs.ErrNotExist; else it is what err is.
type readError struct {
	id  reftree.ID
	err error
}

func (e *readError) Error() string { return fmt.Sprintf("reading directory node %s: %v", e.id, e.err) }

func (e *readError) Is(target error) bool {
	return target != fs.ErrNotExist && errors.Is(e.err, target)
}

func (e *readError) As(target any) bool { return errors.As(e.err, target) }

// loadDirNode reads a directory node and checks it against what is known of it.
func loadDirNode(ctx context.Context, l reftree.Loader, e *expected) (*dirNode, error) {
	p, err := load(ctx, l, reftree.Meta, e.ref)
	if err != nil {
		return nil, &readError{e.ref.ID, err}
	}
	n, err := decodeDirNode(p)
	if err == nil && !e.root {
		err = n.check(e)
	}
	if err != nil {
		return nil, &readError{e.ref.ID, err}
	}
	return n, nil
}

func (n *dirNode) check(e *expected) error {
	switch {
	case n.level != e.level:
		return malformed("it is at level %d, expected at %d", n.level, e.level)
	case n.entries != e.entries:
		return malformed("it has %d entries, expected %d", n.entries, e.entries)
	case n.name(n.len()-1) != e.last:
		return malformed("its last name is %.100q, expected %.100q", n.name(n.len()-1), e.last)
	case n.level == 0 && n.nodes[0].Name <= e.after || n.level > 0 && n.children[0].last <= e.after:
		return fmt.Errorf("%w: %w: %.100q after %.100q", reftree.ErrFormat, ErrOrder, n.name(0), e.after)
	case !e.final && !n.complete:
		return malformed("it ends too early")
	}
	return nil
}

// appendReferences appends what the reference node of n says.
func (n *dirNode) appendReferences(refs []reftree.Reference) []reftree.Reference {
	for _, node := range n.nodes {
		refs = node.appendReferences(refs)
	}
	for i := range n.children {
		refs = append(refs, reftree.Reference{Kind: reftree.RefDirectory, Pair: n.children[i].pair})
	}
	return refs
}
