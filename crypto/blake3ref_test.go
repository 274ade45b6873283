package crypto

import (
	"encoding/binary"
	"math/bits"
)

// A second BLAKE3, written from the paper for clarity alone, to check derivations and ids against.

var refIV = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}

var refPermutation = [16]int{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}

const (
	refChunkStart, refChunkEnd, refParent, refRoot           = 1, 2, 4, 8
	refKeyedHash, refDeriveContext, refDeriveMaterial        = 16, 32, 64
	refPlain                                          uint32 = 0
)

func refCompress(cv [8]uint32, block [16]uint32, counter uint64, length, flags uint32) [16]uint32 {
	v := [16]uint32{cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7], refIV[0], refIV[1], refIV[2], refIV[3],
		uint32(counter), uint32(counter >> 32), length, flags}
	g := func(a, b, c, d int, x, y uint32) {
		v[a] += v[b] + x
		v[d] = bits.RotateLeft32(v[d]^v[a], -16)
		v[c] += v[d]
		v[b] = bits.RotateLeft32(v[b]^v[c], -12)
		v[a] += v[b] + y
		v[d] = bits.RotateLeft32(v[d]^v[a], -8)
		v[c] += v[d]
		v[b] = bits.RotateLeft32(v[b]^v[c], -7)
	}
	for range 7 {
		for i := range 4 {
			g(i, i+4, i+8, i+12, block[2*i], block[2*i+1])
		}
		for i := range 4 {
			g(i, (i+1)%4+4, (i+2)%4+8, (i+3)%4+12, block[8+2*i], block[9+2*i])
		}
		var next [16]uint32
		for i, from := range refPermutation {
			next[i] = block[from]
		}
		block = next
	}
	for i := range 8 {
		v[i] ^= v[i+8]
		v[i+8] ^= cv[i]
	}
	return v
}

// refNode is a compression not yet done: of a chunk's last block, or of a parent.
type refNode struct {
	cv      [8]uint32
	block   [16]uint32
	counter uint64
	length  uint32
	flags   uint32
}

func (n *refNode) chain() [8]uint32 {
	v := refCompress(n.cv, n.block, n.counter, n.length, n.flags)
	return [8]uint32(v[:8])
}

func (n *refNode) output(size int) (out []byte) {
	for i := uint64(0); len(out) < size; i++ {
		for _, w := range refCompress(n.cv, n.block, i, n.length, n.flags|refRoot) {
			out = binary.LittleEndian.AppendUint32(out, w)
		}
	}
	return out[:size]
}

func refChunk(key [8]uint32, flags uint32, p []byte, counter uint64) refNode {
	cv := key
	for start := uint32(refChunkStart); ; start = 0 {
		var buf [64]byte
		n := copy(buf[:], p)
		p = p[n:]
		node := refNode{cv: cv, counter: counter, length: uint32(n), flags: flags | start}
		for i := range node.block {
			node.block[i] = binary.LittleEndian.Uint32(buf[4*i:])
		}
		if len(p) == 0 {
			node.flags |= refChunkEnd
			return node
		}
		cv = node.chain()
	}
}

func refTree(key [8]uint32, flags uint32, p []byte, counter uint64) refNode {
	if len(p) <= 1024 {
		return refChunk(key, flags, p, counter)
	}
	left := 1 << (bits.Len(uint((len(p)-1)/1024)) - 1)
	l, r := refTree(key, flags, p[:left*1024], counter), refTree(key, flags, p[left*1024:], counter+uint64(left))
	node := refNode{cv: key, length: 64, flags: flags | refParent}
	a, b := l.chain(), r.chain()
	copy(node.block[:8], a[:])
	copy(node.block[8:], b[:])
	return node
}

func refWords(key []byte) (w [8]uint32) {
	for i := range w {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	return w
}

func refHash(p []byte) []byte {
	n := refTree(refIV, refPlain, p, 0)
	return n.output(32)
}

func refKeyed(key, p []byte) []byte {
	n := refTree(refWords(key), refKeyedHash, p, 0)
	return n.output(32)
}

func refDerive(context string, material []byte, size int) []byte {
	c := refTree(refIV, refDeriveContext, []byte(context), 0)
	n := refTree(refWords(c.output(32)), refDeriveMaterial, material, 0)
	return n.output(size)
}
