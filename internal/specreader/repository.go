// Package specreader reads repositories as docs/format.md specifies them, written from that document alone: it shares no
// code with the programs that write repositories, so that where both agree the document is right and complete.
//
// It verifies what the document states (hashes, ids, signatures, roles, padding, the one form of every tree) and returns an
// error for whatever deviates; it never returns contents that were not stored. Everything is read anew, nothing is written.
// Inside, what is wrong with the data is thrown as a failure, so that the code reads like the document; every exported
// function returns it as an error.
package specreader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// What errors wrap: no slot opens with the credential; its role has no key for this; a part of a file could not be read when it
// was backed up.
var (
	ErrWrongCredential = errors.New("wrong password or key")
	ErrNotAllowed      = errors.New("no key for this in the slot")
	ErrUnread          = errors.New("could not be read when it was backed up")
)

// Repository is an open repository. It is for one goroutine at a time.
type Repository struct {
	store    fs.FS
	keys     *keys // nil for an auditor
	ledger   *ledger
	chunks   [classMap + 1]map[ID]location // by class
	packs    map[*pack][]byte              // those read and verified
	segments map[*segment][]byte           // those decoded last
}

type location struct {
	pack           *pack
	segment        *segment
	stored, offset uint64 // where the segment is in the pack, and the chunk in the segment's plaintext
	length         uint64
}

// Open opens the repository in a folder.
func Open(dir string, c Credential) (*Repository, error) { return OpenFS(os.DirFS(dir), c) }

// OpenFS opens the repository whose objects are the files of store. It verifies the ledger and reads the index. With the zero
// Credential only the ledger can be read. Errors wrap ErrWrongCredential, ErrNotAllowed or fs.ErrNotExist, or say what is damaged.
func OpenFS(store fs.FS, c Credential) (opened *Repository, err error) {
	defer during(&err, "opening")
	r := &Repository{store: store, ledger: startLedger(store), packs: map[*pack][]byte{}, segments: map[*segment][]byte{}}
	s := r.unlock(&c)
	r.ledger.replay(store, r.keys)
	check(len(r.ledger.features[0]) == 0, "the repository needs a newer program: features %q", r.ledger.features[0])
	if s == nil {
		return r, nil
	}
	a := r.ledger.actors[actorName(s.actor)]
	check(a != nil && !a.removed && a.role == s.role, "slot %x is not admitted: %w", s.slotID, ErrNotAllowed)
	for class := range r.chunks {
		r.chunks[class] = map[ID]location{}
	}
	for _, f := range r.ledger.named() {
		r.readIndex(f)
	}
	return r, nil
}

// Void returns why entries of the ledger change nothing, by their numbers.
func (r *Repository) Void() map[uint64]error { return r.ledger.void }

// unlock opens the first slot that the credential opens; none for an auditor. Copies come after what they are copies of.
func (r *Repository) unlock(c *Credential) *slot {
	if c.kind == 0 {
		return nil
	}
	failed := ErrWrongCredential
	for _, f := range must(fs.ReadDir(r.store, "keys")) {
		s, err := r.tryKey(f.Name(), c)
		if s != nil {
			return s
		}
		failed = errors.Join(failed, err)
	}
	panic(failure{failed})
}

// tryKey opens a slot, or returns nil if it was not made for the credential.
func (r *Repository) tryKey(name string, c *Credential) (fits *slot, err error) {
	defer during(&err, "reading slot %s", name)
	s := parseSlot(must(fs.ReadFile(r.store, "keys/"+name)))
	if s.genesis == r.ledger.first {
		r.keys = s.open(c)
	}
	if r.keys == nil {
		return nil, nil
	}
	for tag, public := range map[int][]byte{tagDataKey: r.ledger.genesis.data, tagMetaKey: r.ledger.genesis.meta} {
		seed := r.keys[tag][1]
		check(seed == nil || bytes.Equal(privateKey(seed).PublicKey().Bytes(), public), "a private key is not that of GENESIS")
	}
	return s, nil
}

func (r *Repository) readIndex(f indexFile) {
	key := fmt.Sprintf("index/%x/%s", f.session, f.hash)
	defer during(nil, "reading %s", key)
	b := must(fs.ReadFile(r.store, key))
	check(len(b) == int(f.size) && hash(b) == f.hash, "not the size and hash that the ledger names")
	for _, p := range r.parseIndex(b) {
		stored := p.body
		for _, s := range p.segments {
			offset := uint64(0)
			for _, c := range s.chunks {
				r.chunks[p.class][c.id] = location{p, s, stored, offset, c.length}
				offset += c.length
			}
			stored += s.stored
		}
	}
}

