package reftree

import "github.com/holdfast-backup/holdfast/internal/wire"

// Ref names one chunk, whose class follows from where the Ref stands.
type Ref struct {
	ID     ID
	Length uint32 // of the plaintext in bytes, 1 to MaxChunk
}

// Pair names a directory node (class META) and the reference node beside it (class MAP).
type Pair struct {
	Meta, Map Ref
}

// Root names the topmost node of a content map. The zero value names none.
type Root struct {
	Level uint8
	Ref
}

const refSize = len(ID{}) + 1

// AppendRef appends r.
func AppendRef(b []byte, r Ref) []byte {
	b = append(b, r.ID[:]...)
	return wire.AppendUvarint(b, uint64(r.Length))
}

// DecodeRef reads a Ref.
func DecodeRef(d *wire.Decoder) (r Ref) {
	d.Copy(r.ID[:])
	r.Length = uint32(d.UvarintMax(MaxChunk, "length of a chunk"))
	if r.Length == 0 {
		d.Fail("chunk without a length")
	}
	return r
}

// AppendPair appends p.
func AppendPair(b []byte, p Pair) []byte { return AppendRef(AppendRef(b, p.Meta), p.Map) }

// DecodePair reads a Pair.
func DecodePair(d *wire.Decoder) (p Pair) {
	p.Meta = DecodeRef(d)
	p.Map = DecodeRef(d)
	return p
}

// AppendRoot appends r.
func AppendRoot(b []byte, r Root) []byte { return AppendRef(append(b, r.Level), r.Ref) }

// DecodeRoot reads a Root.
func DecodeRoot(d *wire.Decoder) (r Root) {
	r.Level = decodeLevel(d)
	r.Ref = DecodeRef(d)
	return r
}

func decodeLevel(d *wire.Decoder) uint8 {
	level := d.U8()
	if level > MaxLevel {
		d.Fail("level is %d, at most %d allowed", level, MaxLevel)
	}
	return level
}
