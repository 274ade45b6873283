package zstdenc

// sequence is a run of literals and a match behind it.
type sequence struct {
	literals uint32
	match    uint32 // its length, which codes give less minMatch
	offset   uint32 // how far back it was; or, once gathered, what stands for that

	literalCode, matchCode, offsetCode uint8
}

const minMatch = 3

// maxBlock is how many bytes a block stands for at most (RFC 8878, section 3.1.1.2.4).
const maxBlock = 128 << 10

// recent are the last three offsets, the newest first (RFC 8878, section 3.1.1.5).
type recent [3]uint32

// value returns what stands for an offset behind so many literals, and notes it: 1 to 3 for the recent ones, otherwise 3 more than it is.
func (r *recent) value(offset, literals uint32) uint32 {
	first := uint32(1) // value of the newest
	if literals == 0 {
		first = 0 // that cannot be said: the match before it would have been longer
	}
	switch {
	case offset == r[0] && literals > 0:
	case offset == r[1]:
		r[0], r[1] = r[1], r[0]
		first++
	case offset == r[2]:
		r[0], r[1], r[2] = r[2], r[0], r[1]
		first += 2
	default:
		r[0], r[1], r[2] = offset, r[0], r[1]
		return offset + 3
	}
	return first
}

// gather takes the literals together and finds the codes of the sequences. These begin at from in src.
func (b *block) gather(src []byte, from int) {
	clear(b.counts[:])
	if b.literals == nil {
		b.literals = make([]byte, maxBlock+spare)
	}
	out, n := b.literals[:maxBlock+spare], 0
	for i := range b.seqs {
		s := &b.seqs[i]
		if s.literals <= spare { // the end of src is at least margin bytes away
			*(*[spare]byte)(out[n:]) = *(*[spare]byte)(src[from:])
		} else {
			copy(out[n:], src[from:from+int(s.literals)])
		}
		n += int(s.literals)
		from += int(s.literals + s.match)
		s.match -= minMatch
		s.offset = b.recent.value(s.offset, s.literals)
		s.literalCode, s.matchCode, s.offsetCode = literalCode(s.literals), matchCode(s.match), offsetCode(s.offset)
		b.counts[literalLengths][s.literalCode%maxSymbols]++
		b.counts[offsets][s.offsetCode%maxSymbols]++
		b.counts[matchLengths][s.matchCode%maxSymbols]++
	}
	n += copy(out[n:], src[from:])
	b.literals = out[:n]
}

// spare is how many bytes are copied at once.
const spare = margin

// appendSequences appends the section of sequences (RFC 8878, section 3.1.1.3.2).
func (b *block) appendSequences(out []byte) []byte {
	n := len(b.seqs)
	switch {
	case n < 128:
		out = append(out, byte(n))
	case n < 0x7f00:
		out = append(out, byte(n>>8)+128, byte(n))
	default:
		out = append(out, 255, byte(n-0x7f00), byte((n-0x7f00)>>8))
	}
	if n == 0 {
		return out
	}
	at := len(out)
	out = append(out, 0)
	var by [3]*table
	modes := byte(0)
	for k := range by {
		var mode byte
		out, by[k], mode = b.appendTable(out, k, uint32(n))
		modes = modes<<2 | mode
	}
	out[at] = modes << 2
	return b.appendCodes(out, by[literalLengths], by[offsets], by[matchLengths])
}

// appendCodes appends the codes of all sequences, from the last to the first.
func (b *block) appendCodes(out []byte, literals, offsets, matches *table) []byte {
	const most, end = 11, 16 // bytes of one sequence, and of the states and the margin of the writer
	if need := len(out) + len(b.seqs)*most + end; cap(out) < need {
		out = append(make([]byte, 0, 2*need), out...)
	}
	w := bitWriter{out: out[:cap(out)], at: len(out)}
	s := &b.seqs[len(b.seqs)-1]
	m, o, l := matches.begin(s.matchCode), offsets.begin(s.offsetCode), literals.begin(s.literalCode)
	w.addRest(s)
	for i := len(b.seqs) - 2; i >= 0; i-- {
		s := &b.seqs[i]
		o = offsets.encode(&w, o, s.offsetCode)
		m = matches.encode(&w, m, s.matchCode)
		l = literals.encode(&w, l, s.literalCode)
		w.addRest(s)
	}
	matches.end(&w, m)
	offsets.end(&w, o)
	literals.end(&w, l)
	return out[:w.close()]
}

// addRest adds the bits that the codes of a sequence leave open. No more than 33 are before them.
func (w *bitWriter) addRest(s *sequence) {
	l, m, o := uint(literalBits[s.literalCode%maxSymbols]), uint(matchBits[s.matchCode%maxSymbols]), uint(s.offsetCode)
	if l+m+o > 30 {
		w.flush()
	}
	w.add(uint64(s.literals)&(1<<l-1), l)
	w.add(uint64(s.match)&(1<<m-1), m)
	if l+m > 16 {
		w.flush()
	}
	w.add(uint64(s.offset)&(1<<(o&63)-1), o)
	w.flush()
}
