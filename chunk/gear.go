package chunk

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	gearContext = "holdfast v1 gear table"
	gearWindow  = 64 // bytes that a 64-bit gear hash remembers
	gearLevel   = 2  // bits by which the masks differ from log2(Mean), up and down
)

// gear cuts where a rolling hash of the last 64 bytes is below a limit; its two
// limits are the two masks of normalised chunking.
type gear struct {
	p      Params
	normal int    // chunk length from which the loose limit holds
	strict uint64 // limit below normal
	loose  uint64 // limit from normal on
	table  [256]uint64
}

func newGear(p Params, secret *[32]byte) (*gear, error) {
	var raw [256 * 8]byte
	if _, err := derive(gearContext, secret).Read(raw[:]); err != nil {
		return nil, fmt.Errorf("deriving the gear table: %w", err)
	}
	k := bits.TrailingZeros(uint(p.Mean))
	g := &gear{
		p:      p,
		normal: gearNormal(p),
		strict: 1 << (64 - k - gearLevel),
		loose:  1 << (64 - k + gearLevel),
	}
	for i := range g.table {
		g.table[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return g, nil
}

// gearNormal returns the chunk length at which the masks change. From
// Min + 4M(1-r) + rM/4 = M with r = exp(-(N-Min)/4M) follows N-Min = 0.572 M;
// 37/64 is near it.
func gearNormal(p Params) int { return p.Min() + p.Mean/64*37 }

func (g *gear) Kind() Kind     { return Gear }
func (g *gear) Params() Params { return g.p }

func (g *gear) Next(data []byte, final bool) int {
	data = g.p.clip(data)
	first := g.p.Min() - 1 // index of the last byte of the shortest chunk
	if len(data) <= first {
		return g.p.uncut(len(data), final)
	}
	var h uint64
	for _, b := range data[first+1-gearWindow : first] {
		h = h + h + g.table[b]
	}
	change := min(g.normal-1, len(data))
	n, h := g.scan(data[first:change], h, g.strict)
	if n > 0 {
		return first + n
	}
	if n, _ = g.scan(data[change:], h, g.loose); n > 0 {
		return change + n
	}
	return g.p.uncut(len(data), final)
}

// scan rolls h over data. It returns the number of bytes up to and with the
// first whose hash is below limit, or 0 and the hash after all of data. The
// latency of one roll bounds the speed: h+h+t compiles to a single addressing
// instruction on amd64 and runs half again as fast as h<<1+t.
func (g *gear) scan(data []byte, h, limit uint64) (int, uint64) {
	t := &g.table
	i := 0
	for ; i+8 <= len(data); i += 8 {
		b := data[i : i+8 : i+8]
		if h = h + h + t[b[0]]; h < limit {
			return i + 1, h
		}
		if h = h + h + t[b[1]]; h < limit {
			return i + 2, h
		}
		if h = h + h + t[b[2]]; h < limit {
			return i + 3, h
		}
		if h = h + h + t[b[3]]; h < limit {
			return i + 4, h
		}
		if h = h + h + t[b[4]]; h < limit {
			return i + 5, h
		}
		if h = h + h + t[b[5]]; h < limit {
			return i + 6, h
		}
		if h = h + h + t[b[6]]; h < limit {
			return i + 7, h
		}
		if h = h + h + t[b[7]]; h < limit {
			return i + 8, h
		}
	}
	for ; i < len(data); i++ {
		if h = h + h + t[data[i]]; h < limit {
			return i + 1, h
		}
	}
	return 0, h
}
