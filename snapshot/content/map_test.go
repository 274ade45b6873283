package content

import (
	"context"
	"io/fs"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// modelSpans does what Map.Spans says, from the whole list.
func modelSpans(spans []reftree.Span, off, n int64) (out []Placed) {
	end := off + n
	if n > math.MaxInt64-off {
		end = math.MaxInt64
	}
	at := int64(0)
	for _, s := range merged(spans) {
		p := Placed{Offset: at, Span: s}
		at += s.Size()
		if s.Kind != reftree.Chunk {
			lo, hi := max(p.Offset, off), min(at, end)
			p.Offset, p.Length = lo, hi-lo
			if lo < hi {
				out = append(out, p)
			}
			continue
		}
		for p.Count > 0 && p.Offset+p.Length <= off {
			p.Offset += p.Length
			p.Count--
		}
		for p.Count > 0 && p.Offset+(p.Count-1)*p.Length >= end {
			p.Count--
		}
		if p.Count > 0 && n > 0 {
			out = append(out, p)
		}
	}
	return out
}

func TestSpansAnywhere(t *testing.T) {
	r := newRand(t)
	for range 60 {
		spans := generate(r, 1+r.IntN(500), true)
		s := newStore(true)
		m := NewMap(s, build(t, s, spans))
		for range 40 {
			off, n := r.Int64N(m.Size()+10), r.Int64N(m.Size()+10)
			if r.IntN(2) == 0 {
				n = r.Int64N(20)
			}
			require.Equal(t, modelSpans(spans, off, n), collect(t, m, off, n), "%d bytes at %d of %d", n, off, m.Size())
		}
	}
}

func TestSpansSeeksAndStops(t *testing.T) {
	s := newStore(false)
	spans := distinctChunks(100_000)
	c := build(t, s, spans)
	levels := int(c.Root.Level) + 1
	for range 20 {
		m := NewMap(s, c)
		s.loads = 0
		off := rand.Int64N(c.Size)
		for p, err := range m.Spans(t.Context(), off, math.MaxInt64) {
			require.NoError(t, err)
			require.Equal(t, off>>16<<16, p.Offset)
			require.Equal(t, spans[off>>16], p.Span)
			break
		}
		require.Equal(t, levels, s.loads)
	}
	m := NewMap(s, c)
	for _, bad := range [][2]int64{{-1, 1}, {0, -1}} {
		for _, err := range m.Spans(t.Context(), bad[0], bad[1]) {
			require.Error(t, err)
		}
	}
}

func TestMapIsSafeForConcurrentUse(t *testing.T) {
	s := newStore(true)
	spans := generate(rand.New(rand.NewPCG(1, 1)), 3000, true)
	m := NewMap(s, build(t, s, spans))
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 2))
			for range 30 {
				off := r.Int64N(m.Size())
				var got []Placed
				for p, err := range m.Spans(t.Context(), off, 50) {
					if err != nil {
						t.Error(err)
						return
					}
					got = append(got, p)
				}
				if want := modelSpans(spans, off, 50); len(want) != len(got) {
					t.Errorf("%d spans at %d, expected %d", len(got), off, len(want))
				}
			}
		})
	}
	wg.Wait()
}

func firstError(t *testing.T, m *Map) error {
	for _, err := range m.Spans(t.Context(), 0, math.MaxInt64) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestDamagedMap(t *testing.T) {
	s := newStore(false)
	c := build(t, s, distinctChunks(5000))
	require.NoError(t, firstError(t, NewMap(s, c)))
	top, err := NewMap(s, c).top(t.Context())
	require.NoError(t, err)
	child, third := top.Children[2], top.Children[0].Size()+top.Children[1].Size()
	node := s.nodes[child.ID]
	other := s.nodes[top.Children[3].ID]

	var damage *Error
	delete(s.nodes, child.ID)
	require.ErrorAs(t, firstError(t, NewMap(s, c)), &damage)
	require.Equal(t, third, damage.Offset)
	require.ErrorIs(t, damage, fs.ErrNotExist)

	for name, p := range map[string][]byte{"cut": node[:len(node)-1], "another node": other, "nothing": {}} {
		m := NewMap(swapped{s, child.ID, p}, c)
		require.ErrorAs(t, firstError(t, m), &damage, name)
		require.Equal(t, third, damage.Offset, name)
		require.ErrorIs(t, damage, reftree.ErrFormat, name)
	}
}

func TestMapRefusesLies(t *testing.T) {
	s := newStore(false)
	spans := distinctChunks(1000)
	good := build(t, s, spans)
	save := func(n *reftree.MapNode) reftree.Ref {
		p := n.Append(nil)
		id, err := s.Save(t.Context(), reftree.Map, p)
		require.NoError(t, err)
		return reftree.Ref{ID: id, Length: uint32(len(p))}
	}
	short := save(&reftree.MapNode{Spans: spans[:3]})
	twice := save(&reftree.MapNode{Level: 1, Children: []reftree.Child{{Ref: short, Covered: 3 << 16, Count: 2}}})
	wrong := save(&reftree.MapNode{Level: 1, Children: []reftree.Child{{Ref: short, Covered: 4 << 16, Count: 2}}})
	for name, c := range map[string]Content{
		"smaller":         {Size: good.Size - 1, Root: good.Root},
		"larger":          {Size: good.Size + 1, Root: good.Root},
		"level too high":  {Size: good.Size, Root: reftree.Root{Level: good.Root.Level + 1, Ref: good.Root.Ref}},
		"ends too early":  {Size: 6 << 16, Root: reftree.Root{Level: 1, Ref: twice}},
		"child too short": {Size: 8 << 16, Root: reftree.Root{Level: 1, Ref: wrong}},
		"bad spans":       {Size: 1, Spans: spans[:1]},
	} {
		var damage *Error
		err := firstError(t, NewMap(s, c))
		require.ErrorAs(t, err, &damage, name)
		require.ErrorIs(t, err, reftree.ErrFormat, name)
		for _, err := range Diff(t.Context(), s, c, Content{}) {
			if err != nil {
				require.ErrorIs(t, err, reftree.ErrFormat, name)
			}
		}
	}
}

func TestCancelledRead(t *testing.T) {
	s := newStore(false)
	m := NewMap(s, build(t, s, distinctChunks(1000)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range m.Spans(ctx, 0, 1) {
		require.ErrorIs(t, err, context.Canceled)
	}
}
