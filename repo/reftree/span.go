package reftree

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Kind says what a span is.
type Kind uint8

// The kinds of spans.
const (
	Chunk  Kind = 0 // one chunk, or the same chunk several times
	Hole   Kind = 1 // zeros that take no space
	Unread Kind = 2 // could not be read when it was backed up
)

const wireRepeated = 3 // how a Chunk with Count > 1 is marked

// String returns "chunk", "hole", "unread" or kind(N).
func (k Kind) String() string {
	switch k {
	case Chunk:
		return "chunk"
	case Hole:
		return "hole"
	case Unread:
		return "unread"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Span is one piece of a content: a run of equal chunks, a hole or an unread range.
type Span struct {
	ID     ID    // of the chunk; zero for other kinds
	Length int64 // bytes of one chunk, or of the whole hole or unread range
	Count  int64 // how many times the chunk follows itself, at least 1; 1 for other kinds
	Kind   Kind
}

// Size returns how many bytes of the content the span covers.
func (s Span) Size() int64 { return s.Length * s.Count }

// Validate returns an error that wraps ErrFormat unless the span can be encoded.
func (s Span) Validate() error {
	limit := int64(MaxSize)
	if s.Kind == Chunk {
		limit = MaxChunk
	}
	switch {
	case s.Kind > Unread:
		return fmt.Errorf("%w: span of %s", ErrFormat, s.Kind)
	case s.Length < 1 || s.Length > limit:
		return fmt.Errorf("%w: %s of %d bytes", ErrFormat, s.Kind, s.Length)
	case s.Count < 1 || s.Count > MaxSize/s.Length:
		return fmt.Errorf("%w: %d times a %s of %d bytes", ErrFormat, s.Count, s.Kind, s.Length)
	case s.Kind != Chunk && (s.Count != 1 || s.ID != ID{}):
		return fmt.Errorf("%w: %s with a count or an id", ErrFormat, s.Kind)
	}
	return nil
}

// Merges reports whether t, coming right after s, must become a part of it.
func (s *Span) Merges(t *Span) bool {
	return s.Kind == t.Kind && (s.Kind != Chunk || s.ID == t.ID && s.Length == t.Length)
}

// Merge makes t, for which Merges holds, a part of s. The caller sees to it that the sum is at most MaxSize.
func (s *Span) Merge(t *Span) {
	if s.Kind == Chunk {
		s.Count += t.Count
	} else {
		s.Length += t.Length
	}
}

// Ends reports whether a node at level 0 ends after s when s is its n-th entry, counted from 1.
func (s *Span) Ends(n int) bool {
	return n >= MaxEntries || n >= MinEntries && s.Kind == Chunk && endsNode(&s.ID)
}

func endsNode(id *ID) bool { return id[0]&31 == 0 }

// AppendSpan appends s, which must be valid.
func AppendSpan(b []byte, s *Span) []byte {
	if s.Kind != Chunk {
		return wire.AppendUvarint(b, uint64(s.Length)<<2|uint64(s.Kind))
	}
	if s.Count == 1 {
		b = wire.AppendUvarint(b, uint64(s.Length)<<2)
	} else {
		b = wire.AppendUvarint(b, uint64(s.Length)<<2|wireRepeated)
		b = wire.AppendUvarint(b, uint64(s.Count))
	}
	return append(b, s.ID[:]...)
}

func decodeSpan(d *wire.Decoder) (s Span) {
	head := d.Uvarint()
	s = Span{Length: int64(head >> 2), Count: 1, Kind: Kind(head & 3)}
	if s.Kind == wireRepeated {
		s.Kind = Chunk
		s.Count = decodeCount(d)
	}
	if s.Kind == Chunk {
		d.Copy(s.ID[:])
	}
	if err := s.Validate(); err != nil && d.Err() == nil {
		d.Fail("%v", err)
	}
	return s
}

// decodeCount reads how many times an entry marked as repeated is there.
func decodeCount(d *wire.Decoder) int64 {
	n := d.UvarintMax(MaxSize, "count of repeats")
	if n < 2 {
		d.Fail("repeated %d times", n)
	}
	return int64(n)
}

// AppendSpans appends a list of spans.
func AppendSpans(b []byte, spans []Span) []byte {
	b = wire.AppendUvarint(b, uint64(len(spans)))
	for i := range spans {
		b = AppendSpan(b, &spans[i])
	}
	return b
}

// DecodeSpans reads a list of at most limit spans and returns it with the bytes that it covers. After an error it returns nil.
func DecodeSpans(d *wire.Decoder, limit int) (spans []Span, size int64) {
	n := d.Count(1, "spans")
	if n > limit {
		d.Fail("%d spans, at most %d allowed", n, limit)
	}
	if d.Err() != nil || n == 0 {
		return nil, 0
	}
	spans = make([]Span, 0, n)
	for i := range n {
		s := decodeSpan(d)
		if d.Err() != nil {
			return nil, 0
		}
		if i > 0 && spans[i-1].Merges(&s) {
			d.Fail("neighbouring spans that should be one")
		}
		if size += s.Size(); size > MaxSize {
			d.Fail("spans of more than %d bytes", int64(MaxSize))
		}
		spans = append(spans, s)
	}
	if d.Err() != nil {
		return nil, 0
	}
	return spans, size
}