// chunk reads a chunk and makes sure that it is the one named. It verifies a pack when it is read first.
func (r *Repository) chunk(class uint8, ref chunkRef) []byte {
	l, ok := r.chunks[class][ref.id]
	check(ok && l.length == ref.length, "chunk %s of %d bytes is in no pack", ref.id, ref.length)
	defer during(nil, "chunk %s in %s", ref.id, l.pack)
	if r.segments[l.segment] == nil {
		if len(r.segments) == 16 {
			clear(r.segments)
			clear(r.packs)
		}
		if r.packs[l.pack] == nil {
			b := must(fs.ReadFile(r.store, l.pack.String()))
			r.checkPack(b, l.pack)
			r.packs[l.pack] = b
		}
		g := r.ledger.genesis
		key := r.keys.sessionKey(l.pack.keys[l.segment.key], g.domain, g.suite)
		r.segments[l.segment] = l.segment.open(key, r.packs[l.pack][l.stored:][:l.segment.stored], l.pack, g)
	}
	chunk := r.segments[l.segment][l.offset:][:l.length]
	check(r.keys.chunkID(class, chunk) == ref.id, "its id is another")
	return chunk
}

// Snapshot is a snapshot that was committed and is not forgotten. Tags are those set last.
type Snapshot struct {
	ID       ID
	Tags     []string
	Manifest Manifest
	tagsSet  bool // by an entry: those of the manifest do not stand
	root     pair
}

// Manifest is what the writer said about a snapshot; section 8 of the document describes its fields.
type Manifest struct {
	Time, Point    int64
	Host, User     string
	Tags, Paths    []string
	Class, Program string
	Complete       bool
	Parent         ID
	Original       ID
	Statistics     []uint64
	Deltas         []Delta
}

// Delta says of one file that it was read by a change map.
type Delta struct {
	Path     string
	Parent   ID
	Kind     string
	Map      ID
	Deltas   uint64
	FullRead int64
}

func readManifest(d *decoder) Manifest {
	m := Manifest{d.i64(), d.i64(), d.text(4096), d.text(4096), d.texts(1024, 4096), d.texts(1<<16, 4096), d.text(4096), d.text(4096),
		d.among(0, 1) == 1, d.id(), d.id(), list(d, 14, (*decoder).uv), nil}
	check(len(m.Statistics) == 14, "%d statistics", len(m.Statistics))
	if d.among(0, 1) == 1 {
		m.Deltas = list(d, 1<<16, readDelta)
		check(len(m.Deltas) > 0, "no deltas")
	}
	for i := range m.Deltas {
		check(i == 0 || m.Deltas[i-1].Path < m.Deltas[i].Path, "paths of deltas not in order")
	}
	return m
}

func readDelta(d *decoder) Delta {
	return Delta{d.text(4096), d.id(), d.text(64), d.id(), d.within(1, 1<<64-1), d.i64()}
}

// Snapshots returns the snapshots in the order in which they were committed, each verified against its COMMIT.
func (r *Repository) Snapshots() (all []*Snapshot, err error) {
	defer during(&err, "listing snapshots")
	for _, id := range r.ledger.order {
		if c := r.ledger.snapshots[id]; !c.forgotten {
			all = append(all, r.snapshot(c))
		}
	}
	return all, nil
}

func (r *Repository) snapshot(c *committed) *Snapshot {
	defer during(nil, "reading snapshot %s", c.ID)
	b := must(fs.ReadFile(r.store, "snapshots/"+c.ID.String()))
	check(hash(b) == c.ID, "not the hash that names it")
	s := c.Snapshot
	whole(b, func(d *decoder) any {
		d.header("HFSNAP")
		suite, epoch := d.u8(), d.u32()
		check(suite == r.ledger.genesis.suite && d.name() == r.ledger.genesis.repository, "another repository's")
		check(d.name() == c.session && d.name() == c.actor, "another session or actor than its COMMIT's")
		aad := hash(d.before())
		sealed := d.bytes()
		check(signed(r.ledger.actors[c.actor].public, "holdfast v1 snapshot", d.before(), d.fixed(64)), "bad signature")
		facts := openBox(suite, r.keys.mapKey(epoch), "snapshot", aad[:], sealed)
		check(string(facts) == c.facts, "other facts than in its COMMIT")
		return whole(facts, func(d *decoder) any {
			s.root, s.Manifest = readPair(d), whole(d.bytes(), readManifest)
			return nil
		})
	})
	if !s.tagsSet {
		s.Tags = s.Manifest.Tags
	}
	return &s
}

