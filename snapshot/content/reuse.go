package content

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Reuse adds the spans of n bytes of an older map from off on. Both ends must lie between chunks; holes and unread ranges may be
// cut anywhere. The result is the same as that of adding each span, but where nodes of the old map become nodes of the new one
// they are taken whole and not even read: it takes O(log n) reads, however long the range. (Where the data repeats itself with a
// period and no id ends a node, the nodes of both maps may never meet; then each span is added.)
//
// The caller sees to it that the nodes of the old map, and all they refer to, are still there. Unread ranges are taken over as
// they are, so whoever wants to read them again goes through such a content span by span. A map that cannot be read is an *Error.
func (b *Builder) Reuse(ctx context.Context, old *Map, off, n int64) error {
	if b.err == nil {
		b.err = b.reuse(ctx, old, off, n)
	}
	return b.err
}

func (b *Builder) reuse(ctx context.Context, old *Map, off, n int64) error {
	if off < 0 || n < 0 || n > old.Size()-off {
		return fmt.Errorf("reusing %d bytes at %d of a content of %d: out of range", n, off, old.Size())
	}
	if n == 0 {
		return nil
	}
	top, err := old.top(ctx)
	if err != nil {
		return err
	}
	r := reuser{b: b, old: old, off: off, end: off + n}
	return r.node(ctx, top, 0, false)
}

// reuser goes through an old map. Before a node is taken whole, the new map must be at the end of a node on all levels up to that
// of the node taken, and on each of these levels the entries before and after the seam must not merge. Neighbours in the old map
// do not, so it is enough that the entry before the seam is the old one too, and that what follows the node is old as well: up to
// a whole node of its own level. Hence also the last span of a range is always added as a span, so that what is added next can merge.
type reuser struct {
	b        *Builder
	old      *Map
	off, end int64
	began    bool // the last span of the new map is the one before the place in the old one
	// before holds, for each level, the entry before the place in the old map: a node of the level below. Zero: none was met.
	before [reftree.MaxLevel + 1]reftree.ID
}

// node goes through an old node that starts at the offset start. follow says that the next node of its level lies within the
// range and is not the last of its level.
func (r *reuser) node(ctx context.Context, n *reftree.MapNode, start int64, follow bool) error {
	for i := range n.Spans {
		s := n.Spans[i]
		if err := r.span(ctx, s, start); err != nil {
			return err
		}
		start += s.Size()
	}
	for i := range n.Children {
		c := &n.Children[i]
		next := start + c.Size()
		after := follow
		if i+1 < len(n.Children) {
			after = r.inner(next + n.Children[i+1].Covered)
		}
		if next > r.off && start < r.end {
			if err := r.child(ctx, int(n.Level), *c, start, after); err != nil {
				return err
			}
		}
		start = next
	}
	return nil
}

// inner reports whether a node that ends at the offset at lies within the range, if it starts there, and is not the last of its
// level.
func (r *reuser) inner(at int64) bool { return at <= r.end && at < r.old.Size() }

func (r *reuser) span(ctx context.Context, s reftree.Span, start int64) error {
	next := start + s.Size()
	if next <= r.off || start >= r.end {
		return nil
	}
	p := clip(s, start, r.off, r.end)
	if p.Offset < r.off || p.End() > r.end {
		return fmt.Errorf("reusing %d bytes at %d: a chunk would be cut", r.end-r.off, r.off)
	}
	r.began = true
	return r.b.add(ctx, p.Span)
}

// child goes through an entry of an old node at level k, which starts at the offset start and touches the range.
func (r *reuser) child(ctx context.Context, k int, c reftree.Child, start int64, follow bool) error {
	for i := max(r.off-start, 0) / c.Covered; i < c.Count; {
		at := start + i*c.Covered
		if at >= r.end {
			return nil
		}
		taken, err := r.take(ctx, k, c, at, i, start, follow)
		if err != nil {
			return err
		}
		if taken == 0 {
			if err := r.enter(ctx, k, c, at, follow && i == c.Count-1 || r.inner(at+2*c.Covered) && i < c.Count-1); err != nil {
				return err
			}
			taken = 1
		}
		i += taken
		r.before[k] = c.ID
	}
	return nil
}

func (r *reuser) enter(ctx context.Context, k int, c reftree.Child, at int64, follow bool) error {
	n, err := r.old.node(ctx, c.Ref, uint8(k-1), at, c.Covered)
	if err != nil {
		return err
	}
	return r.node(ctx, n, at, follow)
}

// take adds as many repeats of the node c from the i-th on as may be taken whole, and returns how many that are.
func (r *reuser) take(ctx context.Context, k int, c reftree.Child, at, i, start int64, follow bool) (int64, error) {
	if at < r.off {
		return 0, nil
	}
	// The last of the repeats is taken if what follows the entry allows it; each other if the one after it lies within the range.
	count := c.Count - i
	if !follow {
		room := min(r.end, r.old.Size()-1) - start // so that a repeat that ends here is inner
		count = min(room/c.Covered, c.Count) - i - 1
	}
	if count <= 0 {
		return 0, nil
	}
	if ok, err := r.settle(ctx, k); !ok || err != nil {
		return 0, err
	}
	c.Count = count
	r.began = true
	return count, r.b.take(ctx, k, c)
}

// settle ends the nodes of the new map below level k, if they end here by the rule, and reports whether all did. The range goes on
// for a whole old node of level k-1, so what is ended here is right even if some level does not end.
func (r *reuser) settle(ctx context.Context, k int) (bool, error) {
	b := r.b
	if b.size == 0 {
		return true, nil
	}
	if l := &b.levels[0]; b.hasSpan {
		if !r.began || !b.span.Ends(l.n+1) {
			return false, nil
		}
		if err := b.settleSpan(ctx); err != nil {
			return false, err
		}
	} else if l.n > 0 {
		return false, nil
	}
	for j := 1; j < k && j < len(b.levels); j++ {
		l := &b.levels[j]
		if l.hasChild {
			if l.child.ID != r.before[j] || !l.child.Ends(l.n+1) {
				return false, nil
			}
			if err := b.settleChild(ctx, j); err != nil {
				return false, err
			}
		} else if l.n > 0 {
			return false, nil
		}
	}
	return len(b.levels) >= k, nil
}

// take adds c at level k as if its spans had been added. The new map must be at the end of a node on all levels below.
func (b *Builder) take(ctx context.Context, k int, c reftree.Child) error {
	if err := b.grow(c.Size()); err != nil {
		return err
	}
	for len(b.levels) < k {
		b.levels = append(b.levels, level{})
	}
	for j := range k {
		b.levels[j].nodes = 2 // if not yet, then with what follows
	}
	return b.push(ctx, k, c)
}
