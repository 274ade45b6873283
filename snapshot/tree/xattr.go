package tree

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

func validateXattrs(list []Xattr) error {
	for i := range list {
		x := &list[i]
		if x.Name == "" || len(x.Name) > MaxXattr {
			return malformed("extended attribute with a name of %d bytes", len(x.Name))
		}
		if i > 0 && x.Name <= list[i-1].Name {
			return malformed("extended attributes %q and %q are not in order", list[i-1].Name, x.Name)
		}
	}
	if size := xattrsSize(list); size > MaxXattrs {
		return malformed("%d bytes of extended attributes, at most %d allowed", size, MaxXattrs)
	}
	return nil
}

// validateXattrChunks: full chunks and then one that is not empty, more than fits in a node and at most MaxXattrs.
func validateXattrChunks(refs []reftree.Ref) error {
	total := 0
	for i, r := range refs {
		if r.Length < 1 || r.Length > xattrChunk || i+1 < len(refs) && r.Length != xattrChunk {
			return malformed("%d bytes of extended attributes in a chunk", r.Length)
		}
		total += int(r.Length)
	}
	if len(refs) > 0 && (total <= inlineXattr || total > MaxXattrs) {
		return malformed("%d bytes of extended attributes kept apart", total)
	}
	return nil
}

func xattrsSize(list []Xattr) int {
	size := wire.UvarintLen(uint64(len(list)))
	for i := range list {
		x := &list[i]
		size += wire.UvarintLen(uint64(len(x.Name))) + len(x.Name) + wire.UvarintLen(uint64(len(x.Value))) + len(x.Value)
	}
	return size
}

func appendXattrs(b []byte, list []Xattr) []byte {
	b = wire.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = wire.AppendBytes(wire.AppendBytes(b, list[i].Name), list[i].Value)
	}
	return b
}

// decodeXattrs reads a list. Its order is checked by Node.Validate or by the caller.
func decodeXattrs(d *wire.Decoder) []Xattr {
	n := d.Count(3, "extended attributes")
	if n == 0 || d.Err() != nil {
		return nil
	}
	list := make([]Xattr, 0, n)
	for range n {
		x := Xattr{Name: d.String(MaxXattr, "name of an extended attribute")}
		x.Value = d.String(MaxXattrs, "value of an extended attribute")
		if d.Err() != nil {
			return nil
		}
		list = append(list, x)
	}
	return list
}

func decodeXattrChunks(d *wire.Decoder) []reftree.Ref {
	n := d.Count(len(reftree.ID{})+1, "chunks of extended attributes")
	if n > MaxXattrs/xattrChunk {
		d.Fail("%d chunks of extended attributes, at most %d allowed", n, MaxXattrs/xattrChunk)
	}
	if d.Err() != nil {
		return nil
	}
	refs := make([]reftree.Ref, 0, n)
	for range n {
		refs = append(refs, reftree.DecodeRef(d))
	}
	return refs
}

// saveXattrs saves extended attributes apart.
func saveXattrs(ctx context.Context, s reftree.Saver, list []Xattr) ([]reftree.Ref, error) {
	p := appendXattrs(make([]byte, 0, xattrsSize(list)), list)
	var refs []reftree.Ref
	for len(p) > 0 {
		part := p[:min(len(p), xattrChunk)]
		id, err := s.Save(ctx, reftree.Meta, part)
		if err != nil {
			return nil, fmt.Errorf("saving extended attributes: %w", err)
		}
		refs = append(refs, reftree.Ref{ID: id, Length: uint32(len(part))})
		p = p[len(part):]
	}
	return refs, nil
}

// LoadXattrs returns the extended attributes of n, which it reads if they are kept apart: at most MaxXattrs bytes. Errors are
// those of the Loader, or wrap reftree.ErrFormat.
func LoadXattrs(ctx context.Context, l reftree.Loader, n *Node) ([]Xattr, error) {
	if len(n.XattrChunks) == 0 {
		return n.Xattrs, nil
	}
	if err := validateXattrChunks(n.XattrChunks); err != nil {
		return nil, err
	}
	var p []byte
	for _, r := range n.XattrChunks {
		part, err := load(ctx, l, reftree.Meta, r)
		if err != nil {
			return nil, fmt.Errorf("reading extended attributes: %w", err)
		}
		p = append(p, part...)
	}
	d := wire.NewDecoder(p)
	list := decodeXattrs(d)
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("extended attributes: %w", err)
	}
	return list, validateXattrs(list)
}

func load(ctx context.Context, l reftree.Loader, class reftree.Class, r reftree.Ref) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := l.Load(ctx, class, r.ID, r.Length)
	if err != nil {
		return nil, err
	}
	if len(p) != int(r.Length) {
		return nil, malformed("chunk of %d bytes, expected %d", len(p), r.Length)
	}
	return p, nil
}
