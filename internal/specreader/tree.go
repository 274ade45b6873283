package specreader

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The types of nodes.
const TypeFile, TypeDirectory, TypeSymlink, TypeFIFO, TypeCharDevice, TypeBlockDevice, TypeImage = 1, 2, 3, 4, 5, 6, 7

// XAttr is an extended attribute: any bytes.
type XAttr struct{ Name, Value string }

// Node is an entry of a directory; section 11 of the document describes its fields. Times are in nanoseconds since 1970, Size
// is in bytes. Chunker says what cut the content. Name and Target are any bytes.
type Node struct {
	Type, Chunker             uint8
	Incomplete, Racy          bool
	Name, User, Group, Target string
	Mode, UID, GID, Links     uint32
	MTime, CTime, ATime       int64
	Device, Inode, Rdev, Size uint64
	XAttrs                    []XAttr

	xattrChunks []chunkRef
	dir         pair
	spans       []Span // of a content, if all are in line
	root        *Span  // of its map
	level       uint8  // of the root
}

func readNode(d *decoder) *Node {
	n := &Node{Type: d.among(TypeFile, TypeImage)}
	flags := d.among(0, 3)
	n.Incomplete, n.Racy, n.Name = flags&1 != 0, flags&2 != 0, readName(d)
	n.Mode, n.UID, n.GID, n.User, n.Group = d.u32(), d.u32(), d.u32(), d.text(1024), d.text(1024)
	check(n.Mode <= 0o7777, "mode %o", n.Mode)
	n.MTime, n.CTime, n.ATime = d.i64(), d.i64(), d.i64()
	n.Device, n.Inode, n.Links = d.u64(), d.u64(), d.u32()
	n.readXAttrs(d)
	switch n.Type {
	case TypeFile, TypeImage:
		n.readContent(d)
	case TypeDirectory:
		n.dir = readPair(d)
	case TypeSymlink:
		n.Target = d.text(64 << 10)
		check(n.Target != "" && !strings.Contains(n.Target, "\x00"), "target of a symbolic link")
	case TypeCharDevice, TypeBlockDevice:
		n.Rdev = d.u64()
	}
	return n
}

