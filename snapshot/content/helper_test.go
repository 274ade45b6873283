package content

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// store keeps nodes in memory. Its ids end nodes more often than real ones if easy is set, so that small trees are deep.
type store struct {
	mu           sync.Mutex
	nodes        map[reftree.ID][]byte
	saves, loads int
	added        int // saves of nodes that were not there
	easy         bool
}

func newStore(easy bool) *store { return &store{nodes: map[reftree.ID][]byte{}, easy: easy} }

func (s *store) Save(_ context.Context, class reftree.Class, p []byte) (reftree.ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if class != reftree.Map {
		return reftree.ID{}, fmt.Errorf("node saved as %s", class)
	}
	id := crypto.Hash(p)
	if s.easy {
		id[0] &= 0xe1
	}
	s.saves++
	if _, ok := s.nodes[id]; !ok {
		s.added++
		s.nodes[id] = append([]byte(nil), p...)
	}
	return id, nil
}

func (s *store) Load(_ context.Context, class reftree.Class, id reftree.ID, length uint32) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	p, ok := s.nodes[id]
	if !ok || class != reftree.Map || len(p) != int(length) {
		return nil, fmt.Errorf("%s %s: %w", class, id, fs.ErrNotExist)
	}
	return p, nil
}

// chunkID returns the n-th of a series of ids of which one in 32 ends a node, or one in two.
func chunkID(n uint64, easy bool) reftree.ID {
	id := crypto.Hash(binary.LittleEndian.AppendUint64(nil, n))
	if easy {
		id[0] &= 0xe1
	}
	return id
}

// generate returns about n spans of several textures: fresh chunks, runs, periods, holes, unread ranges, few ids and many.
func generate(r *rand.Rand, n int, easy bool) (spans []reftree.Span) {
	alphabet := 1 + r.IntN(6)
	base := r.Uint64N(4)
	length := func(id uint64) int64 { return 1 + int64(id%5) }
	chunk := func(id uint64, count int64) {
		spans = append(spans, reftree.Span{ID: chunkID(id, easy), Length: length(id), Count: count})
	}
	for len(spans) < n {
		switch r.IntN(7) {
		case 0:
			for range r.IntN(40) {
				chunk(1000+r.Uint64(), 1)
			}
		case 1:
			chunk(base+r.Uint64N(uint64(alphabet)), 1+r.Int64N(300))
		case 2:
			period := 1 + r.IntN(5)
			for i := range r.IntN(n) {
				chunk(base+uint64(i%period), 1)
			}
		case 3:
			spans = append(spans, reftree.Span{Kind: reftree.Hole, Length: 1 + r.Int64N(100), Count: 1})
		case 4:
			spans = append(spans, reftree.Span{Kind: reftree.Unread, Length: 1 + r.Int64N(100), Count: 1})
		case 5:
			for range r.IntN(20) {
				chunk(base+r.Uint64N(uint64(alphabet)), 1)
			}
		case 6:
			for i := range r.IntN(n/4 + 1) {
				if i%2 == 0 {
					spans = append(spans, reftree.Span{Kind: reftree.Hole, Length: 8, Count: 1})
				} else {
					chunk(base, 1)
				}
			}
		}
	}
	return spans
}

func merged(spans []reftree.Span) (out []reftree.Span) {
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].Merges(&s) {
			out[n-1].Merge(&s)
		} else {
			out = append(out, s)
		}
	}
	return out
}

func total(spans []reftree.Span) (n int64) {
	for i := range spans {
		n += spans[i].Size()
	}
	return n
}

// modelContent builds a map from the whole list, level by level, as the format says it.
func modelContent(t testing.TB, s *store, spans []reftree.Span) Content {
	spans = merged(spans)
	c := Content{Size: total(spans), Chunker: 7}
	if len(spans) <= reftree.MaxInline {
		c.Spans = append(c.Spans, spans...)
		return c
	}
	var children []reftree.Child
	save := func(n *reftree.MapNode) {
		p := n.Append(nil)
		id, err := s.Save(t.Context(), reftree.Map, p)
		require.NoError(t, err)
		child := reftree.Child{Ref: reftree.Ref{ID: id, Length: uint32(len(p))}, Covered: n.Size, Count: 1}
		if k := len(children); k > 0 && children[k-1].Merges(&child) {
			children[k-1].Count++
		} else {
			children = append(children, child)
		}
	}
	n := &reftree.MapNode{}
	for i, s := range spans {
		n.Spans = append(n.Spans, s)
		n.Size += s.Size()
		if s.Ends(len(n.Spans)) || i == len(spans)-1 {
			save(n)
			n = &reftree.MapNode{}
		}
	}
	level := uint8(0)
	for len(children) > 1 || children[0].Count > 1 {
		below := children
		children = nil
		level++
		n := &reftree.MapNode{Level: level}
		for i, c := range below {
			n.Children = append(n.Children, c)
			n.Size += c.Size()
			if c.Ends(len(n.Children)) || i == len(below)-1 {
				save(n)
				n = &reftree.MapNode{Level: level}
			}
		}
	}
	c.Root = reftree.Root{Level: level, Ref: children[0].Ref}
	return c
}

func build(t testing.TB, s *store, spans []reftree.Span) Content {
	b := NewBuilder(s, 7)
	for _, sp := range spans {
		require.NoError(t, b.Add(t.Context(), sp))
	}
	c, err := b.Finish(t.Context())
	require.NoError(t, err)
	return c
}

func collect(t testing.TB, m *Map, off, n int64) (out []Placed) {
	for p, err := range m.Spans(t.Context(), off, n) {
		require.NoError(t, err)
		out = append(out, p)
	}
	return out
}
