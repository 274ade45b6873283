package tree

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

const (
	xattrsInline = 0
	xattrsApart  = 1
)

// nodeSize is how many bytes an encoded node has at least.
const nodeSize = 1 + 1 + 1 + 4 + 4 + 4 + 1 + 1 + 3*8 + 2*8 + 4 + 2

// AppendNode appends the encoding of n. An error wraps reftree.ErrFormat: n is not valid, or has more extended attributes than a
// node holds (a DirBuilder keeps such apart).
func AppendNode(b []byte, n *Node) ([]byte, error) {
	if err := n.Validate(); err != nil {
		return b, err
	}
	if size := xattrsSize(n.Xattrs); size > inlineXattr {
		return b, malformed("%q has %d bytes of extended attributes, at most %d are kept in a node", n.Name, size, inlineXattr)
	}
	return appendNode(b, n), nil
}

func appendNode(b []byte, n *Node) []byte {
	b = append(b, byte(n.Type), byte(n.Flags))
	b = wire.AppendBytes(b, n.Name)
	b = wire.AppendU32(b, n.Mode)
	b = wire.AppendU32(b, n.UID)
	b = wire.AppendU32(b, n.GID)
	b = wire.AppendBytes(b, n.User)
	b = wire.AppendBytes(b, n.Group)
	b = wire.AppendI64(b, n.ModTime)
	b = wire.AppendI64(b, n.ChangeTime)
	b = wire.AppendI64(b, n.AccessTime)
	b = wire.AppendU64(b, n.Device)
	b = wire.AppendU64(b, n.Inode)
	b = wire.AppendU32(b, n.Links)
	if len(n.XattrChunks) > 0 {
		b = wire.AppendUvarint(append(b, xattrsApart), uint64(len(n.XattrChunks)))
		for _, r := range n.XattrChunks {
			b = reftree.AppendRef(b, r)
		}
	} else {
		b = appendXattrs(append(b, xattrsInline), n.Xattrs)
	}
	switch n.Type {
	case File, Image:
		b = n.Content.Append(b)
	case Directory:
		b = reftree.AppendPair(b, n.Dir)
	case Symlink:
		b = wire.AppendBytes(b, n.Target)
	case CharDevice, BlockDevice:
		b = wire.AppendU64(b, n.Rdev)
	}
	return b
}

// DecodeNode decodes one node. Errors wrap reftree.ErrFormat. The result does not refer to p.
func DecodeNode(p []byte) (*Node, error) {
	d := wire.NewDecoder(p)
	n := decodeNode(d, &Node{})
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return n, nil
}

// decodeNode reads a node. It shares strings with before, the node read before it.
func decodeNode(d *wire.Decoder, before *Node) *Node {
	n := &Node{Type: Type(d.U8()), Flags: Flags(d.U8())}
	n.Name = d.String(MaxName, "name")
	n.Mode = d.U32()
	n.UID = d.U32()
	n.GID = d.U32()
	n.User = shared(d.Bytes(MaxOwner, "user"), before.User)
	n.Group = shared(d.Bytes(MaxOwner, "group"), before.Group)
	n.ModTime = d.I64()
	n.ChangeTime = d.I64()
	n.AccessTime = d.I64()
	n.Device = d.U64()
	n.Inode = d.U64()
	n.Links = d.U32()
	switch form := d.U8(); form {
	case xattrsInline:
		start := d.Offset()
		if n.Xattrs = decodeXattrs(d); d.Offset()-start > inlineXattr {
			d.Fail("%d bytes of extended attributes, at most %d allowed here", d.Offset()-start, inlineXattr)
		}
	case xattrsApart:
		if n.XattrChunks = decodeXattrChunks(d); len(n.XattrChunks) == 0 {
			d.Fail("no extended attributes kept apart")
		}
	default:
		d.Fail("extended attributes of form %d", form)
	}
	switch n.Type {
	case File, Image:
		n.Content = content.Decode(d)
	case Directory:
		n.Dir = reftree.DecodePair(d)
	case Symlink:
		n.Target = d.String(MaxTarget, "target")
	case CharDevice, BlockDevice:
		n.Rdev = d.U64()
	}
	if d.Err() == nil {
		if err := n.Validate(); err != nil {
			d.Fail("%v", err)
		}
	}
	return n
}

func shared(p []byte, s string) string {
	if string(p) == s {
		return s
	}
	return string(p)
}
