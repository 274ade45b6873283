package content

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// ErrFinished is returned by a Builder after Finish.
var ErrFinished = errors.New("content is finished")

// Builder makes the description of one content from its spans, given in order. Memory is bounded by one node for each level.
// It belongs to one goroutine. After an error it is of no use, and returns that error again.
type Builder struct {
	saver   reftree.Saver
	chunker uint8
	size    int64
	err     error
	span    reftree.Span // the last span: not yet an entry, because the next may become a part of it
	hasSpan bool
	head    []reftree.Span // the first spans that became entries, up to MaxInline
	levels  []level
	buf     []byte
}

// level is the node being built at one level.
type level struct {
	enc     []byte // the entries
	n       int    // how many
	covered int64  // bytes of the content that they cover
	nodes   int    // how many nodes ended at this level before, at most 2 being counted

	child    reftree.Child // above level 0: the last child, not yet an entry
	hasChild bool
}

func (l *level) add(size int64) {
	l.n++
	l.covered += size
}

// NewBuilder returns a Builder that saves nodes with s. chunker says what cut the content; see Content.
func NewBuilder(s reftree.Saver, chunker uint8) *Builder {
	return &Builder{saver: s, chunker: chunker, levels: make([]level, 1)}
}

// Size returns the bytes of all spans added so far.
func (b *Builder) Size() int64 { return b.size }

// Add appends a span; a Count of 0 means 1. Neighbours that can be one span may be given in pieces. Errors are those of the
// Saver, and of a span that is not valid or makes the content larger than reftree.MaxSize.
func (b *Builder) Add(ctx context.Context, s reftree.Span) error {
	if b.err == nil {
		b.err = b.add(ctx, s)
	}
	return b.err
}

func (b *Builder) add(ctx context.Context, s reftree.Span) error {
	if s.Count == 0 {
		s.Count = 1
	}
	if err := s.Validate(); err != nil {
		return err
	}
	if err := b.grow(s.Size()); err != nil {
		return err
	}
	if b.hasSpan && b.span.Merges(&s) {
		b.span.Merge(&s)
		return nil
	}
	if err := b.settleSpan(ctx); err != nil {
		return err
	}
	b.span, b.hasSpan = s, true
	return nil
}

func (b *Builder) grow(n int64) error {
	if n > reftree.MaxSize-b.size {
		return fmt.Errorf("content of more than %d bytes", int64(reftree.MaxSize))
	}
	b.size += n
	return nil
}

// settleSpan makes the last span an entry, because nothing more can become a part of it.
func (b *Builder) settleSpan(ctx context.Context) error {
	if !b.hasSpan {
		return nil
	}
	b.hasSpan = false
	if len(b.head) < reftree.MaxInline {
		b.head = append(b.head, b.span)
	}
	l := &b.levels[0]
	l.enc = reftree.AppendSpan(l.enc, &b.span)
	l.add(b.span.Size())
	if b.span.Ends(l.n) {
		return b.endNode(ctx, 0)
	}
	return nil
}

// settleChild does for the last child at level k what settleSpan does for the last span.
func (b *Builder) settleChild(ctx context.Context, k int) error {
	l := &b.levels[k]
	if !l.hasChild {
		return nil
	}
	l.hasChild = false
	l.enc = reftree.AppendChild(l.enc, &l.child)
	l.add(l.child.Size())
	if l.child.Ends(l.n) {
		return b.endNode(ctx, k)
	}
	return nil
}

// endNode saves the node of level k, which has entries, and hands it to the level above.
func (b *Builder) endNode(ctx context.Context, k int) error {
	l := &b.levels[k]
	b.buf = reftree.AppendMapHeader(b.buf[:0], uint8(k), l.n)
	b.buf = append(b.buf, l.enc...)
	id, err := b.saver.Save(ctx, reftree.Map, b.buf)
	if err != nil {
		return fmt.Errorf("saving content map node: %w", err)
	}
	c := reftree.Child{Ref: reftree.Ref{ID: id, Length: uint32(len(b.buf))}, Covered: l.covered, Count: 1}
	l.enc, l.n, l.covered = l.enc[:0], 0, 0
	l.nodes = min(l.nodes+1, 2)
	return b.push(ctx, k+1, c)
}

// push adds a child at level k.
func (b *Builder) push(ctx context.Context, k int, c reftree.Child) error {
	if k == len(b.levels) {
		b.levels = append(b.levels, level{})
	}
	if l := &b.levels[k]; l.hasChild && l.child.Merges(&c) {
		l.child.Count += c.Count
		return nil
	}
	if err := b.settleChild(ctx, k); err != nil {
		return err
	}
	b.levels[k].child, b.levels[k].hasChild = c, true
	return nil
}

// Finish ends the content and returns its description. Everything it needs was saved then.
func (b *Builder) Finish(ctx context.Context) (Content, error) {
	if b.err != nil {
		return Content{}, b.err
	}
	c := Content{Size: b.size, Chunker: b.chunker}
	if b.levels[0].nodes == 0 && b.entries() <= reftree.MaxInline {
		c.Spans = b.head
		if b.hasSpan {
			c.Spans = append(c.Spans, b.span)
		}
		b.err = ErrFinished
		return c, nil
	}
	c.Root, b.err = b.finishLevels(ctx)
	if b.err != nil {
		return Content{}, b.err
	}
	b.err = ErrFinished
	return c, nil
}

// entries returns how many entries the first node will have at least.
func (b *Builder) entries() int {
	if b.hasSpan {
		return b.levels[0].n + 1
	}
	return b.levels[0].n
}

// finishLevels ends the last node of each level, up to the first level that has one node.
func (b *Builder) finishLevels(ctx context.Context) (reftree.Root, error) {
	if err := b.settleSpan(ctx); err != nil {
		return reftree.Root{}, err
	}
	for k := 0; k <= reftree.MaxLevel; k++ {
		if k > 0 {
			if err := b.settleChild(ctx, k); err != nil {
				return reftree.Root{}, err
			}
		}
		if b.levels[k].n > 0 {
			if err := b.endNode(ctx, k); err != nil {
				return reftree.Root{}, err
			}
		}
		if b.levels[k].nodes == 1 {
			return reftree.Root{Level: uint8(k), Ref: b.levels[k+1].child.Ref}, nil
		}
	}
	return reftree.Root{}, fmt.Errorf("content map of more than %d levels", reftree.MaxLevel)
}
