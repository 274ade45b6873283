package reftree

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Tags: the first byte of a node. Directory nodes (class META) start with 2.
const (
	TagMap       = 1 // a content map node
	TagDirectory = 2 // a directory node, which is of class META and not decoded here
	TagReference = 3 // a reference node
)

// Child is an entry of a content map node above level 0: a node of the level below, or the same node several times.
type Child struct {
	Ref           // of the node
	Covered int64 // bytes of the content that the node covers, once
	Count   int64 // how many times it follows itself, at least 1
}

// Size returns how many bytes of the content the entry covers.
func (c *Child) Size() int64 { return c.Covered * c.Count }

// Merges reports whether o, coming right after c, must become a part of it, by adding its Count.
func (c *Child) Merges(o *Child) bool { return c.Ref == o.Ref && c.Covered == o.Covered }

// Ends reports whether a node above level 0 ends after c when c is its n-th entry, counted from 1.
func (c *Child) Ends(n int) bool { return n >= MaxEntries || n >= MinEntries && endsNode(&c.ID) }

// AppendChild appends c.
func AppendChild(b []byte, c *Child) []byte {
	if c.Count == 1 {
		b = wire.AppendUvarint(b, uint64(c.Covered)<<1)
	} else {
		b = wire.AppendUvarint(b, uint64(c.Covered)<<1|1)
		b = wire.AppendUvarint(b, uint64(c.Count))
	}
	return AppendRef(b, c.Ref)
}

func decodeChild(d *wire.Decoder) (c Child) {
	head := d.Uvarint()
	c = Child{Covered: int64(head >> 1), Count: 1}
	if head&1 == 1 {
		c.Count = decodeCount(d)
	}
	c.Ref = DecodeRef(d)
	if d.Err() == nil && (c.Covered < 1 || c.Covered > MaxSize || c.Count > MaxSize/c.Covered) {
		d.Fail("%d times a child that covers %d bytes", c.Count, c.Covered)
	}
	return c
}

// MapNode is one node of a content map. It has 1 to MaxEntries entries.
type MapNode struct {
	Level    uint8
	Spans    []Span  // the entries at level 0
	Children []Child // the entries at higher levels
	Size     int64   // bytes of the content that all entries cover; follows from them
}

// Len returns how many entries the node has.
func (n *MapNode) Len() int { return len(n.Spans) + len(n.Children) }

// Complete reports whether the node ends by the rule, as every node of a level but the last one must.
func (n *MapNode) Complete() bool {
	if n.Level == 0 {
		return n.Spans[len(n.Spans)-1].Ends(len(n.Spans))
	}
	return n.Children[len(n.Children)-1].Ends(len(n.Children))
}

// AppendMapHeader appends what comes before the entries of a content map node.
func AppendMapHeader(b []byte, level uint8, entries int) []byte {
	return wire.AppendUvarint(append(b, TagMap, level), uint64(entries))
}

// Append appends the encoding of n, which must be valid.
func (n *MapNode) Append(b []byte) []byte {
	b = AppendMapHeader(b, n.Level, n.Len())
	for i := range n.Spans {
		b = AppendSpan(b, &n.Spans[i])
	}
	for i := range n.Children {
		b = AppendChild(b, &n.Children[i])
	}
	return b
}

// DecodeMapNode decodes a content map node. Errors wrap ErrFormat. The result does not refer to p.
func DecodeMapNode(p []byte) (*MapNode, error) {
	d := wire.NewDecoder(p)
	if tag := d.U8(); tag != TagMap {
		d.Fail("tag is %d, not that of a content map node", tag)
	}
	n := &MapNode{Level: decodeLevel(d)}
	if n.Level == 0 {
		n.decodeSpans(d)
	} else {
		n.decodeChildren(d)
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("content map node: %w", err)
	}
	return n, nil
}

func (n *MapNode) decodeSpans(d *wire.Decoder) {
	n.Spans, n.Size = DecodeSpans(d, MaxEntries)
	if d.Err() == nil && len(n.Spans) == 0 {
		d.Fail("no entries")
	}
	for i := range n.Spans {
		if i+1 < len(n.Spans) && n.Spans[i].Ends(i+1) {
			d.Fail("entry %d should be the last", i)
			return
		}
	}
}

func (n *MapNode) decodeChildren(d *wire.Decoder) {
	count := d.Count(1+refSize, "children")
	if count < 1 || count > MaxEntries {
		d.Fail("%d entries, 1 to %d allowed", count, MaxEntries)
	}
	if d.Err() != nil {
		return
	}
	n.Children = make([]Child, 0, count)
	for i := range count {
		c := decodeChild(d)
		if d.Err() != nil {
			return
		}
		if i > 0 && n.Children[i-1].Merges(&c) {
			d.Fail("neighbouring children that should be one")
		}
		if i+1 < count && c.Ends(i+1) {
			d.Fail("entry %d should be the last", i)
		}
		if n.Size += c.Size(); n.Size > MaxSize {
			d.Fail("children of more than %d bytes", int64(MaxSize))
		}
		n.Children = append(n.Children, c)
	}
}
