// Package wire encodes and decodes the primitive values of the repository format (docs/format.md, section 1).
//
// A Decoder never panics and never allocates more than the bytes it was given can justify: every length and count is
// checked against what is left. Its first error sticks, so callers check once, with Finish or Err.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// ErrFormat is wrapped by every decoding error.
var ErrFormat = errors.New("malformed")

// AppendUvarint appends v as a shortest-form LEB128 number.
func AppendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendBytes appends the length of p and then p.
func AppendBytes[T []byte | string](b []byte, p T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// AppendBool appends v as one byte.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendU16 appends v, little-endian.
func AppendU16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }

// AppendU32 appends v, little-endian.
func AppendU32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }

// AppendU64 appends v, little-endian.
func AppendU64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// AppendI64 appends v, little-endian two's complement.
func AppendI64(b []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(v)) }

// AppendStrings appends a list of strings.
func AppendStrings[T []byte | string](b []byte, list []T) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = AppendBytes(b, s)
	}
	return b
}

// UvarintLen reports how many bytes AppendUvarint appends for v.
func UvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// Decoder reads values from the front of a byte slice. The zero value reads nothing.
// It is not safe for concurrent use.
type Decoder struct {
	buf  []byte
	full int
	err  error
}

// NewDecoder returns a Decoder over b. Byte slices it hands out alias b.
func NewDecoder(b []byte) *Decoder { return &Decoder{buf: b, full: len(b)} }

// Err returns the first error met.
func (d *Decoder) Err() error { return d.err }

// Len reports how many bytes are left.
func (d *Decoder) Len() int { return len(d.buf) }

// Offset reports how many bytes were read.
func (d *Decoder) Offset() int { return d.full - len(d.buf) }

// Fail records an error found by the caller, such as a value out of range, unless there is one already.
func (d *Decoder) Fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w at byte %d: %s", ErrFormat, d.Offset(), fmt.Sprintf(format, args...))
	}
}

// Finish returns the first error met; bytes left over are one.
func (d *Decoder) Finish() error {
	if d.err == nil && len(d.buf) > 0 {
		d.Fail("%d bytes left over", len(d.buf))
	}
	return d.err
}

// Fixed reads exactly n bytes. After an error it returns nil.
func (d *Decoder) Fixed(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n < 0 || n > len(d.buf) {
		d.Fail("%d bytes wanted, %d left", n, len(d.buf))
		return nil
	}
	p := d.buf[:n:n]
	d.buf = d.buf[n:]
	return p
}

// Copy fills dst. After an error dst is left as it was.
func (d *Decoder) Copy(dst []byte) { copy(dst, d.Fixed(len(dst))) }

// U8 reads one byte.
func (d *Decoder) U8() uint8 {
	if p := d.Fixed(1); p != nil {
		return p[0]
	}
	return 0
}

// U16 reads a little-endian number.
func (d *Decoder) U16() uint16 {
	if p := d.Fixed(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

// U32 reads a little-endian number.
func (d *Decoder) U32() uint32 {
	if p := d.Fixed(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// U64 reads a little-endian number.
func (d *Decoder) U64() uint64 {
	if p := d.Fixed(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// I64 reads a little-endian two's complement number.
func (d *Decoder) I64() int64 { return int64(d.U64()) }

// Bool reads one byte that must be 0 or 1.
func (d *Decoder) Bool() bool {
	v := d.U8()
	if v > 1 {
		d.Fail("bool is %d", v)
	}
	return v == 1
}

// Uvarint reads a shortest-form LEB128 number.
func (d *Decoder) Uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, n := binary.Uvarint(d.buf)
	if n <= 0 || n != UvarintLen(v) {
		d.Fail("bad varint")
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// UvarintMax reads a number that must not exceed limit.
func (d *Decoder) UvarintMax(limit uint64, what string) uint64 { return d.uvarintMax(limit, "", what) }

// uvarintMax keeps prefix and what apart so that nothing is joined, and allocated, unless it is needed.
func (d *Decoder) uvarintMax(limit uint64, prefix, what string) uint64 {
	v := d.Uvarint()
	if v > limit {
		d.Fail("%s%s is %d, at most %d allowed", prefix, what, v, limit)
		return 0
	}
	return v
}

// Count reads the count of a list whose items take at least minSize bytes each. A count that the bytes left cannot hold is an
// error, so the result is safe to allocate by (times the in-memory size of an item).
func (d *Decoder) Count(minSize int, what string) int {
	return int(d.uvarintMax(uint64(len(d.buf)/max(minSize, 1)), "count of ", what))
}

// Bytes reads a length and that many bytes, at most limit. The result aliases the input.
func (d *Decoder) Bytes(limit int, what string) []byte {
	n := d.uvarintMax(uint64(max(limit, 0)), "length of ", what)
	return d.Fixed(int(n))
}

// String reads a length and that many bytes, at most limit, as a string.
func (d *Decoder) String(limit int, what string) string { return string(d.Bytes(limit, what)) }

// Strings reads a list of at most count strings of at most limit bytes each.
func (d *Decoder) Strings(count, limit int, what string) []string {
	n := d.Count(1, what)
	if n > count {
		d.Fail("%d %s, at most %d allowed", n, what, count)
		return nil
	}
	var list []string
	for range n {
		list = append(list, d.String(limit, what))
	}
	if d.err != nil {
		return nil
	}
	return list
}

// Magic reads a six-byte magic and a version and fails unless they are as given.
func (d *Decoder) Magic(magic string, version uint16) {
	if p := d.Fixed(len(magic)); p != nil && string(p) != magic {
		d.Fail("not a %s object", magic)
	}
	if v := d.U16(); d.err == nil && v != version {
		d.err = fmt.Errorf("%w: %s version %d, this program knows %d", ErrVersion, magic, v, version)
	}
}

// ErrVersion is wrapped when an object's version is not known.
var ErrVersion = errors.New("unknown format version")

// Zero reads n bytes that must be zero.
func (d *Decoder) Zero(n int) {
	for _, b := range d.Fixed(n) {
		if b != 0 {
			d.Fail("reserved bytes are not zero")
			return
		}
	}
}
