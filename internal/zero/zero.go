// Package zero finds zeros at memory speed: it answers whether a block is all zero, and splits a buffer of a file into
// holes and data the way the repository stores them.
//
// All functions are pure, allocate nothing and may be called by any number of goroutines.
package zero

import (
	"bytes"
	"iter"
)

// Block is the grid of holes, in bytes. A hole is a whole block of a file, aligned to Block in that file, and all zero.
const Block = 64 << 10

// page is what Is compares with, a piece at a time. It is small enough to stay in the first-level cache.
var page [4096]byte

// Is reports whether every byte of p is zero. An empty p is all zero.
func Is(p []byte) bool {
	if len(p) > 0 && (p[0] != 0 || p[len(p)-1] != 0) {
		return false
	}
	for len(p) >= len(page) {
		if !bytes.Equal(p[:len(page)], page[:]) {
			return false
		}
		p = p[len(page):]
	}
	return bytes.Equal(p, page[:len(p)])
}

// Run is a stretch of a buffer, in bytes from its start. If Hole, it consists of whole all-zero blocks; else of bytes
// that are to be stored.
type Run struct {
	Off, Len int
	Hole     bool
}

// Runs splits p, the bytes of a file at offset off, into holes and data. The runs cover p in order, and neighbours
// differ in kind. Only blocks that lie wholly in p can be holes, so a partial last block of a file never is one, and
// a caller who wants every hole of a file passes buffers that start and end on multiples of Block.
// A negative off is taken as data throughout.
func Runs(p []byte, off int64) iter.Seq[Run] {
	return func(yield func(Run) bool) {
		start, pos := 0, 0 // data not yet yielded starts at start
		if off >= 0 {
			pos = min(len(p), int(-off&(Block-1)))
			for len(p)-pos >= Block {
				n := Prefix(p[pos:])
				if n == 0 {
					pos += Block
					continue
				}
				if start < pos && !yield(Run{start, pos - start, false}) {
					return
				}
				if !yield(Run{pos, n, true}) {
					return
				}
				pos += n
				start = pos
			}
		}
		if start < len(p) {
			yield(Run{start, len(p) - start, false})
		}
	}
}

// Prefix returns how many bytes of whole zero blocks p starts with: a multiple of Block.
func Prefix(p []byte) int {
	n := 0
	for len(p)-n >= Block && Is(p[n:n+Block]) {
		n += Block
	}
	return n
}
