package zstdenc

import "encoding/binary"

// bitWriter writes bits from the lowest on. The memory must have 8 bytes more than what is written.
type bitWriter struct {
	out  []byte
	at   int
	acc  uint64
	bits uint // in acc, fewer than 8 after flush
}

// add adds the lowest n bits of v, which must have no others. At most 56 fit between two flushes.
func (w *bitWriter) add(v uint64, n uint) {
	w.acc |= v << (w.bits & 63)
	w.bits += n
}

// flush writes whole bytes.
func (w *bitWriter) flush() {
	binary.LittleEndian.PutUint64(w.out[w.at:], w.acc)
	w.at += int(w.bits >> 3)
	w.acc >>= w.bits &^ 7 & 63
	w.bits &= 7
}

// close ends the stream with a single bit, by which a reader finds its end, and returns how long all is.
func (w *bitWriter) close() int {
	w.add(1, 1)
	w.flush()
	if w.bits > 0 {
		w.at++
	}
	return w.at
}
