package content

import (
	"context"
	"iter"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Range is a part of a content in bytes.
type Range struct {
	Offset, Length int64
}

// Diff returns the ranges in which a and b may differ, in order, not touching each other. Outside them both have the same chunks,
// holes and unread ranges at the same offsets; the part of the longer content beyond the shorter is in a range. Nodes that
// both share are not read. After an error, which is an *Error for a map that cannot be read, the sequence ends.
func Diff(ctx context.Context, l reftree.Loader, a, b Content) iter.Seq2[Range, error] {
	return func(yield func(Range, error) bool) {
		d := differ{yield: yield}
		if !d.run(ctx, NewMap(l, a), NewMap(l, b)) || d.last.Length == 0 {
			return
		}
		yield(d.last, nil)
	}
}

type differ struct {
	yield func(Range, error) bool
	last  Range // not yet handed out, because the next may touch it
}

// run reports whether all was compared and nobody asked to stop.
func (d *differ) run(ctx context.Context, a, b *Map) bool {
	ca, err := newCursor(ctx, a)
	if err != nil {
		d.yield(Range{}, err)
		return false
	}
	cb, err := newCursor(ctx, b)
	if err != nil {
		d.yield(Range{}, err)
		return false
	}
	for ca.pos < min(a.Size(), b.Size()) {
		to, differ, err := step(ctx, ca, cb)
		if err != nil {
			d.yield(Range{}, err)
			return false
		}
		if differ && !d.add(ca.pos, to) {
			return false
		}
		ca.seek(to)
		cb.seek(to)
	}
	return d.add(ca.pos, max(a.Size(), b.Size()))
}

// add notes that the bytes from off to end may differ.
func (d *differ) add(off, end int64) bool {
	switch {
	case off == end:
		return true
	case d.last.Length > 0 && d.last.Offset+d.last.Length == off:
		d.last.Length += end - off
		return true
	case d.last.Length > 0 && !d.yield(d.last, nil):
		return false
	}
	d.last = Range{Offset: off, Length: end - off}
	return true
}

// step compares what is at the place of both cursors, which is the same, up to the offset to. Where one is at a node that the
// other does not share, it enters the node, and to is the place itself.
func step(ctx context.Context, a, b *cursor) (to int64, differ bool, err error) {
	na, nb := a.child(), b.child()
	if na == nil && nb == nil {
		to = min(a.end(), b.end())
		return to, !sameSpan(a, b), nil
	}
	la, lb := a.level(), b.level()
	if na != nil && nb != nil && la == lb && na.Merges(nb) {
		return a.pos + min(a.end()-a.pos, b.end()-b.pos)/na.Covered*na.Covered, false, nil
	}
	if na != nil && la >= lb {
		err = a.enter(ctx)
	}
	if nb != nil && lb >= la && err == nil {
		err = b.enter(ctx)
	}
	return a.pos, false, err
}

// sameSpan reports whether the spans under both cursors have the same bytes as long as both last.
func sameSpan(a, b *cursor) bool {
	sa, sb := a.span(), b.span()
	if !sa.Merges(sb) {
		return false
	}
	return sa.Kind != reftree.Chunk || (a.pos-a.top().start)%sa.Length == (b.pos-b.top().start)%sb.Length
}

// cursor is a place in a map: an entry of a node, or a repeat of it.
type cursor struct {
	m      *Map
	pos    int64 // offset in the content
	frames []frame
}

// frame is a node that was entered. Its entry i starts at the offset start.
type frame struct {
	node  *reftree.MapNode
	i     int
	start int64
}

func newCursor(ctx context.Context, m *Map) (*cursor, error) {
	c := &cursor{m: m}
	switch {
	case m.desc.Mapped():
		if err := m.desc.Validate(); err != nil {
			return nil, &Error{Err: err}
		}
		top := reftree.Child{Ref: m.desc.Root.Ref, Covered: m.desc.Size, Count: 1}
		n := &reftree.MapNode{Level: m.desc.Root.Level + 1, Children: []reftree.Child{top}, Size: top.Covered}
		c.frames = []frame{{node: n}}
	case m.desc.Size > 0:
		n, err := m.top(ctx)
		if err != nil {
			return nil, err
		}
		c.frames = []frame{{node: n}}
	}
	return c, nil
}

func (c *cursor) top() *frame { return &c.frames[len(c.frames)-1] }

// level returns the level of the node that the entry under the cursor is in.
func (c *cursor) level() uint8 { return c.top().node.Level }

// child returns the entry under the cursor if it is a node. The cursor is at the start of a repeat of it then.
func (c *cursor) child() *reftree.Child {
	if t := c.top(); t.node.Level > 0 {
		return &t.node.Children[t.i]
	}
	return nil
}

// span returns the entry under the cursor, which is not a node.
func (c *cursor) span() *reftree.Span { t := c.top(); return &t.node.Spans[t.i] }

// end returns the offset at which the entry under the cursor ends.
func (c *cursor) end() int64 { t := c.top(); return t.start + t.size() }

func (f *frame) size() int64 {
	if f.node.Level > 0 {
		return f.node.Children[f.i].Size()
	}
	return f.node.Spans[f.i].Size()
}

// enter goes into the node under the cursor.
func (c *cursor) enter(ctx context.Context) error {
	n := c.child()
	sub, err := c.m.node(ctx, n.Ref, c.level()-1, c.pos, n.Covered)
	if err != nil {
		return err
	}
	c.frames = append(c.frames, frame{node: sub, start: c.pos})
	return nil
}

// seek moves the cursor forward to the offset to, which is not after the end of the entry under it.
func (c *cursor) seek(to int64) {
	c.pos = to
	for len(c.frames) > 0 {
		t := c.top()
		if t.start+t.size() > to {
			return
		}
		t.start += t.size()
		if t.i++; t.i < t.node.Len() {
			return
		}
		c.frames = c.frames[:len(c.frames)-1]
	}
}
