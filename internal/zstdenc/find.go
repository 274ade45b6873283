package zstdenc

import "math/bits"

const (
	hashBits = 14
	// skipShift is the power of two of how many bytes without a match make the next step one longer.
	skipShift = 6
	// margin is how many bytes from the end of a block on no match begins, so that eight bytes can always be read.
	margin = 16
)

// finder finds matches in the way of the fast levels of the reference encoder: it remembers where each hash of six bytes was seen last, looks up two places at a time, and makes longer
// steps the longer it finds nothing. Where the last two offsets match again is tried first.
type finder struct {
	places [1 << hashBits]uint32
	last   [2]uint32 // offsets
}

func (f *finder) reset() {
	clear(f.places[:])
	f.last = [2]uint32{1, 4}
}

// hash is of the first six bytes of v. The factor is a prime (Knuth, The Art of Computer Programming, section 6.4).
func hash(v uint64) uint64 { return v << 16 * 227718039650203 >> (64 - hashBits) }

// find appends the sequences of the block that begins at from and ends with src. It may be called for one block after the other of the same data.
func (f *finder) find(seqs []sequence, src []byte, from int) []sequence {
	limit := len(src) - margin
	s := max(from, 1)
	if s > limit {
		return seqs
	}
	done := from // what comes before it is in a sequence
	last, older := int(f.last[0]), int(f.last[1])
	v := load64(src, s)
	for {
		var c int // where the match was seen before
		for {
			next := s + 2 + (s-done)>>skipShift
			if next > limit {
				f.last = [2]uint32{uint32(last), uint32(older)}
				return seqs
			}
			a, b := &f.places[hash(v)], &f.places[hash(v>>8)]
			first, second := int(*a), int(*b)
			*a, *b = uint32(s), uint32(s+1)
			if s+1 >= last && load32(src, s+1-last) == uint32(v>>8) {
				s++
				c = s - last
				break
			}
			if load32(src, first) == uint32(v) {
				c = first
				break
			}
			if load32(src, second) == uint32(v>>8) {
				s++
				c = second
				break
			}
			s = next
			v = load64(src, s)
		}
		n := 4 + same(src, s+4, c+4)
		for s > done && c > 0 && src[s-1] == src[c-1] {
			s--
			c--
			n++
		}
		seqs = append(seqs, sequence{literals: uint32(s - done), match: uint32(n), offset: uint32(s - c)})
		if s-c != last {
			last, older = s-c, last
		}
		s += n
		for done = s; s <= limit; done = s { // a match of the offset before the last, right behind
			f.places[hash(load64(src, s-2))] = uint32(s - 2)
			v = load64(src, s)
			if s < older || load32(src, s-older) != uint32(v) {
				break
			}
			n := 4 + same(src, s+4, s+4-older)
			seqs = append(seqs, sequence{match: uint32(n), offset: uint32(older)})
			last, older = older, last
			s += n
		}
		if s > limit {
			f.last = [2]uint32{uint32(last), uint32(older)}
			return seqs
		}
	}
}

// same returns how many bytes are the same from a and from b on, which is before it.
func same(src []byte, a, b int) int {
	from := a
	for ; a+8 <= len(src); a, b = a+8, b+8 {
		if x := load64(src, a) ^ load64(src, b); x != 0 {
			return a - from + bits.TrailingZeros64(x)>>3
		}
	}
	for a < len(src) && src[a] == src[b] {
		a, b = a+1, b+1
	}
	return a - from
}
