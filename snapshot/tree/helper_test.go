package tree

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// store keeps chunks in memory.
type store struct {
	mu           sync.Mutex
	chunks       map[reftree.ID][]byte
	classes      map[reftree.ID]reftree.Class
	loads, added int
	fail         error
}

func newStore() *store {
	return &store{chunks: map[reftree.ID][]byte{}, classes: map[reftree.ID]reftree.Class{}}
}

func (s *store) Save(_ context.Context, class reftree.Class, p []byte) (reftree.ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return reftree.ID{}, s.fail
	}
	id := crypto.Hash(p)
	if _, ok := s.chunks[id]; !ok {
		s.added++
		s.chunks[id], s.classes[id] = slices.Clone(p), class
	}
	return id, nil
}

func (s *store) Load(_ context.Context, class reftree.Class, id reftree.ID, length uint32) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	p, ok := s.chunks[id]
	if !ok || s.classes[id] != class || len(p) != int(length) {
		return nil, fmt.Errorf("%s %s: %w", class, id, fs.ErrNotExist)
	}
	return p, nil
}

// put saves a chunk and returns its reference.
func (s *store) put(t testing.TB, class reftree.Class, p []byte) reftree.Ref {
	id, err := s.Save(t.Context(), class, p)
	require.NoError(t, err)
	return reftree.Ref{ID: id, Length: uint32(len(p))}
}

// model is a directory as a map; dirs has the directories in it.
type model struct {
	nodes map[string]*Node
	dirs  map[string]*model
}

func newModel() *model { return &model{nodes: map[string]*Node{}, dirs: map[string]*model{}} }

func (m *model) names() []string {
	names := make([]string, 0, len(m.nodes))
	for name := range m.nodes {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// save builds the directory and all in it.
func (m *model) save(t testing.TB, s reftree.Saver) reftree.Pair {
	b := NewDirBuilder(s)
	for _, name := range m.names() {
		n := m.nodes[name]
		if d := m.dirs[name]; d != nil {
			n.Dir = d.save(t, s)
		}
		require.NoError(t, b.Add(t.Context(), n))
	}
	require.EqualValues(t, len(m.nodes), b.Entries())
	p, err := b.Finish(t.Context())
	require.NoError(t, err)
	return p
}

func (m *model) clone() *model {
	c := newModel()
	for name, n := range m.nodes {
		copied := *n
		c.nodes[name] = &copied
	}
	for name, d := range m.dirs {
		c.dirs[name] = d.clone()
	}
	return c
}

// each calls f for all entries in the order of a walk.
func (m *model) each(path string, f func(path string, n *Node)) {
	for _, name := range m.names() {
		at := join(path, name)
		f(at, m.nodes[name])
		if d := m.dirs[name]; d != nil {
			d.each(at, f)
		}
	}
}

func (m *model) add(n *Node) {
	m.nodes[n.Name] = n
	delete(m.dirs, n.Name)
	if n.Type == Directory {
		m.dirs[n.Name] = newModel()
	}
}

func randomID(r *rand.Rand) (id reftree.ID) {
	for i := range id {
		id[i] = byte(r.Uint32())
	}
	return id
}

func randomRef(r *rand.Rand, limit uint32) reftree.Ref {
	return reftree.Ref{ID: randomID(r), Length: 1 + r.Uint32N(limit)}
}

func randomName(r *rand.Rand) string {
	n := 1 + r.IntN(6)
	if r.IntN(50) == 0 {
		n = 200 + r.IntN(MaxName-200)
	}
	b := make([]byte, n)
	for i := range b {
		if b[i] = byte(1 + r.IntN(255)); b[i] == '/' || r.IntN(3) > 0 {
			b[i] = 'a' + byte(r.IntN(4))
		}
	}
	if !ValidName(string(b)) {
		return "x"
	}
	return string(b)
}

func randomContent(r *rand.Rand) (c content.Content) {
	if r.IntN(4) == 0 {
		root := reftree.Root{Level: uint8(r.IntN(4)), Ref: randomRef(r, 5000)}
		return content.Content{Size: 1 + r.Int64N(1<<40), Chunker: uint8(r.Uint32()), Root: root}
	}
	for range r.IntN(4) {
		s := reftree.Span{ID: randomID(r), Length: 1 + r.Int64N(1<<18), Count: 1 + r.Int64N(2)}
		c.Spans = append(c.Spans, s)
		c.Size += s.Size()
	}
	if r.IntN(4) == 0 {
		c.Spans = append(c.Spans, reftree.Span{Kind: reftree.Hole, Length: 1 << 16, Count: 1})
		c.Size += 1 << 16
	}
	return c
}

func randomXattrs(r *rand.Rand) (list []Xattr) {
	size := 1 + r.IntN(20)
	if r.IntN(10) == 0 {
		size = r.IntN(300 << 10)
	}
	for i := range r.IntN(4) {
		list = append(list, Xattr{Name: fmt.Sprintf("user.%d", i), Value: strings.Repeat("v", r.IntN(size+1))})
	}
	return list
}

func randomNode(r *rand.Rand, name string) *Node {
	n := &Node{
		Name: name, Type: Type(1 + r.IntN(7)), Flags: Flags(r.IntN(4)), Mode: r.Uint32N(0o10000), UID: r.Uint32N(3), GID: r.Uint32(),
		User: []string{"", "root", "www"}[r.IntN(3)], Group: "staff", ModTime: int64(r.Uint64()), ChangeTime: r.Int64(),
		AccessTime: r.Int64(), Device: r.Uint64(), Inode: r.Uint64(), Links: r.Uint32(),
	}
	if r.IntN(8) == 0 {
		n.Xattrs = randomXattrs(r)
	}
	switch n.Type {
	case File, Image:
		n.Content = randomContent(r)
	case Directory:
		n.Dir = reftree.Pair{Meta: randomRef(r, 1000), Map: randomRef(r, 1000)}
	case Symlink:
		n.Target = strings.Repeat("../", 1+r.IntN(5))
	case CharDevice, BlockDevice:
		n.Rdev = r.Uint64()
	}
	return n
}

// grow fills a directory with about n entries, some of them directories with entries themselves.
func (m *model) grow(r *rand.Rand, n, depth int) {
	for range n {
		node := randomNode(r, randomName(r))
		if node.Type == Directory && depth == 0 {
			continue
		}
		m.add(node)
		if node.Type == Directory {
			m.dirs[node.Name].grow(r, r.IntN(n/2+2), depth-1)
		}
	}
}

// stored returns n as it is read back: with large extended attributes kept apart.
func stored(t testing.TB, s *store, n *Node) *Node {
	c := *n
	if xattrsSize(c.Xattrs) > inlineXattr {
		refs, err := saveXattrs(t.Context(), s, c.Xattrs)
		require.NoError(t, err)
		c.Xattrs, c.XattrChunks = nil, refs
	}
	return &c
}