// Walk calls visit for everything in the snapshot, directories before what is in them and names in order. A path starts with a
// slash. It verifies every directory node and reference node on the way, and ends at the first error.
func (r *Repository) Walk(s *Snapshot, visit func(path string, n *Node) error) (err error) {
	defer during(&err, "walking snapshot %s", s.ID)
	r.walkDir(s.root, "", 1, visit)
	return nil
}

func (r *Repository) walkDir(p pair, path string, depth int, visit func(string, *Node) error) {
	check(depth <= 4096 && len(path) <= 64<<10, "%.100q is too deep", path)
	w := dirWalk{r: r}
	w.node(p, nil, 0, true)
	for _, n := range w.nodes {
		below := path + "/" + n.Name
		must(0, visit(below, n))
		if n.Type == TypeDirectory {
			r.walkDir(n.dir, below, depth+1, visit)
		}
	}
}

// dirWalk reads the nodes of one directory.
type dirWalk struct {
	r     *Repository
	nodes []*Node
	last  string // name
}

// node reads a node of a level, which above describes if it is not the root, and which is the last of its level if final.
func (w *dirWalk) node(p pair, above *dirEntry, level uint8, final bool) {
	defer during(nil, "directory node %s", p.node.id)
	n := whole(w.r.chunk(classMeta, p.node), readDirNode)
	check(bytes.Equal(n.beside, w.r.chunk(classMap, p.references)), "its reference node says something else")
	check(above != nil || n.level == 0 || len(n.list) > 1, "should not be")
	check(above == nil || n.level == level && n.entries == above.entries && n.list[len(n.list)-1].name == above.name, "not what the node above says")
	check(final || n.ended, "ends too early")
	check(len(n.list) == 0 || n.list[0].name > w.last, "names are not in order")
	for i, e := range n.list {
		if e.node == nil {
			w.node(e.pair, &e, n.level-1, final && i+1 == len(n.list))
			continue
		}
		var apart []byte
		for _, ref := range e.node.xattrChunks {
			apart = append(apart, w.r.chunk(classMeta, ref)...)
		}
		if apart != nil {
			e.node.XAttrs = whole(apart, readXAttrList)
		}
		w.nodes, w.last = append(w.nodes, e.node), e.name
	}
}

// Spans calls visit for the spans of a file in order, with the offset of each in bytes. It verifies the content map.
func (r *Repository) Spans(n *Node, visit func(offset uint64, s Span) error) (err error) {
	defer during(&err, "content of %q", n.Name)
	check(n.Type == TypeFile || n.Type == TypeImage, "not a file")
	offset := uint64(0)
	w := mapWalk{r: r, visit: func(s Span) {
		must(0, visit(offset, s))
		offset += s.size()
	}}
	if n.root != nil {
		w.node(n.root, n.level, true, true)
	}
	for _, s := range n.spans {
		w.visit(s)
	}
	return nil
}

// WriteContent writes the content of a file. Where it could not be read when it was backed up zeros are written, and the error
// wraps ErrUnread after all was written; any other error ends the writing.
func (r *Repository) WriteContent(w io.Writer, n *Node) error {
	zeros := make([]byte, 64<<10)
	var unread error
	err := r.Spans(n, func(offset uint64, s Span) (err error) {
		defer during(&err, "at byte %d", offset)
		if s.Kind == SpanChunk {
			b := r.chunk(classData, chunkRef{s.ID, s.Length})
			for range s.Count {
				must(w.Write(b))
			}
			return nil
		}
		if s.Kind == SpanUnread {
			unread = fmt.Errorf("%d bytes at %d of %q: %w", s.Length, offset, n.Name, ErrUnread)
		}
		for left := s.Length; left > 0; left -= min(left, uint64(len(zeros))) {
			must(w.Write(zeros[:min(left, uint64(len(zeros)))]))
		}
		return nil
	})
	return errors.Join(err, unread)
}
