package tree

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// DirBuilder makes one directory from its entries, given in strictly ascending order of the bytes of their names. Memory is
// bounded by one node of some 130 KiB for each level. It belongs to one goroutine. After an error it is of no use, and returns
// that error again.
type DirBuilder struct {
	saver   reftree.Saver
	entries int64
	last    string
	err     error
	levels  []dirLevel
	refs    []reftree.Reference
	buf     []byte
}

// dirLevel is the node being built at one level.
type dirLevel struct {
	enc     []byte // the entries
	n       int    // how many
	refs    []byte // their references
	nrefs   int
	entries uint64 // of level 0
	last    string
	nodes   int          // how many nodes ended at this level before
	newest  reftree.Pair // the last of them
}

// NewDirBuilder returns a DirBuilder that saves nodes with s.
func NewDirBuilder(s reftree.Saver) *DirBuilder {
	return &DirBuilder{saver: s, levels: make([]dirLevel, 1)}
}

// Entries returns how many entries were added so far.
func (b *DirBuilder) Entries() int64 { return b.entries }

// Add appends an entry, which it does not keep. A subdirectory is finished before it is added. Extended attributes that are too
// large for a node are saved apart. Errors are those of the Saver, ErrOrder, and, wrapping reftree.ErrFormat, of a node that is
// not valid.
func (b *DirBuilder) Add(ctx context.Context, n *Node) error {
	if b.err == nil {
		b.err = b.add(ctx, n)
	}
	return b.err
}

func (b *DirBuilder) add(ctx context.Context, n *Node) error {
	if err := n.Validate(); err != nil {
		return err
	}
	if n.Name <= b.last {
		return fmt.Errorf("%w: %.100q after %.100q", ErrOrder, n.Name, b.last)
	}
	if xattrsSize(n.Xattrs) > inlineXattr {
		refs, err := saveXattrs(ctx, b.saver, n.Xattrs)
		if err != nil {
			return err
		}
		apart := *n
		apart.Xattrs, apart.XattrChunks = nil, refs
		n = &apart
	}
	b.last = n.Name
	b.entries++
	l := &b.levels[0]
	l.enc = appendNode(l.enc, n)
	b.refs = n.appendReferences(b.refs[:0])
	return b.entered(ctx, 0, n.Name, 1)
}

// entered notes an entry that was appended to the node of level k and whose references are in b.refs.
func (b *DirBuilder) entered(ctx context.Context, k int, name string, entries uint64) error {
	l := &b.levels[k]
	for i := range b.refs {
		l.refs = reftree.AppendReference(l.refs, &b.refs[i])
	}
	l.nrefs += len(b.refs)
	l.n++
	l.entries += entries
	l.last = name
	if ends(uint8(k), l.n, len(l.enc), name) {
		return b.endNode(ctx, k)
	}
	return nil
}

// endNode saves the node of level k with its reference node and hands them to the level above.
func (b *DirBuilder) endNode(ctx context.Context, k int) error {
	l := &b.levels[k]
	var pair reftree.Pair
	var err error
	b.buf = append(reftree.AppendReferenceHeader(b.buf[:0], l.nrefs), l.refs...)
	if pair.Map, err = b.save(ctx, reftree.Map); err != nil {
		return err
	}
	b.buf = append(appendDirHeader(b.buf[:0], uint8(k), l.n), l.enc...)
	if pair.Meta, err = b.save(ctx, reftree.Meta); err != nil {
		return err
	}
	c := child{last: l.last, pair: pair, entries: l.entries}
	*l = dirLevel{enc: l.enc[:0], refs: l.refs[:0], nodes: l.nodes + 1, newest: pair}
	if k+1 == len(b.levels) {
		b.levels = append(b.levels, dirLevel{})
	}
	up := &b.levels[k+1]
	up.enc = appendChild(up.enc, &c)
	b.refs = append(b.refs[:0], reftree.Reference{Kind: reftree.RefDirectory, Pair: pair})
	return b.entered(ctx, k+1, c.last, c.entries)
}

func (b *DirBuilder) save(ctx context.Context, class reftree.Class) (reftree.Ref, error) {
	id, err := b.saver.Save(ctx, class, b.buf)
	if err != nil {
		return reftree.Ref{}, fmt.Errorf("saving directory node: %w", err)
	}
	return reftree.Ref{ID: id, Length: uint32(len(b.buf))}, nil
}

// Finish ends the directory and returns its topmost nodes. Everything they need was saved then.
func (b *DirBuilder) Finish(ctx context.Context) (reftree.Pair, error) {
	if b.err != nil {
		return reftree.Pair{}, b.err
	}
	for k := 0; k <= reftree.MaxLevel; k++ {
		if b.levels[k].n > 0 || b.entries == 0 {
			if b.err = b.endNode(ctx, k); b.err != nil {
				return reftree.Pair{}, b.err
			}
		}
		if b.levels[k].nodes == 1 {
			b.err = ErrFinished
			return b.levels[k].newest, nil
		}
	}
	b.err = fmt.Errorf("directory of more than %d levels", reftree.MaxLevel)
	return reftree.Pair{}, b.err
}