func readName(d *decoder) string {
	name := d.text(4096)
	check(name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00"), "name %q", name)
	return name
}

func (n *Node) readXAttrs(d *decoder) {
	if d.among(0, 1) == 0 {
		before := len(d.b)
		n.XAttrs = readXAttrList(d)
		check(before-len(d.b) <= 4<<10, "extended attributes that should be kept apart")
		return
	}
	n.xattrChunks = list(d, 64, readRef)
	total := uint64(0)
	for i, c := range n.xattrChunks {
		check(c.length == 256<<10 || c.length < 256<<10 && i+1 == len(n.xattrChunks), "chunk of %d bytes", c.length)
		total += c.length
	}
	check(total > 4<<10, "extended attributes of %d bytes that should be in line", total)
}

func readXAttrList(d *decoder) []XAttr {
	attrs := list(d, unlimited, func(d *decoder) XAttr { return XAttr{d.text(1024), d.text(16 << 20)} })
	for i, a := range attrs {
		check(a.Name != "" && (i == 0 || a.Name > attrs[i-1].Name), "extended attribute %q", a.Name)
	}
	return attrs
}

type pair struct{ node, references chunkRef }

func readPair(d *decoder) pair { return pair{readRef(d), readRef(d)} }

// reference makes an entry of a reference node; level is empty except for the root of a content map.
func reference(kind uint8, level []byte, refs ...chunkRef) []byte {
	b := append([]byte{kind}, level...)
	for _, r := range refs {
		b = binary.AppendUvarint(append(b, r.id[:]...), r.length)
	}
	return b
}

// references lists what a reference node says of the node.
func (n *Node) references() (refs [][]byte) {
	for _, c := range n.xattrChunks {
		refs = append(refs, reference(4, nil, c))
	}
	if n.Type == TypeDirectory {
		refs = append(refs, reference(3, nil, n.dir.node, n.dir.references))
	}
	if n.root != nil {
		refs = append(refs, reference(2, []byte{n.level}, chunkRef{n.root.ID, n.root.node}))
	}
	for _, s := range n.spans {
		if s.Kind == SpanChunk {
			refs = append(refs, reference(1, nil, chunkRef{s.ID, s.Length}))
		}
	}
	return refs
}

// dirEntry is an entry of a directory node: a node of the file system, or a child.
type dirEntry struct {
	name    string // the last one of a child
	node    *Node  // nil for a child
	pair    pair   // of a child
	entries uint64
}

// dirNode is a node of a directory.
type dirNode struct {
	level   uint8
	list    []dirEntry
	entries uint64
	ended   bool // its last entry ends it
	refs    [][]byte
	beside  []byte // its reference node
}

func readDirNode(d *decoder) *dirNode {
	d.among(2, 2)
	n := &dirNode{level: d.among(0, maxLevel)}
	count := d.within(min(1, uint64(n.level)), mostNode)
	start := len(d.b)
	for i := range count {
		check(!n.ended, "goes on past its end")
		e := n.readEntry(d)
		check(i == 0 || n.list[i-1].name < e.name, "names are not in order")
		n.list, n.entries = append(n.list, e), n.entries+e.entries
		check(n.entries <= maxSize, "too many entries")
		n.ended = i+1 == mostNode || start-len(d.b) >= 128<<10 || i+1 >= leastNode && hash([]byte(e.name))[n.level]&31 == 0
	}
	n.beside = append(binary.AppendUvarint([]byte{3}, uint64(len(n.refs))), bytes.Join(n.refs, nil)...)
	return n
}

func (n *dirNode) readEntry(d *decoder) dirEntry {
	if n.level == 0 {
		node := readNode(d)
		n.refs = append(n.refs, node.references()...)
		return dirEntry{name: node.Name, node: node, entries: 1}
	}
	e := dirEntry{name: readName(d), pair: readPair(d), entries: d.within(1, maxSize)}
	n.refs = append(n.refs, reference(3, nil, e.pair.node, e.pair.references))
	return e
}

const maxSize, maxLevel, leastNode, mostNode, maxInline = 1<<62 - 1, 16, 8, 128, 8

// The kinds of spans: a chunk (several times, perhaps), zeros that take no space, what could not be read when it was backed up;
// how a repeated chunk is marked, and what a child in a content map is here.
const SpanChunk, SpanHole, SpanUnread, spanRepeated, spanNode = 0, 1, 2, 3, 4

// Span is one piece of a content. Length is in bytes, that of one chunk or of the whole of another kind; Count says how
// often the chunk of that ID is there.
type Span struct {
	Kind          uint8
	Length, Count uint64
	ID            ID
	node          uint64 // the length of the node itself, for spanNode
}

func (s Span) size() uint64 { return s.Length * s.Count }
func (s Span) hasID() bool  { return s.Kind == SpanChunk || s.Kind == spanNode }

// merges reports whether t, right after s, should be a part of it.
func (s Span) merges(t Span) bool {
	return s.Kind == t.Kind && (!s.hasID() || s.ID == t.ID && s.Length == t.Length)
}

func readSpan(d *decoder) Span {
	head := d.uv()
	s := Span{Kind: uint8(head & 3), Length: head >> 2, Count: 1}
	if s.Kind == spanRepeated {
		s.Kind, s.Count = SpanChunk, d.within(2, maxSize)
	}
	if s.Kind == SpanChunk {
		s.ID = d.id()
		check(s.Length <= maxChunk, "chunk of %d bytes", s.Length)
	}
	return s
}

func readChild(d *decoder) Span {
	head := d.uv()
	s := Span{Kind: spanNode, Length: head >> 1, Count: 1}
	if head&1 == 1 {
		s.Count = d.within(2, maxSize)
	}
	ref := readRef(d)
	s.ID, s.node = ref.id, ref.length
	return s
}

// readSpans reads a list of spans or children, which cover size bytes.
func readSpans(d *decoder, limit int, read func(*decoder) Span) (spans []Span, size uint64) {
	spans = list(d, limit, read)
	for i, s := range spans {
		check(s.Length >= 1 && s.Length <= maxSize && s.Count <= (maxSize-size)/s.Length, "%d spans of %d bytes", s.Count, s.Length)
		check(i == 0 || !spans[i-1].merges(s), "neighbours that should be one")
		size += s.size()
	}
	return spans, size
}

func (n *Node) readContent(d *decoder) {
	n.Size, n.Chunker = d.within(0, maxSize), d.u8()
	size := n.Size
	if d.among(0, 1) == 0 {
		n.spans, size = readSpans(d, maxInline, readSpan)
	} else {
		n.level = d.among(0, maxLevel)
		ref := readRef(d)
		n.root = &Span{spanNode, size, 1, ref.id, ref.length}
		check(size > 0, "the map of an empty content")
	}
	check(size == n.Size, "spans of %d bytes in a content of %d", size, n.Size)
}

type mapNode struct {
	level uint8
	spans []Span // children above level 0
	size  uint64
	ended bool // its last entry ends it
}

func readMapNode(d *decoder) *mapNode {
	d.among(1, 1)
	n, read := &mapNode{level: d.among(0, maxLevel)}, readSpan
	if n.level > 0 {
		read = readChild
	}
	n.spans, n.size = readSpans(d, mostNode, read)
	check(len(n.spans) > 0, "an empty node")
	for i, s := range n.spans {
		check(!n.ended, "goes on past its end")
		n.ended = i+1 == mostNode || i+1 >= leastNode && s.hasID() && s.ID[0]&31 == 0
	}
	return n
}

// mapWalk goes through a content map and holds it to its one form.
type mapWalk struct {
	r      *Repository
	before [maxLevel + 1]Span // the last one at each level
	visit  func(s Span)       // called for every span, as often as it is there
}

// node goes through a node, which is the last of its level if final.
func (w *mapWalk) node(above *Span, level uint8, final, root bool) {
	defer during(nil, "content map node %s", above.ID)
	n := whole(w.r.chunk(classMap, chunkRef{above.ID, above.node}), readMapNode)
	check(n.level == level && n.size == above.Length, "covers %d bytes at level %d", n.size, n.level)
	check(final || n.ended, "ends too early")
	check(w.before[level].Count == 0 || !w.before[level].merges(n.spans[0]), "begins with what should be before it")
	few := len(n.spans) <= maxInline && level == 0 || len(n.spans) == 1 && n.spans[0].Count == 1
	check(!root || !few, "should not be")
	for i, s := range n.spans {
		if level == 0 {
			w.visit(s)
		} else {
			for k := range s.Count {
				w.node(&s, level-1, final && i+1 == len(n.spans) && k+1 == s.Count, false)
			}
		}
		w.before[level] = s
	}
}
