package chunk

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strings"
	"testing"

	"github.com/restic/chunker"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
	"github.com/zeebo/xxh3"
)

// rule says whether there is a cut at n, for n from Min to Max-1. The rules here
// follow the package documentation word by word, slowly.
type rule func(chunk []byte, n int) bool

// referenceRule returns the rule of the kind.
func referenceRule(t *testing.T, kind Kind, mean int, secret *[32]byte) rule {
	switch kind {
	case Aligned:
		return alignedRule(mean, secret)
	case Gear:
		return gearRule(mean, secret)
	case Rabin:
		return rabinRule(t, mean, secret)
	}
	return func(_ []byte, n int) bool { return n == mean }
}

func alignedRule(mean int, secret *[32]byte) rule {
	var k [32]byte
	blake3.DeriveKey("holdfast v1 aligned grid", secret[:], k[:])
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(k[8*i:]) }
	limit := math.MaxUint64 / (3*uint64(mean/4)/4096 + 1)
	return func(chunk []byte, n int) bool {
		if n%4096 != 0 {
			return false
		}
		if string(chunk[n-16:n]) == strings.Repeat("\x00", 16) {
			return true
		}
		v := (xxh3.HashSeed(chunk[n-4096:n], word(0)) ^ word(1)) * (word(2) | 1)
		v = (v ^ (v >> 32)) * (word(3) | 1)
		return v < limit
	}
}

func gearRule(mean int, secret *[32]byte) rule {
	raw := make([]byte, 2048)
	blake3.DeriveKey("holdfast v1 gear table", secret[:], raw)
	k := bits.Len(uint(mean)) - 1
	return func(chunk []byte, n int) bool {
		var h uint64
		for j := range 64 {
			h += binary.LittleEndian.Uint64(raw[8*int(chunk[n-1-j]):]) << j
		}
		zeros := bits.LeadingZeros64(h)
		if n < mean/4+37*mean/64 {
			return zeros >= k+2
		}
		return zeros >= k-2
	}
}

func rabinRule(t *testing.T, mean int, secret *[32]byte) rule {
	raw := make([]byte, 8<<10)
	blake3.DeriveKey("holdfast v1 rabin polynomial", secret[:], raw)
	var pol uint64
	for i := 0; ; i += 8 {
		require.Less(t, i, len(raw), "no irreducible polynomial")
		pol = binary.LittleEndian.Uint64(raw[i:])&(1<<54-1) | 1<<53 | 1
		if chunker.Pol(pol).Irreducible() {
			break
		}
	}
	k := bits.Len(uint(mean)) - 1
	return func(chunk []byte, n int) bool {
		var f uint64
		for _, b := range chunk[n-64 : n] {
			for bit := 7; bit >= 0; bit-- {
				f = f<<1 | uint64(b>>bit&1)
				f ^= pol * (f >> 53)
			}
		}
		zeros := bits.TrailingZeros64(f)
		if n < mean/4+3*mean/8 {
			return zeros >= k+1
		}
		return zeros >= k-1
	}
}

// referenceCuts returns all cuts of data by the rule.
func referenceCuts(data []byte, mean int, cut rule) []int {
	var cuts []int
	for start := 0; start < len(data); {
		rest := data[start:]
		n := mean / 4
		for n < len(rest) && n < 4*mean && !cut(rest, n) {
			n++
		}
		start += min(n, len(rest))
		cuts = append(cuts, start)
	}
	return cuts
}

func TestReference(t *testing.T) {
	const size = 128<<10 + 77
	inputs := map[string][]byte{
		"random": randomBytes(7, size),
		"text":   textBytes(7, size),
		"mixed":  append(make([]byte, 30000), append(textBytes(8, 40000), randomBytes(8, 40000)...)...),
	}
	for _, kind := range allKinds {
		mean := MinMean
		if kind == Aligned {
			mean = MinAlignedMean
		}
		for ; mean <= MinAlignedMean; mean *= 2 {
			cut := referenceRule(t, kind, mean, testSecret())
			for name, data := range inputs {
				c := mustNew(t, kind, mean, testSecret())
				require.Equal(t, referenceCuts(data, mean, cut), AppendCuts(nil, c, data, true),
					"%s %d %s", kind, mean, name)
			}
		}
	}
}
