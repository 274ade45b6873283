package chunk

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/zeebo/xxh3"
)

const alignedContext = "holdfast v1 aligned grid"

// aligned cuts after 4 KiB blocks whose keyed hash is below a limit, and after those in which a file seems to end.
type aligned struct {
	p          Params
	limit      uint64
	seed       uint64
	mask       uint64
	mul1, mul2 uint64
}

func newAligned(p Params, secret *[32]byte) (*aligned, error) {
	var k [32]byte
	if _, err := derive(alignedContext, secret).Read(k[:]); err != nil {
		return nil, fmt.Errorf("deriving the aligned chunker's key: %w", err)
	}
	return &aligned{
		p:     p,
		limit: alignedLimit(p),
		seed:  binary.LittleEndian.Uint64(k[0:]),
		mask:  binary.LittleEndian.Uint64(k[8:]),
		mul1:  binary.LittleEndian.Uint64(k[16:]) | 1,
		mul2:  binary.LittleEndian.Uint64(k[24:]) | 1,
	}, nil
}

// alignedLimit returns the hash value below which a block cuts: a probability
// of 1/(3m+1), for m blocks in a minimal chunk, adds 3m blocks on average.
func alignedLimit(p Params) uint64 {
	return math.MaxUint64 / uint64(3*p.Min()/Grid+1)
}

func (a *aligned) Kind() Kind     { return Aligned }
func (a *aligned) Params() Params { return a.p }

func (a *aligned) Next(data []byte, final bool) int {
	data = a.p.clip(data)
	for n := a.p.Min(); n <= len(data); n += Grid {
		if a.cuts(data[n-Grid : n]) {
			return n
		}
	}
	return a.p.uncut(len(data), final)
}

// cuts reports whether a chunk may end after the block.
func (a *aligned) cuts(block []byte) bool {
	// File systems fill a file's last block with zeros.
	if binary.LittleEndian.Uint64(block[Grid-16:])|binary.LittleEndian.Uint64(block[Grid-8:]) == 0 {
		return true
	}
	v := (xxh3.HashSeed(block, a.seed) ^ a.mask) * a.mul1
	v = (v ^ v>>32) * a.mul2
	return v < a.limit
}
