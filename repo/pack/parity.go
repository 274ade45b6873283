package pack

import (
	"bytes"
	"errors"
	"iter"

	"github.com/klauspost/reedsolomon"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// MaxParity is the most parity that packs can have, in percent.
const MaxParity = 50

const (
	parityMagic  = "HFPARITY"
	parityBlock  = 4 << 10 // what is damaged, and restored, together
	parityShards = 255     // at most, but for rounding
	parityHead   = len(parityMagic) + 2 + 2 + 2 + 3*4
	paritySum    = 8  // bytes of a block's hash that are kept
	parityCheck  = 16 // bytes of the hash of a table that are kept
)

// ErrParity is returned by Restore when a pack has no parity, or more damage than it can make good.
var ErrParity = errors.New("its parity cannot restore it")

// parity is the layout of a pack with a parity section. The content, a copy of the trailer and zeros are dealt out as k data shards of rows blocks, one
// after the other; m parity shards of the same size follow. The blocks at the same place in all shards are one codeword of a Reed–Solomon code
// over GF(2^8): any k of them give the others (Reed and Solomon, 1960; the matrix is that of Blömer et al., 1995).
type parity struct {
	content, size int // bytes before the section, and of the pack
	k, m, rows    int
}

func newParity(content, size, percent int) parity {
	blocks := (content + TrailerSize + parityBlock - 1) / parityBlock
	most := parityShards * 100 / (100 + percent)
	l := parity{content: content, size: size, rows: (blocks + most - 1) / most}
	l.k = (blocks + l.rows - 1) / l.rows
	l.m = (l.k*percent + 99) / 100
	return l
}

// shard returns the size in bytes of a shard.
func (l *parity) shard() int { return l.rows * parityBlock }

// covered returns how many of the first bytes of the pack are data shards.
func (l *parity) covered() int { return l.k * l.shard() }

// table returns the size in bytes of the table of hashes, of which there are two.
func (l *parity) table() int { return parityHead + (l.k+l.m)*l.rows*paritySum + parityCheck }

// least returns the size in bytes of the smallest pack that has room for all that.
func (l *parity) least() int { return l.covered() + 2*l.table() + l.m*l.shard() + TrailerSize }

// fits reports whether there is room, and the numbers are such as newParity makes.
func (l *parity) fits() bool {
	const most = MaxSize / parityBlock
	return l.k > 0 && l.m > 0 && l.rows > 0 && l.k+l.m <= parityShards+1 && l.rows <= most && (l.k+l.m)*l.rows <= most && l.content >= HeaderSize &&
		l.content+TrailerSize <= l.covered() && l.least() <= l.size
}

// capacity returns how much content a pack of that size has room for.
func capacity(size, percent int) int {
	if percent == 0 {
		return size - TrailerSize
	}
	content := size/parityBlock*parityBlock - TrailerSize
	for {
		if l := newParity(content, size, percent); l.least() <= size {
			return content
		}
		content -= parityBlock
	}
}

// append appends the section to p, the content of a pack.
func (l *parity) append(p, trailer []byte) ([]byte, error) {
	p = append(p, trailer...)
	p = append(p, make([]byte, l.size-TrailerSize-len(p))...)
	rs, err := reedsolomon.New(l.k, l.m, reedsolomon.WithCauchyMatrix())
	if err != nil {
		return nil, err
	}
	if err := rs.Encode(l.shards(p)); err != nil {
		return nil, err
	}
	table := l.appendTable(nil, p)
	copy(p[l.covered():], table)
	copy(p[len(p)-len(table):], table)
	return p, nil
}

// shards returns the shards of a pack.
func (l *parity) shards(p []byte) [][]byte {
	list := make([][]byte, 0, l.k+l.m)
	for i := range l.k + l.m {
		at := i * l.shard()
		if i >= l.k {
			at += l.table()
		}
		list = append(list, p[at:at+l.shard():at+l.shard()])
	}
	return list
}

func (l *parity) appendTable(b, p []byte) []byte {
	start := len(b)
	b = append(b, parityMagic...)
	b = wire.AppendU16(b, version)
	b = wire.AppendU16(b, uint16(l.k))
	b = wire.AppendU16(b, uint16(l.m))
	b = wire.AppendU32(b, uint32(l.rows))
	b = wire.AppendU32(b, uint32(l.content))
	b = wire.AppendU32(b, uint32(l.size))
	for _, shard := range l.shards(p) {
		for i := range l.rows {
			sum := blockSum(shard[i*parityBlock : (i+1)*parityBlock])
			b = append(b, sum[:]...)
		}
	}
	check := crypto.Hash(b[start:])
	return append(b, check[:parityCheck]...)
}

func blockSum(block []byte) (sum [paritySum]byte) {
	hash := crypto.Hash(block)
	copy(sum[:], hash[:])
	return sum
}

// decodeParity reads a table at an offset of p, a pack that should be of that size; ok is false if there is none that is whole. A table has one of two places, so that
// what only looks like one, as somebody may have written it, costs no work.
func decodeParity(p []byte, at, size int) (l parity, sums []byte, ok bool) {
	t := p[at:]
	if len(t) < parityHead {
		return l, nil, false
	}
	d := wire.NewDecoder(t[:parityHead])
	d.Magic(parityMagic, version)
	l = parity{k: int(d.U16()), m: int(d.U16()), rows: int(d.U32()), content: int(d.U32()), size: int(d.U32())}
	if d.Err() != nil || l.size != size || !l.fits() || len(t) < l.table() || at != l.covered() && at != size-TrailerSize-l.table() {
		return l, nil, false
	}
	end := l.table() - parityCheck
	check := crypto.Hash(t[:end])
	return l, t[parityHead:end], bytes.Equal(check[:parityCheck], t[end:l.table()])
}

// tables yields what is found of tables in p.
func tables(p []byte, size int) iter.Seq2[parity, []byte] {
	return func(yield func(parity, []byte) bool) {
		for at := 0; ; at++ {
			next := bytes.Index(p[at:], []byte(parityMagic))
			if next < 0 {
				return
			}
			at += next
			if l, sums, ok := decodeParity(p, at, size); ok && !yield(l, sums) {
				return
			}
		}
	}
}

// Restore makes the pack of that name and size in bytes out of p, its damaged bytes, by the parity in it. It needs no key. p may be cut short, by a third at
// most. The error is ErrParity.
func Restore(p []byte, size uint32, name crypto.ID) ([]byte, error) {
	if size > MaxSize || uint64(len(p)) < uint64(size)/2 {
		return nil, ErrParity
	}
	p = p[:min(len(p), int(size))]
	for l, sums := range tables(p, int(size)) {
		patched, whole := l.patch(p, sums)
		if !whole {
			continue
		}
		if made, err := l.anew(patched); err == nil && crypto.Hash(made) == name {
			return made, nil
		}
	}
	return nil, ErrParity
}

// Patch returns p, the damaged bytes of a pack that should have that size, with what its parity can make good. What it cannot is as it was. It proves nothing: segments and
// chunks tell by themselves whether they are right.
func Patch(p []byte, size uint32) []byte {
	if size > MaxSize || uint64(len(p)) < uint64(size)/2 {
		return p
	}
	for l, sums := range tables(p[:min(len(p), int(size))], int(size)) {
		patched, _ := l.patch(p, sums)
		return patched
	}
	return p
}

// patch makes good what is damaged in the data shards, as far as possible, and reports whether it was.
func (l *parity) patch(damaged, sums []byte) (p []byte, whole bool) {
	p = make([]byte, l.size)
	copy(p, damaged)
	rs, err := reedsolomon.New(l.k, l.m, reedsolomon.WithCauchyMatrix())
	if err != nil {
		return p, false
	}
	whole = true
	shards, row := l.shards(p), make([][]byte, l.k+l.m)
	for i := range l.rows {
		bad := 0
		for j := range shards {
			row[j] = shards[j][i*parityBlock : (i+1)*parityBlock : (i+1)*parityBlock]
			sum := blockSum(row[j])
			if !bytes.Equal(sum[:], sums[(j*l.rows+i)*paritySum:][:paritySum]) {
				row[j] = row[j][:0]
				bad++
			}
		}
		if bad > 0 && rs.ReconstructData(row) != nil {
			whole = false
		}
	}
	return p, whole
}

// anew makes all but the data shards anew.
func (l *parity) anew(p []byte) ([]byte, error) {
	trailer := bytes.Clone(p[l.content : l.content+TrailerSize])
	p, err := l.append(p[:l.content], trailer)
	if err != nil {
		return nil, err
	}
	return append(p, trailer...), nil
}
