package pack

import (
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Sizes in bytes of the parts of a pack.
const (
	HeaderSize  = 64
	TrailerSize = 96
	MinSize     = 16 << 10 // no pack is smaller
	MaxSize     = 1 << 30  // no pack is larger

	locatorPlain = 16
	locatorBox   = crypto.BoxOverhead + locatorPlain
	minKeyEntry  = 1 + 4 + 1 + 32
	maxKeyTable  = 1<<16 - 1
)

const (
	headerMagic  = "HFPACK"
	trailerMagic = "HFPEND"
	version      = 1

	locatorPurpose   = "locator"
	directoryPurpose = "directory"
)

// Header is the clear first part of a pack.
type Header struct {
	Class    crypto.Class
	Suite    crypto.Suite
	KeyTable uint16 // length in bytes of the key table, which follows
	Epoch    uint32 // of the K_map that seals directory and locator
	Random   [32]byte
	Domain   [16]byte
}

// BodyOffset returns where the first segment starts, in bytes from the start of the pack.
func (h *Header) BodyOffset() uint32 { return HeaderSize + uint32(h.KeyTable) }

func (h *Header) append(b []byte) []byte {
	b = append(b, headerMagic...)
	b = wire.AppendU16(b, version)
	b = append(b, byte(h.Class), byte(h.Suite))
	b = wire.AppendU16(b, h.KeyTable)
	b = wire.AppendU32(b, h.Epoch)
	b = append(b, h.Random[:]...)
	return append(b, h.Domain[:]...)
}

// DecodeHeader reads the first HeaderSize bytes of a pack. The error is a *FormatError.
func DecodeHeader(p []byte) (Header, error) {
	d := wire.NewDecoder(p)
	h := decodeHeader(d)
	if d.Err() != nil {
		return Header{}, &FormatError{Offset: int64(d.Offset()), Err: d.Err()}
	}
	return h, nil
}

func decodeHeader(d *wire.Decoder) Header {
	var h Header
	d.Magic(headerMagic, version)
	h.Class = crypto.Class(d.U8())
	h.Suite = crypto.Suite(d.U8())
	h.KeyTable = d.U16()
	h.Epoch = d.U32()
	d.Copy(h.Random[:])
	d.Copy(h.Domain[:])
	switch {
	case d.Err() != nil:
	case !h.Class.Valid():
		d.Fail("unknown %s", h.Class)
	case !h.Suite.Valid():
		d.Fail("unknown %s", h.Suite)
	case h.Epoch == 0:
		d.Fail("epoch 0")
	}
	return h
}

func appendKeyTable(b []byte, keys []crypto.KeyEntry) []byte {
	b = append(b, byte(len(keys)))
	for i := range keys {
		b = keys[i].Append(b)
	}
	return b
}

// decodeKeyTable reads a key table, p, of a pack of the given class.
func decodeKeyTable(p []byte, class crypto.Class) ([]crypto.KeyEntry, error) {
	d := wire.NewDecoder(p)
	n := int(d.U8())
	if d.Err() == nil && (n == 0 || n > d.Len()/minKeyEntry) {
		d.Fail("%d keys in a key table of %d bytes", n, len(p))
	}
	var keys []crypto.KeyEntry
	for i := 0; i < n && d.Err() == nil; i++ {
		e := crypto.DecodeKeyEntry(d)
		if d.Err() == nil && e.Kind != uint8(class) {
			d.Fail("key entry of kind %d in a pack of class %s", e.Kind, class)
		}
		keys = append(keys, e)
	}
	if err := d.Finish(); err != nil {
		return nil, &FormatError{Offset: HeaderSize + int64(d.Offset()), Err: err}
	}
	return keys, nil
}

// locator says where the directory is.
type locator struct {
	directory uint32 // offset
	length    uint32 // of the directory's box
	body      uint32 // length
	segments  uint32
}

func (l *locator) append(b []byte) []byte {
	b = wire.AppendU32(b, l.directory)
	b = wire.AppendU32(b, l.length)
	b = wire.AppendU32(b, l.body)
	return wire.AppendU32(b, l.segments)
}

// check holds the locator to the size of the pack and to the bytes after the directory.
func (l *locator) check(h *Header, sections uint32, size int64) error {
	at := size - TrailerSize
	if int64(l.directory)+int64(l.length)+int64(sections) != at {
		return formatf(at, "directory of %d bytes at %d and sections of %d before the trailer at %d", l.length, l.directory, sections, at)
	}
	if int64(h.BodyOffset())+int64(l.body) > int64(l.directory) {
		return formatf(at, "body of %d bytes at %d runs into the directory at %d", l.body, h.BodyOffset(), l.directory)
	}
	if uint64(l.length) < uint64(l.segments)*minSegment {
		return formatf(at, "%d segments in a directory of %d bytes", l.segments, l.length)
	}
	return nil
}

// trailer is the last part of a pack: where the directory is, sealed.
type trailer struct {
	locator  []byte // box
	sections uint32 // length in bytes
}

func (t *trailer) append(b []byte) []byte {
	b = append(b, t.locator...)
	b = wire.AppendU32(b, t.sections)
	b = append(b, make([]byte, 20)...)
	b = append(b, trailerMagic...)
	return wire.AppendU16(b, version)
}

// decodeTrailer reads the last TrailerSize bytes of a pack of the given size.
func decodeTrailer(p []byte, size int64) (trailer, error) {
	d := wire.NewDecoder(p)
	t := trailer{locator: d.Fixed(locatorBox), sections: d.U32()}
	d.Zero(20)
	d.Magic(trailerMagic, version)
	if err := d.Finish(); err != nil {
		return trailer{}, &FormatError{Offset: size - TrailerSize + int64(d.Offset()), Err: err}
	}
	return t, nil
}
