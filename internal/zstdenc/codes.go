package zstdenc

import (
	"math"
	"math/bits"
)

// The codes of lengths and offsets, and how many bits follow each (RFC 8878, section 3.1.1.3.2.1.1).

var literalBits = [maxSymbols]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

var matchBits = [maxSymbols]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

var smallLiteral, smallMatch = codesBelow[[64]uint8](literalBits[:]), codesBelow[[128]uint8](matchBits[:])

// codesBelow are the codes of small values: each code stands for as many as follow from its bits.
func codesBelow[T [64]uint8 | [128]uint8](extra []uint8) (codes T) {
	v := 0
	for code, n := range extra {
		for range 1 << n {
			if v == len(codes) {
				return codes
			}
			codes[v] = uint8(code)
			v++
		}
	}
	return codes
}

func literalCode(n uint32) uint8 {
	if n < 64 {
		return smallLiteral[n]
	}
	return uint8(bits.Len32(n) + 18)
}

// matchCode takes the length of a match less minMatch.
func matchCode(n uint32) uint8 {
	if n < 128 {
		return smallMatch[n]
	}
	return uint8(bits.Len32(n) + 35)
}

func offsetCode(v uint32) uint8 { return uint8(bits.Len32(v) - 1) }

// The kinds of codes, in the order in which their tables come.
const (
	literalLengths = iota
	offsets
	matchLengths
)

// kind says how codes of one kind are coded.
type kind struct {
	most     uint // accuracy of their tables
	defaults table
	cost     [maxSymbols]uint16 // of each code by the default table, in 1/unit bits; 0: it has none
}

// kinds have the default distributions of RFC 8878, section 3.1.1.3.2.2.
var kinds = [3]kind{
	literalLengths: newKind(9, 6, literalProbs),
	offsets:        newKind(8, 5, offsetProbs),
	matchLengths:   newKind(9, 6, matchProbs),
}

var (
	literalProbs = []int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1}
	offsetProbs  = []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}
	matchProbs   = []int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1}
)

func newKind(most, log uint, probs []int16) (k kind) {
	k.most = most
	k.defaults.build(probs, log)
	for s, p := range probs {
		k.cost[s] = costOf(max(p, 1), log)
	}
	return k
}

const unit = 256

// logs are binary logarithms, in 1/unit.
var logs = func() (l [1<<maxLog + 1]uint16) {
	for i := 1; i < len(l); i++ {
		l[i] = uint16(math.Round(math.Log2(float64(i)) * unit))
	}
	return l
}()

// costOf returns how many 1/unit bits a code of a probability of p in 2^log takes. Of 0, which does not occur, it is of no meaning.
func costOf(p int16, log uint) uint16 { return uint16(log)*unit - logs[p] }
