package source

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/zeebo/blake3"
)

// ChangeMap says which parts of an image are what they were in an older snapshot of it. It does not change.
type ChangeMap struct {
	kind    string
	hash    [32]byte
	extents []Extent
}

// Bounds of change maps.
const (
	// MaxChangeMap is the size of the largest one that ParseChangeMap reads, in bytes.
	MaxChangeMap = 256 << 20
	// MaxChangeExtents is how many extents one has at most, neighbours of one kind counting as one.
	MaxChangeExtents = 1 << 22
	maxChangeKind    = 64
	maxChangeEnd     = 1 << 62
)

// NewChangeMap makes a change map of extents, which are copied. kind, at most 64 bytes, says where it is from, for those who look into
// a snapshot. Data and holes may have changed; what is a hole reads as zeros now and is not read. A wrong map makes a wrong
// snapshot: in doubt, call it data. Whether the map covers an image is not asked before Fit.
func NewChangeMap(kind string, extents []Extent) (*ChangeMap, error) {
	if len(kind) > maxChangeKind {
		return nil, fmt.Errorf("a change map of a kind of %d bytes, at most %d are kept", len(kind), maxChangeKind)
	}
	m := &ChangeMap{kind: kind}
	h := blake3.New()
	for i, e := range extents {
		if err := m.add(e); err != nil {
			return nil, fmt.Errorf("extent %d of a change map: %w", i, err)
		}
		var b [17]byte
		binary.LittleEndian.PutUint64(b[:], uint64(e.Off))
		binary.LittleEndian.PutUint64(b[8:], uint64(e.Len))
		b[16] = byte(e.Kind)
		_, _ = h.Write(b[:]) // never fails
	}
	h.Sum(m.hash[:0])
	return m, nil
}

func (m *ChangeMap) add(e Extent) error {
	switch n := len(m.extents); {
	case e.Off < 0 || e.Len < 1 || e.Off > maxChangeEnd-e.Len:
		return fmt.Errorf("%d bytes at offset %d", e.Len, e.Off)
	case e.Kind > Unchanged:
		return fmt.Errorf("it is of %s", e.Kind)
	case n > 0 && m.extents[n-1].Kind == e.Kind && m.extents[n-1].Off+m.extents[n-1].Len == e.Off:
		m.extents[n-1].Len += e.Len
	case n == MaxChangeExtents:
		return fmt.Errorf("there are more than %d: make a coarser map", MaxChangeExtents)
	default:
		m.extents = append(m.extents, e)
	}
	return nil
}

// Kind says where the map is from.
func (m *ChangeMap) Kind() string { return m.kind }

// Hash tells maps apart: it is the BLAKE3-256 of the bytes that were parsed, or of the extents that were given.
func (m *ChangeMap) Hash() [32]byte { return m.hash }

// Extents returns all extents as they came, neighbours of one kind joined.
func (m *ChangeMap) Extents() iter.Seq[Extent] { return slices.Values(m.extents) }

// Fit returns nil if the extents cover an image of that size, in order, without gaps or overlaps, and else what is wrong.
func (m *ChangeMap) Fit(size int64) error {
	end := int64(0)
	for _, e := range m.extents {
		switch {
		case e.Off > end:
			return fmt.Errorf("there is a gap of %d bytes at offset %d", e.Off-end, end)
		case e.Off < end:
			return fmt.Errorf("extents overlap, or are not in order, at offset %d", e.Off)
		}
		end += e.Len
	}
	if end != size {
		return fmt.Errorf("it is of %d bytes, the image of %d", end, size)
	}
	return nil
}

// holed is an image of which a change map tells holes too.
type holed struct {
	Image
	m *ChangeMap
}

// Holes returns img with the holes of the map added to its own. The map must fit it.
func (m *ChangeMap) Holes(img Image) Image {
	if !slices.ContainsFunc(m.extents, func(e Extent) bool { return e.Kind == Hole }) {
		return img
	}
	return &holed{img, m}
}

// Extents implements [Image]; neighbours may be of one kind.
func (h *holed) Extents(ctx context.Context, off, n int64) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		off := max(off, 0)
		end := off + min(n, h.Size()-off)
		first, _ := slices.BinarySearchFunc(h.m.extents, off, func(e Extent, off int64) int {
			if e.Off+e.Len <= off {
				return -1
			}
			return 1
		})
		for _, e := range h.m.extents[first:] {
			from, to := max(e.Off, off), min(e.Off+e.Len, end)
			if from >= to {
				return
			}
			if e.Kind == Hole {
				if !yield(Extent{from, to - from, Hole}, nil) {
					return
				}
				continue
			}
			for x, err := range h.Image.Extents(ctx, from, to-from) {
				if !yield(x, err) || err != nil {
					return
				}
			}
		}
	}
}
