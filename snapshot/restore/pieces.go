package restore

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// piece is a span of a content at its place. If err is not nil it stands for what is below a node of the content map that
// cannot be read: an unread range.
type piece struct {
	off int64
	reftree.Span
	err error
}

// pieces returns all spans of c, in order and without gaps. Unlike content.Map it goes on behind a node that cannot be read. An error
// ends the sequence; it is that of the context, or one after which nothing can be read.
func pieces(ctx context.Context, l reftree.Loader, c *content.Content) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		w := pieceWalk{ctx: ctx, loader: l, size: c.Size, yield: yield}
		if err := c.Validate(); err != nil {
			yield(piece{}, fmt.Errorf("content map: %w", err))
			return
		}
		if c.Mapped() {
			w.node(c.Root.Ref, c.Root.Level, 0, c.Size)
			return
		}
		w.spans(c.Spans, 0)
	}
}

type pieceWalk struct {
	ctx    context.Context
	loader reftree.Loader
	size   int64
	yield  func(piece, error) bool
}

// node goes through the node r at a level, which starts at the offset at and covers that many bytes. It reports whether to go on.
func (w *pieceWalk) node(r reftree.Ref, level uint8, at, covered int64) bool {
	n, err := w.load(r, level, at, covered)
	if err != nil {
		if w.ctx.Err() != nil || errors.Is(err, repo.ErrNotAllowed) {
			w.yield(piece{}, err)
			return false
		}
		lost := reftree.Span{Kind: reftree.Unread, Length: covered, Count: 1}
		return w.yield(piece{off: at, Span: lost, err: &content.Error{Offset: at, Err: err}}, nil)
	}
	if level == 0 {
		return w.spans(n.Spans, at)
	}
	for i := range n.Children {
		c := &n.Children[i]
		for range c.Count {
			if !w.node(c.Ref, level-1, at, c.Covered) {
				return false
			}
			at += c.Covered
		}
	}
	return true
}

func (w *pieceWalk) spans(list []reftree.Span, at int64) bool {
	for i := range list {
		if !w.yield(piece{off: at, Span: list[i]}, nil) {
			return false
		}
		at += list[i].Size()
	}
	return true
}

func (w *pieceWalk) load(r reftree.Ref, level uint8, at, covered int64) (*reftree.MapNode, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	p, err := w.loader.Load(w.ctx, reftree.Map, r.ID, r.Length)
	if err != nil {
		return nil, err
	}
	n, err := reftree.DecodeMapNode(p)
	switch {
	case err != nil:
	case len(p) != int(r.Length):
		err = fmt.Errorf("%w: node of %d bytes, expected %d", reftree.ErrFormat, len(p), r.Length)
	case n.Level != level:
		err = fmt.Errorf("%w: node at level %d, expected at %d", reftree.ErrFormat, n.Level, level)
	case n.Size != covered:
		err = fmt.Errorf("%w: node covers %d bytes, expected %d", reftree.ErrFormat, n.Size, covered)
	case at+covered < w.size && !n.Complete():
		err = fmt.Errorf("%w: node ends too early", reftree.ErrFormat)
	}
	return n, err
}
