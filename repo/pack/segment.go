package pack

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// MaxSegment is the most plaintext a segment may have, in bytes.
const MaxSegment = 16 << 20

// Codec says how a segment's plaintext is stored before it is sealed. Numbers are those of the format.
type Codec uint8

// The codecs.
const (
	Store Codec = 0 // as it is
	Zstd  Codec = 1 // one zstd frame that gives its content size
	S2    Codec = 2 // one S2 block
)

// Valid reports whether c is one of the codecs.
func (c Codec) Valid() bool { return c <= S2 }

// String returns "store", "zstd" or "s2".
func (c Codec) String() string {
	switch c {
	case Store:
		return "store"
	case Zstd:
		return "zstd"
	case S2:
		return "s2"
	}
	return fmt.Sprintf("codec(%d)", uint8(c))
}

// Chunk is one chunk in a segment; chunks follow one another in the segment's plaintext.
type Chunk struct {
	ID     crypto.ID
	Length uint32 // in bytes of plaintext, at least 1
}

// Segment describes a sealed run of chunks. Where it lies in a pack follows from the segments before it.
type Segment struct {
	Key    uint8 // place of its session key in the pack's key table
	Codec  Codec
	Stored uint32 // bytes in the pack, tag included
	Length uint32 // bytes of plaintext: the sum of the chunks'
	Salt   [crypto.SaltSize]byte
	Chunks []Chunk
}

// Least encoded sizes, in bytes.
const (
	minChunk   = 32 + 1
	minSegment = 1 + 1 + 1 + 1 + crypto.SaltSize + 1 + minChunk
)

// EncodedLen returns the size in bytes of the segment's entry in a directory or index file.
func (s *Segment) EncodedLen() int {
	n := 2 + wire.UvarintLen(uint64(s.Stored)) + wire.UvarintLen(uint64(s.Length)) + crypto.SaltSize +
		wire.UvarintLen(uint64(len(s.Chunks)))
	for i := range s.Chunks {
		n += len(crypto.ID{}) + wire.UvarintLen(uint64(s.Chunks[i].Length))
	}
	return n
}

// AppendSegments appends the list of segments as directories and index files carry it.
func AppendSegments(b []byte, segments []Segment) []byte {
	b = wire.AppendUvarint(b, uint64(len(segments)))
	for i := range segments {
		b = segments[i].append(b)
	}
	return b
}

func (s *Segment) append(b []byte) []byte {
	b = append(b, s.Key, byte(s.Codec))
	b = wire.AppendUvarint(b, uint64(s.Stored))
	b = wire.AppendUvarint(b, uint64(s.Length))
	b = append(b, s.Salt[:]...)
	b = wire.AppendUvarint(b, uint64(len(s.Chunks)))
	for i := range s.Chunks {
		b = append(b, s.Chunks[i].ID[:]...)
		b = wire.AppendUvarint(b, uint64(s.Chunks[i].Length))
	}
	return b
}

// DecodeSegments reads what AppendSegments wrote, for a pack with the given number of session keys, and returns the segments and the
// length of the body that they make up, which is at most maxBody. What it refuses is recorded in d.
func DecodeSegments(d *wire.Decoder, keys int, maxBody uint64) (segments []Segment, body uint64) {
	n := d.Count(minSegment, "segments")
	segments = make([]Segment, 0, n)
	for range n {
		s := decodeSegment(d)
		if d.Err() == nil && int(s.Key) >= keys {
			d.Fail("segment of session key %d of %d", s.Key, keys)
		}
		if body += uint64(s.Stored); d.Err() == nil && body > maxBody {
			d.Fail("segments of %d bytes in a body of at most %d", body, maxBody)
		}
		if d.Err() != nil {
			return nil, 0
		}
		segments = append(segments, s)
	}
	return segments, body
}

func decodeSegment(d *wire.Decoder) Segment {
	s := Segment{Key: d.U8(), Codec: Codec(d.U8())}
	s.Stored = uint32(d.UvarintMax(MaxSegment+crypto.TagSize, "stored length"))
	s.Length = uint32(d.UvarintMax(MaxSegment, "segment length"))
	d.Copy(s.Salt[:])
	n := d.Count(minChunk, "chunks")
	if d.Err() != nil {
		return s
	}
	s.Chunks = make([]Chunk, n)
	for i := range s.Chunks {
		d.Copy(s.Chunks[i].ID[:])
		s.Chunks[i].Length = uint32(d.UvarintMax(uint64(s.Length), "chunk length"))
	}
	if d.Err() == nil {
		if err := s.check(); err != nil {
			d.Fail("%v", err)
		}
	}
	return s
}

// check holds a segment to the limits of the format.
func (s *Segment) check() error {
	if !s.Codec.Valid() {
		return fmt.Errorf("segment of unknown %s", s.Codec)
	}
	if s.Length < 1 || s.Length > MaxSegment {
		return fmt.Errorf("segment of %d bytes", s.Length)
	}
	// A codec is used only where it gains.
	full := s.Length + crypto.TagSize
	if s.Stored <= crypto.TagSize || s.Stored > full || (s.Stored == full) != (s.Codec == Store) {
		return fmt.Errorf("segment of %d bytes stored by %s as %d", s.Length, s.Codec, s.Stored)
	}
	sum := uint64(0)
	for i := range s.Chunks {
		if s.Chunks[i].Length == 0 {
			return fmt.Errorf("empty chunk %d in a segment", i)
		}
		sum += uint64(s.Chunks[i].Length)
	}
	if sum != uint64(s.Length) {
		return fmt.Errorf("chunks of %d bytes in a segment of %d", sum, s.Length)
	}
	return nil
}
