// Package zstdenc encodes zstd frames (RFC 8878) faster than the fastest level of the library that decodes them, to the same size, because it does only what segments of
// packs need (ADR 21). Frames are one segment, give their size and have no checksum; there is no dictionary, no stream and no other level.
package zstdenc

import "encoding/binary"

// Encoder encodes frames. Its zero value is ready. It belongs to one goroutine at a time, and keeps up to 2 MiB of memory.
type Encoder struct {
	finder finder
	block  block
}

// Overhead returns how many bytes larger than n bytes their frame is at most.
func Overhead(n int) int { return maxHeader + blockHeader*(n/maxBlock+1) }

// Encode returns the frame of src, which must be shorter than 4 GiB. It is in the memory of dst, whose contents it overwrites, if that has room for len(src) + Overhead(len(src)) bytes.
func (e *Encoder) Encode(dst, src []byte) []byte {
	out := appendHeader(dst[:0], len(src))
	e.finder.reset()
	e.block.begin()
	for from := 0; ; from += maxBlock {
		end := min(from+maxBlock, len(src))
		out = e.appendBlock(out, src[:end], from, end == len(src))
		if end == len(src) {
			return out
		}
	}
}

// The types of blocks (RFC 8878, section 3.1.1.2.2).
const (
	rawBlock        = 0
	compressedBlock = 2

	blockHeader = 3
)

// appendBlock appends the block of what is in src from a place on.
func (e *Encoder) appendBlock(out, src []byte, from int, last bool) []byte {
	b := &e.block
	b.seqs = e.finder.find(b.seqs[:0], src, from)
	kind, body := rawBlock, src[from:]
	if len(b.seqs) > 0 || !isNoise(src[from:]) {
		if coded, ok := b.encode(src, from); ok {
			kind, body = compressedBlock, coded
		}
	}
	v := uint32(kind)<<1 | uint32(len(body))<<3
	if last {
		v |= 1
	}
	return append(append(out, byte(v), byte(v>>8), byte(v>>16)), body...)
}

const (
	magic     = 0xfd2fb528
	maxHeader = 4 + 1 + 4
)

// appendHeader appends the header of a frame that is one segment and gives its size (RFC 8878, section 3.1.1.1).
func appendHeader(b []byte, size int) []byte {
	const oneSegment = 1 << 5
	b = binary.LittleEndian.AppendUint32(b, magic)
	switch {
	case size < 256:
		return append(b, oneSegment, byte(size))
	case size < 256+1<<16:
		return binary.LittleEndian.AppendUint16(append(b, oneSegment|1<<6), uint16(size-256))
	}
	return binary.LittleEndian.AppendUint32(append(b, oneSegment|2<<6), uint32(size))
}
