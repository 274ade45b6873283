package zstdenc

import "math/bits"

// The largest accuracy of a table here, and the most symbols (RFC 8878, section 3.1.1.3.2.1).
const (
	maxLog     = 9
	maxSymbols = 64 // 53, and so many that an index of 6 bits needs no check
)

// table codes symbols of one kind by tabled asymmetric numeral systems: Duda, "Asymmetric numeral systems" (arXiv 1311.2540), in the form of RFC 8878, section 4.1.
type table struct {
	log     uint
	symbols [maxSymbols]transition
	states  [1 << maxLog]uint16
}

// transition says how a symbol changes the state: by (state + bits) >> 16 bits that are written, to the entry of the table at what is left plus find.
type transition struct {
	bits uint32
	find int32
}

// build makes the table of probabilities in units of 1 / 2^log; -1 is one that is smaller than that.
func (t *table) build(probs []int16, log uint) {
	t.log = log
	size := 1 << log
	var first [maxSymbols + 1]uint16 // place of a symbol's first state
	var owner [1 << maxLog]uint8
	high := size // from here on are the states of improbable symbols
	for s, p := range probs {
		n := p
		if p < 0 {
			high--
			owner[high] = uint8(s)
			n = 1
		}
		first[s+1] = first[s] + uint16(n)
	}
	at, step := 0, size>>1+size>>3+3
	for s, p := range probs {
		for range p {
			owner[at] = uint8(s)
			for at = (at + step) & (size - 1); at >= high; at = (at + step) & (size - 1) {
			}
		}
	}
	next := first
	for i, s := range owner[:size] {
		t.states[next[s]] = uint16(size + i)
		next[s]++
	}
	for s, p := range probs {
		t.symbols[s] = transitionOf(p, int32(first[s]), log)
	}
}

// single makes the table of one symbol, which takes no bits.
func (t *table) single(s uint8) {
	t.log, t.states[0], t.symbols[s] = 0, 0, transition{}
}

func transitionOf(p int16, first int32, log uint) transition {
	switch p {
	case 0:
		return transition{}
	case 1, -1:
		return transition{uint32(log)<<16 - 1<<log, first - 1}
	}
	most := uint32(log) - uint32(bits.Len16(uint16(p-1))-1)
	return transition{most<<16 - uint32(p)<<most, first - int32(p)}
}

// begin returns the state in which the last symbol leaves the decoder, which is the first to be coded.
func (t *table) begin(s uint8) uint32 {
	tr := t.symbols[s%maxSymbols]
	n := (tr.bits + 1<<15) >> 16
	return uint32(t.states[uint32(int32((n<<16-tr.bits)>>n)+tr.find)%(1<<maxLog)])
}

// encode writes a symbol, and returns the next state.
func (t *table) encode(w *bitWriter, state uint32, s uint8) uint32 {
	tr := t.symbols[s%maxSymbols]
	n := (state + tr.bits) >> 16
	w.add(uint64(state&(1<<(n&31)-1)), uint(n))
	return uint32(t.states[uint32(int32(state>>(n&31))+tr.find)%(1<<maxLog)])
}

// end writes the last state.
func (t *table) end(w *bitWriter, state uint32) { w.add(uint64(state)&(1<<t.log-1), t.log) }

// normalise turns counts of symbols into probabilities that add up to 2^log. total is their sum, at least 2, of at least two symbols, of which there are no more than 2^log.
func normalise(probs []int16, counts []uint32, total uint32, log uint) {
	size := uint32(1) << log
	left, most := int32(size), 0
	for s, n := range counts {
		p := int32(0)
		if n > 0 {
			p = max(1, int32((uint64(n)<<log+uint64(total)/2)/uint64(total)))
		}
		probs[s] = int16(p)
		left -= p
		if n > counts[most] {
			most = s
		}
	}
	if int32(probs[most])+left > int32(probs[most])/2 {
		probs[most] += int16(left)
		return
	}
	for ; left < 0; left++ { // many rare symbols: what they got too much all others give
		most = 0
		for s, p := range probs {
			if p > probs[most] {
				most = s
			}
		}
		probs[most]--
	}
}

// accuracy returns the accuracy of a table for so many symbols in all, of so many different ones.
func accuracy(total uint32, symbols int, most uint) uint {
	return min(most, max(5, uint(bits.Len(uint(symbols))), uint(max(bits.Len32(total-1)-3, 0))))
}

// appendProbs appends the description of a table (RFC 8878, section 4.1.1). The last symbol has a probability.
func appendProbs(b []byte, probs []int16, log uint) []byte {
	acc, n := uint32(log-5), uint(4)
	add := func(v uint32, width uint) {
		acc |= v << n
		for n += width; n >= 8; n -= 8 {
			b = append(b, byte(acc))
			acc >>= 8
		}
	}
	left := int32(1)<<log + 1 // a value of up to this is still possible
	for s := 0; s < len(probs); s++ {
		v := uint32(probs[s] + 1)
		width := uint(bits.Len32(uint32(left)))
		short := uint32(1)<<width - 1 - uint32(left) // so many values take a bit less
		switch {
		case v < short:
			add(v, width-1)
		case v < 1<<(width-1):
			add(v, width)
		default:
			add(v+short, width)
		}
		left -= int32(max(probs[s], -probs[s]))
		if probs[s] == 0 { // how many zeros follow
			zeros := 0
			for ; probs[s+1] == 0; s++ {
				zeros++
			}
			for ; zeros >= 3; zeros -= 3 {
				add(3, 2)
			}
			add(uint32(zeros), 2)
		}
	}
	if n > 0 {
		b = append(b, byte(acc))
	}
	return b
}
