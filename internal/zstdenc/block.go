package zstdenc

import (
	"encoding/binary"
	"errors"

	"github.com/klauspost/compress/huff0"
)

// block is what one block holds, and what is remembered from one to the next.
type block struct {
	literals []byte
	seqs     []sequence
	counts   [3][maxSymbols]uint32 // how often each code occurs
	recent   recent
	huff     huff0.Scratch

	own   [3]table
	probs [maxSymbols]int16
	out   []byte
}

// begin prepares for the first block of a frame.
func (b *block) begin() {
	b.recent = recent{1, 4, 8}
	b.huff.Reuse = huff0.ReusePolicyNone
}

// encode returns what the block of src from a place on is coded to, valid until the next call, unless it is no smaller. Its sequences were found.
func (b *block) encode(src []byte, from int) (coded []byte, ok bool) {
	before := b.recent
	b.gather(src, from)
	b.out = b.appendLiterals(b.out[:0])
	b.out = b.appendSequences(b.out)
	if len(b.out) < len(src)-from {
		return b.out, true
	}
	b.recent = before // what a reader does not get it does not know
	b.huff.Reuse = huff0.ReusePolicyNone
	return nil, false
}

// The types of literals (RFC 8878, section 3.1.1.3.1.1).
const (
	rawLiterals    = 0
	oneLiteral     = 1
	codedLiterals  = 2
	sameAsLastTime = 3
)

// appendLiterals appends the section of literals (RFC 8878, section 3.1.1.3.1).
func (b *block) appendLiterals(out []byte) []byte {
	const few, one = 32, 1024 // below are not coded, below are coded as one stream
	n := len(b.literals)
	var coded []byte
	var same bool
	err := huff0.ErrIncompressible
	switch {
	case n >= one:
		coded, same, err = huff0.Compress4X(b.literals, &b.huff)
	case n >= few:
		coded, same, err = huff0.Compress1X(b.literals, &b.huff)
	}
	switch {
	case errors.Is(err, huff0.ErrUseRLE):
		return append(appendLength(out, oneLiteral, n), b.literals[0])
	case err != nil:
		return append(appendLength(out, rawLiterals, n), b.literals...)
	}
	b.huff.Reuse = huff0.ReusePolicyAllow
	kind := codedLiterals
	if same {
		kind = sameAsLastTime
	}
	return append(appendLengths(out, kind, n, len(coded), n >= one), coded...)
}

// appendLength appends the header of literals that are not coded.
func appendLength(out []byte, kind, n int) []byte {
	switch {
	case n < 1<<5:
		return append(out, byte(kind|n<<3))
	case n < 1<<12:
		return binary.LittleEndian.AppendUint16(out, uint16(kind|1<<2|n<<4))
	}
	v := kind | 3<<2 | n<<4
	return append(out, byte(v), byte(v>>8), byte(v>>16))
}

// appendLengths appends the header of literals that are coded, which are no longer than before.
func appendLengths(out []byte, kind, n, coded int, fourStreams bool) []byte {
	v := uint64(kind) | uint64(n)<<4
	switch {
	case !fourStreams:
		v |= uint64(coded) << 14
		return append(out, byte(v), byte(v>>8), byte(v>>16))
	case n < 1<<14:
		v |= 2<<2 | uint64(coded)<<18
		return binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	v |= 3<<2 | uint64(coded)<<22
	return append(binary.LittleEndian.AppendUint32(out, uint32(v)), byte(v>>32))
}

// The ways to give a table (RFC 8878, section 3.1.1.3.2.1).
const (
	defaultTable = 0
	oneSymbol    = 1
	ownTable     = 2
)

// appendTable appends the description of the table for one kind of codes, of which there are total, and returns it: the default one, if that makes all smallest.
func (b *block) appendTable(out []byte, k int, total uint32) ([]byte, *table, byte) {
	kind, counts, own := &kinds[k], &b.counts[k], &b.own[k]
	end, symbols, byDefault, possible := 0, 0, uint64(0), true
	for s, c := range counts {
		if c > 0 {
			end, symbols = s+1, symbols+1
			byDefault += uint64(c) * uint64(kind.cost[s])
			possible = possible && kind.cost[s] > 0
		}
	}
	if symbols == 1 {
		if possible && byDefault <= 8*unit {
			return out, &kind.defaults, defaultTable
		}
		own.single(uint8(end - 1))
		return append(out, byte(end-1)), own, oneSymbol
	}
	log := accuracy(total, symbols, kind.most)
	probs := b.probs[:end]
	normalise(probs, counts[:end], total, log)
	before := len(out)
	out = appendProbs(out, probs, log)
	byOwn := uint64(len(out)-before) * 8 * unit
	for s, c := range counts[:end] {
		byOwn += uint64(c) * uint64(costOf(probs[s], log))
	}
	if possible && byDefault <= byOwn {
		return out[:before], &kind.defaults, defaultTable
	}
	own.build(probs, log)
	return out, own, ownTable
}
