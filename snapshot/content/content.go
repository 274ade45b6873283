package content

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Content describes one content. The zero value describes an empty one.
type Content struct {
	Size    int64          // bytes, 0 to reftree.MaxSize
	Chunker uint8          // what cut it: kind << 4 | log2(mean) - 10; 0: nothing did
	Spans   []reftree.Span // all spans, at most reftree.MaxInline, if there is no map
	Root    reftree.Root   // the topmost node of the map; zero if there is none
}

const (
	formInline = 0
	formMap    = 1
)

// Mapped reports whether the content has a content map.
func (c *Content) Mapped() bool { return c.Root.Length != 0 }

// Equal reports whether both have the same bytes at the same places, as far as the descriptors say. Contents cut by different
// chunkers are not equal even if their bytes are.
func (c *Content) Equal(o *Content) bool {
	if c.Size != o.Size || c.Root != o.Root || len(c.Spans) != len(o.Spans) {
		return false
	}
	for i := range c.Spans {
		if c.Spans[i] != o.Spans[i] {
			return false
		}
	}
	return true
}

// Validate returns an error that wraps reftree.ErrFormat unless the descriptor can be encoded.
func (c *Content) Validate() error {
	if c.Mapped() {
		if len(c.Spans) > 0 || c.Size < 1 || c.Size > reftree.MaxSize || c.Root.Level > reftree.MaxLevel || c.Root.Length > reftree.MaxChunk {
			return fmt.Errorf("%w: content of %d bytes with a map at level %d", reftree.ErrFormat, c.Size, c.Root.Level)
		}
		return nil
	}
	if len(c.Spans) > reftree.MaxInline || c.Root != (reftree.Root{}) {
		return fmt.Errorf("%w: content of %d spans without a map", reftree.ErrFormat, len(c.Spans))
	}
	left := c.Size
	for i := range c.Spans {
		s := &c.Spans[i]
		if err := s.Validate(); err != nil {
			return err
		}
		if i > 0 && c.Spans[i-1].Merges(s) {
			return fmt.Errorf("%w: neighbouring spans that should be one", reftree.ErrFormat)
		}
		if s.Size() > left {
			return fmt.Errorf("%w: spans of more than %d bytes", reftree.ErrFormat, c.Size)
		}
		left -= s.Size()
	}
	if left != 0 {
		return fmt.Errorf("%w: spans of %d bytes for a content of %d", reftree.ErrFormat, c.Size-left, c.Size)
	}
	return nil
}

// Append appends the encoding of c, which must be valid.
func (c *Content) Append(b []byte) []byte {
	b = append(wire.AppendUvarint(b, uint64(c.Size)), c.Chunker)
	if c.Mapped() {
		return reftree.AppendRoot(append(b, formMap), c.Root)
	}
	return reftree.AppendSpans(append(b, formInline), c.Spans)
}

// Decode reads a descriptor. The result is valid unless d has an error, and does not refer to the bytes read.
func Decode(d *wire.Decoder) (c Content) {
	c.Size = int64(d.UvarintMax(reftree.MaxSize, "size of a content"))
	c.Chunker = d.U8()
	switch form := d.U8(); form {
	case formInline:
		var size int64
		c.Spans, size = reftree.DecodeSpans(d, reftree.MaxInline)
		if d.Err() == nil && size != c.Size {
			d.Fail("spans of %d bytes for a content of %d", size, c.Size)
		}
	case formMap:
		c.Root = reftree.DecodeRoot(d)
		if c.Size == 0 {
			d.Fail("map of an empty content")
		}
	default:
		d.Fail("content of form %d", form)
	}
	return c
}

// AppendReferences appends what a reference node says of c: its map, or its chunks in order.
func (c *Content) AppendReferences(refs []reftree.Reference) []reftree.Reference {
	if c.Mapped() {
		return append(refs, reftree.Reference{Kind: reftree.RefContent, Content: c.Root})
	}
	for i := range c.Spans {
		if s := &c.Spans[i]; s.Kind == reftree.Chunk {
			refs = append(refs, reftree.Reference{Kind: reftree.RefData, Ref: reftree.Ref{ID: s.ID, Length: uint32(s.Length)}})
		}
	}
	return refs
}
