package pack

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/zeebo/blake3"
)

// Params are what all packs of a repository have in common.
type Params struct {
	Suite  crypto.Suite
	Domain [16]byte
	Epoch  uint32      // of MapKey
	MapKey *crypto.Key // K_map, which seals directories
	Size   uint32      // of a full pack in bytes, 1 MiB to MaxSize
	Parity uint8       // in percent of the content, up to MaxParity; 0: none
}

func (p *Params) check() error {
	switch {
	case !p.Suite.Valid():
		return fmt.Errorf("unknown %s", p.Suite)
	case p.Epoch == 0 || p.MapKey == nil:
		return errors.New("no key for the directory")
	case p.Size < 1<<20 || p.Size > MaxSize:
		return fmt.Errorf("pack size %d", p.Size)
	case p.Parity > MaxParity:
		return fmt.Errorf("parity of %d %%", p.Parity)
	}
	return nil
}

// sizes returns the size of a pack that has n bytes without padding and parity, and how many of it are before parity and trailer.
func (p *Params) sizes(n int, final bool) (size, content int) {
	for size = n; ; size++ {
		size = paddedSize(size, p.Size, final)
		if content = capacity(size, int(p.Parity)); content >= n-TrailerSize {
			return size, content
		}
	}
}

// Builder collects sealed segments into the bytes of one pack at a time, held in memory. It has one owner.
type Builder struct {
	params   Params
	class    crypto.Class
	first    []crypto.KeyEntry // keys every pack starts with
	keys     []crypto.KeyEntry
	header   Header
	buf      []byte
	segments []Segment
	entries  int // encoded length of segments
	room     int // for all of a full pack but parity
}

// NewBuilder starts a pack of the given class with the given session keys in its key table; without any, AddKey comes first. Memory grows with the
// pack; Reset gives the builder memory to use again.
func NewBuilder(p Params, class crypto.Class, keys ...crypto.KeyEntry) (*Builder, error) {
	b := &Builder{params: p, class: class}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("building packs: %w", err)
	}
	if !class.Valid() {
		return nil, fmt.Errorf("building packs: unknown %s", class)
	}
	table := 1
	for i := range keys {
		if keys[i].Kind != uint8(class) {
			return nil, fmt.Errorf("building packs of class %s: key entry of kind %d", class, keys[i].Kind)
		}
		table += len(keys[i].Append(nil))
	}
	if len(keys) > 255 || table > maxKeyTable {
		return nil, fmt.Errorf("building packs: %d session keys", len(keys))
	}
	b.first, b.room = slices.Clone(keys), capacity(int(p.Size), int(p.Parity))+TrailerSize
	b.Reset(nil)
	return b, nil
}

// Reset starts the next pack, with the session keys given to NewBuilder, in the memory of buf, whose contents it overwrites; nil
// starts small. Memory handed out by Finish before stays its receiver's.
func (b *Builder) Reset(buf []byte) {
	b.keys = slices.Clone(b.first)
	b.header = Header{Class: b.class, Suite: b.params.Suite, Epoch: b.params.Epoch, Domain: b.params.Domain}
	rand.Read(b.header.Random[:])
	b.segments, b.entries = nil, 0
	b.buf = b.appendHead(buf[:0])
}

// appendHead appends header and key table, and sets the key table's length in the header.
func (b *Builder) appendHead(buf []byte) []byte {
	table := appendKeyTable(nil, b.keys)
	b.header.KeyTable = uint16(len(table))
	return append(b.header.append(buf), table...)
}

// AddKey puts a session key into the key table of the current pack, for segments moved from elsewhere, and returns its place. A
// key that is there already is not added again. ErrFull: there is no room for it.
func (b *Builder) AddKey(e crypto.KeyEntry) (uint8, error) {
	for i := range b.keys {
		k := &b.keys[i]
		if k.Commitment == e.Commitment && k.Epoch == e.Epoch && bytes.Equal(k.Wrapped, e.Wrapped) {
			return uint8(i), nil
		}
	}
	if e.Kind != uint8(b.class) {
		return 0, fmt.Errorf("adding a session key of kind %d to a pack of class %s", e.Kind, b.class)
	}
	size := len(e.Append(nil))
	if len(b.keys) == 255 || int(b.header.KeyTable)+size > maxKeyTable || b.Len()+size > b.room {
		return 0, ErrFull
	}
	e.Wrapped = bytes.Clone(e.Wrapped)
	b.keys = append(b.keys, e)
	body := b.header.BodyOffset()
	b.grow(size)
	b.buf = b.buf[:len(b.buf)+size]
	copy(b.buf[int(body)+size:], b.buf[body:])
	b.appendHead(b.buf[:0])
	return uint8(len(b.keys) - 1), nil
}

