package content

import (
	"context"
	"fmt"
	"iter"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Map reads the spans of one content. It keeps the nodes it used last, at most 64 of about 3 KiB. It is safe for concurrent use.
type Map struct {
	loader reftree.Loader
	desc   Content
	cache  nodeCache
}

// NewMap returns a Map of c, whose nodes are read with l. Nothing is read yet.
func NewMap(l reftree.Loader, c Content) *Map { return &Map{loader: l, desc: c} }

// Content returns what the Map was made of.
func (m *Map) Content() Content { return m.desc }

// Size returns the size of the content in bytes.
func (m *Map) Size() int64 { return m.desc.Size }

// Placed is a span and where it starts in the content.
type Placed struct {
	Offset int64
	reftree.Span
}

// End returns the offset of the first byte after the span.
func (p *Placed) End() int64 { return p.Offset + p.Size() }

// Spans returns the spans that the n bytes from off touch, in order and without gaps. Holes and unread ranges are cut to the
// range. Chunks are whole: the first may start before off and the last end after off+n, and of a repeated chunk there are as many
// as the range touches. What lies beyond the end of the content is not there; a negative off or n is an error.
// It reads O(log size) nodes to begin with. After an error, which is an *Error for a map that cannot be read, the sequence ends.
func (m *Map) Spans(ctx context.Context, off, n int64) iter.Seq2[Placed, error] {
	return func(yield func(Placed, error) bool) {
		if off < 0 || n < 0 {
			yield(Placed{}, fmt.Errorf("spans of %d bytes at %d: out of range", n, off))
			return
		}
		w := spanWalk{m: m, off: off, end: off + min(n, max(m.desc.Size-off, 0)), yield: yield}
		if w.off >= w.end {
			return
		}
		top, err := m.top(ctx)
		if err == nil {
			_, err = w.node(ctx, top, 0)
		}
		if err != nil {
			yield(Placed{}, err)
		}
	}
}

type spanWalk struct {
	m        *Map
	off, end int64
	yield    func(Placed, error) bool
}

// node goes through a node that starts at the offset start. It reports whether to go on.
func (w *spanWalk) node(ctx context.Context, n *reftree.MapNode, start int64) (bool, error) {
	for i := range n.Spans {
		s := n.Spans[i]
		next := start + s.Size()
		if next > w.off && start < w.end && !w.yield(clip(s, start, w.off, w.end), nil) {
			return false, nil
		}
		start = next
	}
	for i := range n.Children {
		c := &n.Children[i]
		if more, err := w.child(ctx, n, c, start); !more || err != nil {
			return false, err
		}
		start += c.Size()
	}
	return true, nil
}

func (w *spanWalk) child(ctx context.Context, n *reftree.MapNode, c *reftree.Child, start int64) (bool, error) {
	first := max(w.off-start, 0) / c.Covered
	for r := first; r < c.Count; r++ {
		at := start + r*c.Covered
		if at >= w.end {
			break
		}
		sub, err := w.m.node(ctx, c.Ref, n.Level-1, at, c.Covered)
		if err != nil {
			return false, err
		}
		if more, err := w.node(ctx, sub, at); !more || err != nil {
			return false, err
		}
	}
	return true, nil
}

// clip places s, which starts at start and touches the range from off to end, and leaves out what the range does not touch.
func clip(s reftree.Span, start, off, end int64) Placed {
	lo, hi := max(off-start, 0), min(end-start, s.Size())
	if s.Kind != reftree.Chunk {
		s.Length = hi - lo
		return Placed{Offset: start + lo, Span: s}
	}
	first, last := lo/s.Length, (hi-1)/s.Length
	s.Count = last - first + 1
	return Placed{Offset: start + first*s.Length, Span: s}
}

// top returns the topmost node, or a node of the spans in line. The content is not empty.
func (m *Map) top(ctx context.Context) (*reftree.MapNode, error) {
	if !m.desc.Mapped() {
		if err := m.desc.Validate(); err != nil {
			return nil, &Error{Err: err}
		}
		return &reftree.MapNode{Spans: m.desc.Spans, Size: m.desc.Size}, nil
	}
	return m.node(ctx, m.desc.Root.Ref, m.desc.Root.Level, 0, m.desc.Size)
}

// node returns the node r, which starts at the offset at and must have that level and cover that many bytes.
func (m *Map) node(ctx context.Context, r reftree.Ref, level uint8, at, covered int64) (*reftree.MapNode, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n, err := m.load(ctx, r)
	switch {
	case err != nil:
	case n.Level != level:
		err = fmt.Errorf("%w: node at level %d, expected at %d", reftree.ErrFormat, n.Level, level)
	case n.Size != covered:
		err = fmt.Errorf("%w: node covers %d bytes, expected %d", reftree.ErrFormat, n.Size, covered)
	case at+covered < m.desc.Size && !n.Complete():
		err = fmt.Errorf("%w: node ends too early", reftree.ErrFormat)
	}
	if err != nil {
		return nil, &Error{Offset: at, Err: err}
	}
	return n, nil
}

func (m *Map) load(ctx context.Context, r reftree.Ref) (*reftree.MapNode, error) {
	if n := m.cache.get(r); n != nil {
		return n, nil
	}
	p, err := m.loader.Load(ctx, reftree.Map, r.ID, r.Length)
	if err != nil {
		return nil, err
	}
	if len(p) != int(r.Length) {
		return nil, fmt.Errorf("%w: node of %d bytes, expected %d", reftree.ErrFormat, len(p), r.Length)
	}
	n, err := reftree.DecodeMapNode(p)
	if err != nil {
		return nil, err
	}
	m.cache.put(r, n)
	return n, nil
}
