package reftree

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// RefKind says what a Reference refers to.
type RefKind uint8

// The kinds of references.
const (
	RefData      RefKind = 1 // a DATA chunk of a content that has no map
	RefContent   RefKind = 2 // a content map
	RefDirectory RefKind = 3 // a directory node and its reference node
	RefMeta      RefKind = 4 // a META chunk
)

// Reference is an entry of a reference node.
type Reference struct {
	Kind    RefKind
	Ref     Ref  // for RefData and RefMeta
	Content Root // for RefContent
	Pair    Pair // for RefDirectory
}

// MaxReferences is how many references a reference node has at most.
const MaxReferences = 1 << 14

// AppendReference appends r, which must be of a known kind.
func AppendReference(b []byte, r *Reference) []byte {
	b = append(b, byte(r.Kind))
	switch r.Kind {
	case RefContent:
		return AppendRoot(b, r.Content)
	case RefDirectory:
		return AppendPair(b, r.Pair)
	default:
		return AppendRef(b, r.Ref)
	}
}

func decodeReference(d *wire.Decoder) (r Reference) {
	r.Kind = RefKind(d.U8())
	switch r.Kind {
	case RefData, RefMeta:
		r.Ref = DecodeRef(d)
	case RefContent:
		r.Content = DecodeRoot(d)
	case RefDirectory:
		r.Pair = DecodePair(d)
	default:
		d.Fail("reference of kind %d", r.Kind)
	}
	return r
}

// AppendReferenceHeader appends what comes before the references of a reference node.
func AppendReferenceHeader(b []byte, count int) []byte {
	return wire.AppendUvarint(append(b, TagReference), uint64(count))
}

// AppendReferenceNode appends a reference node with these references, which may be none.
func AppendReferenceNode(b []byte, refs []Reference) []byte {
	b = AppendReferenceHeader(b, len(refs))
	for i := range refs {
		b = AppendReference(b, &refs[i])
	}
	return b
}

// DecodeReferenceNode decodes a reference node. Errors wrap ErrFormat. The result does not refer to p.
func DecodeReferenceNode(p []byte) ([]Reference, error) {
	var refs []Reference
	err := eachReference(p, func(n int) { refs = make([]Reference, 0, n) }, func(r *Reference) { refs = append(refs, *r) })
	if err != nil {
		return nil, err
	}
	return refs, nil
}

// eachReference decodes a reference node and calls start with the count and then f for each
// reference, which f may use until it returns.
func eachReference(p []byte, start func(n int), f func(r *Reference)) error {
	d := wire.NewDecoder(p)
	if tag := d.U8(); tag != TagReference {
		d.Fail("tag is %d, not that of a reference node", tag)
	}
	n := d.Count(1+refSize, "references")
	if n > MaxReferences {
		d.Fail("%d references, at most %d allowed", n, MaxReferences)
	}
	if d.Err() == nil {
		start(n)
	}
	var r Reference
	for i := 0; i < n && d.Err() == nil; i++ {
		if r = decodeReference(d); d.Err() == nil {
			f(&r)
		}
	}
	if err := d.Finish(); err != nil {
		return fmt.Errorf("reference node: %w", err)
	}
	return nil
}