// Len returns the size in bytes that the pack would have now without padding and parity.
func (b *Builder) Len() int { return b.lenWith(0, 0, 0) }

// lenWith returns that size with more segments, whose bodies and entries have the given lengths.
func (b *Builder) lenWith(segments, body, entries int) int {
	count := wire.UvarintLen(uint64(len(b.segments) + segments))
	return len(b.buf) + body + crypto.BoxOverhead + len(crypto.ID{}) + count + b.entries + entries + TrailerSize
}

// Segments returns how many segments the pack has so far.
func (b *Builder) Segments() int { return len(b.segments) }

// Fits reports whether Add would take a segment of that Stored length and those chunks.
func (b *Builder) Fits(s *Segment) bool {
	return b.lenWith(1, int(s.Stored), s.EncodedLen()) <= b.room
}

// Add appends a sealed segment to the pack. It keeps a copy of both. ErrFull: it does not fit.
func (b *Builder) Add(s *Segment, sealed []byte) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("adding to a pack: %w", err)
	}
	if int(s.Key) >= len(b.keys) {
		return fmt.Errorf("adding to a pack: session key %d of %d", s.Key, len(b.keys))
	}
	if len(sealed) != int(s.Stored) {
		return fmt.Errorf("adding to a pack: %d bytes for a segment of %d", len(sealed), s.Stored)
	}
	if !b.Fits(s) {
		return ErrFull
	}
	b.grow(len(sealed))
	b.buf = append(b.buf, sealed...)
	b.entries += s.EncodedLen()
	kept := *s
	kept.Chunks = slices.Clone(s.Chunks)
	b.segments = append(b.segments, kept)
	return nil
}

// grow makes room for n more bytes: twice the memory, or from a sixteenth of a full pack on all of it. What is not touched costs nothing,
// and what is copied again and again does.
func (b *Builder) grow(n int) {
	need := len(b.buf) + n
	if need <= cap(b.buf) {
		return
	}
	size := int(b.params.Size)
	if need <= size/16 {
		size = max(need, 2*cap(b.buf), MinSize)
	}
	b.buf = append(make([]byte, 0, size), b.buf...)
}

// Finish completes the pack and hands over its name (the hash of all its bytes), its bytes and its directory. A pack is as large
// as Params say; with final, for the last packs of a session, it is as small as padding by Padme allows. Afterwards only Reset
// may be called. A pack without segments is an error.
func (b *Builder) Finish(final bool) (name crypto.ID, pack []byte, dir *Directory, err error) {
	if len(b.segments) == 0 {
		return crypto.ID{}, nil, nil, errors.New("finishing a pack: it has no segments")
	}
	length := b.Len()
	size, content := b.params.sizes(length, final)
	body := uint32(len(b.buf)) - b.header.BodyOffset()
	b.grow(size - len(b.buf))
	b.pad(content + TrailerSize - length)
	aad := crypto.Hash(b.buf[:b.header.BodyOffset()])
	hash := crypto.NewHash()
	hash.Write(b.buf)

	start := len(b.buf)
	plain := hash.Sum(make([]byte, 0, len(crypto.ID{})+binary.MaxVarintLen64+b.entries))
	plain = AppendSegments(plain, b.segments)
	b.buf = b.box(b.buf, directoryPurpose, plain, aad)
	l := locator{directory: uint32(start), length: uint32(len(b.buf) - start), body: body, segments: uint32(len(b.segments))}
	t := trailer{locator: b.box(nil, locatorPurpose, l.append(nil), aad), sections: uint32(size - TrailerSize - content)}
	end := t.append(nil)
	if b.params.Parity > 0 {
		layout := newParity(content, size, int(b.params.Parity))
		if b.buf, err = layout.append(b.buf, end); err != nil {
			return crypto.ID{}, nil, nil, fmt.Errorf("finishing a pack: %w", err)
		}
	}
	b.buf = append(b.buf, end...)
	hash.Write(b.buf[start:])

	dir = &Directory{Header: b.header, Size: uint32(len(b.buf)), Keys: b.keys, BodyLength: body, Segments: b.segments}
	pack, b.buf, b.segments, b.keys = b.buf, nil, nil, nil
	return crypto.ID(hash.Sum(nil)), pack, dir, nil
}

func (b *Builder) box(dst []byte, purpose string, plain []byte, aad crypto.ID) []byte {
	return crypto.SealBox(dst, b.params.Suite, b.params.MapKey, purpose, plain, aad[:])
}

// pad appends n pseudo-random bytes.
func (b *Builder) pad(n int) {
	if n == 0 {
		return
	}
	var seed [32]byte
	rand.Read(seed[:])
	h := blake3.New()
	h.Write(seed[:])
	b.buf = b.buf[:len(b.buf)+n]
	h.Digest().Read(b.buf[len(b.buf)-n:])
}
