package chunk

import (
	"fmt"
	"math/bits"

	"github.com/restic/chunker"
)

const (
	rabinContext = "holdfast v1 rabin polynomial"
	rabinLevel   = 1 // bits by which the masks differ from log2(Mean), up and down
)

// rabin cuts where Rabin fingerprints of the last 64 bytes match one of two
// masks. The fields are fresh chunkers that Next copies: the library's scan is
// stateful, a copy on the stack is not shared and costs no allocation.
type rabin struct {
	p      Params
	normal int                 // chunk length from which the loose mask holds
	strict chunker.BaseChunker // from Min on
	loose  chunker.BaseChunker // from normal on
}

func newRabin(p Params, secret *[32]byte) (*rabin, error) {
	pol, err := chunker.DerivePolynomial(derive(rabinContext, secret))
	if err != nil {
		return nil, fmt.Errorf("deriving the rabin polynomial: %w", err)
	}
	k := bits.TrailingZeros(uint(p.Mean))
	normal := rabinNormal(p)
	return &rabin{
		p:      p,
		normal: normal,
		strict: rabinFrom(pol, p.Min(), p.Max(), k+rabinLevel),
		loose:  rabinFrom(pol, normal, p.Max(), k-rabinLevel),
	}, nil
}

// rabinFrom returns a fresh chunker for cuts at least least bytes into a chunk.
func rabinFrom(pol chunker.Pol, least, most, maskBits int) chunker.BaseChunker {
	return *chunker.NewBase(pol,
		chunker.WithBaseBoundaries(uint(least), uint(most)),
		chunker.WithBaseAverageBits(maskBits))
}

// rabinNormal returns the chunk length at which the masks change. From
// Min + 2M(1-r) + rM/2 = M with r = exp(-(N-Min)/2M) follows N-Min = 0.365 M;
// 3/8 is near it.
func rabinNormal(p Params) int { return p.Min() + p.Mean/8*3 }

func (r *rabin) Kind() Kind     { return Rabin }
func (r *rabin) Params() Params { return r.p }

func (r *rabin) Next(data []byte, final bool) int {
	data = r.p.clip(data)
	c := r.strict
	if n := c.NextSplitPoint(data[:min(r.normal-1, len(data))]); n > 0 {
		return n
	}
	c = r.loose
	if n := c.NextSplitPoint(data); n > 0 {
		return n
	}
	return r.p.uncut(len(data), final)
}
