package source

import (
	"bytes"
	"iter"
	"slices"
)

// Names are the names in a folder, sorted by their bytes, each once. They are kept in a few big blocks and take eight
// bytes each besides their own, so that a folder of millions fits in memory. Names never change once returned.
type Names struct {
	blocks [][]byte
	refs   []nameRef
}

// nameRef is where a name is: block number, offset in the block, length.
type nameRef uint64

const (
	minBlock = 1 << 10
	maxBlock = 1 << 20
	maxName  = 1 << 16
)

func (n *Names) bytes(r nameRef) []byte {
	block, off, length := r>>40, r>>16&(1<<24-1), r&(1<<16-1)
	return n.blocks[block][off : off+length]
}

// add appends a name of less than maxName bytes.
func (n *Names) add(name []byte) {
	last := len(n.blocks) - 1
	if last < 0 || len(n.blocks[last])+len(name) > cap(n.blocks[last]) {
		size := minBlock
		if last >= 0 {
			size = min(2*cap(n.blocks[last]), maxBlock)
		}
		n.blocks = append(n.blocks, make([]byte, 0, max(size, len(name))))
		last++
	}
	off := len(n.blocks[last])
	n.blocks[last] = append(n.blocks[last], name...)
	n.refs = append(n.refs, nameRef(last)<<40|nameRef(off)<<16|nameRef(len(name)))
}

// finish sorts the names and drops repeated ones, which a folder that changes while it is read can give.
func (n *Names) finish() {
	slices.SortFunc(n.refs, func(a, b nameRef) int { return bytes.Compare(n.bytes(a), n.bytes(b)) })
	n.refs = slices.CompactFunc(n.refs, func(a, b nameRef) bool { return bytes.Equal(n.bytes(a), n.bytes(b)) })
}

// Len returns the number of names.
func (n *Names) Len() int { return len(n.refs) }

// At returns name i, from 0, as a copy.
func (n *Names) At(i int) string { return string(n.bytes(n.refs[i])) }

// All yields the names in order.
func (n *Names) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, r := range n.refs {
			if !yield(string(n.bytes(r))) {
				return
			}
		}
	}
}
