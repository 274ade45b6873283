package content

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// swapped returns other bytes for one node.
type swapped struct {
	*store
	id reftree.ID
	p  []byte
}

func (s swapped) Load(ctx context.Context, class reftree.Class, id reftree.ID, length uint32) ([]byte, error) {
	if id == s.id {
		return s.p, nil
	}
	return s.store.Load(ctx, class, id, length)
}

// cutAt returns an offset between two chunks, or anywhere else, near off.
func cutAt(spans []reftree.Span, off int64) int64 {
	at := int64(0)
	for _, s := range spans {
		if off < at+s.Size() {
			if s.Kind != reftree.Chunk {
				return off
			}
			return at + (off-at)/s.Length*s.Length
		}
		at += s.Size()
	}
	return at
}

// slice returns the spans from off to end, which both lie between chunks.
func slice(spans []reftree.Span, off, end int64) (out []reftree.Span) {
	for _, p := range modelSpans(spans, off, end-off) {
		out = append(out, p.Span)
	}
	return out
}

func TestReuseIsAddingEverySpan(t *testing.T) {
	r := newRand(t)
	loads, spared := 0, 0
	for i := range 300 {
		easy := i%5 != 0
		s := newStore(easy)
		spans := merged(generate(r, 20+r.IntN(2+3*i), easy))
		old := build(t, s, spans)
		m := NewMap(s, old)
		b := NewBuilder(s, 7)
		var plain []reftree.Span
		place := int64(0)
		for range 1 + r.IntN(8) {
			if r.IntN(3) == 0 {
				place = r.Int64N(old.Size)
			}
			off := cutAt(spans, place)
			end := max(off, cutAt(spans, off+r.Int64N(old.Size+1-off)))
			s.loads = 0
			require.NoError(t, b.Reuse(t.Context(), m, off, end-off))
			loads += s.loads
			spared += len(slice(spans, off, end))
			plain = append(plain, slice(spans, off, end)...)
			place = min(end, old.Size-1)
			if r.IntN(2) == 0 {
				extra := foreign(r, spans, easy)
				for _, sp := range extra {
					require.NoError(t, b.Add(t.Context(), sp))
				}
				plain = append(plain, extra...)
			}
		}
		require.Equal(t, total(plain), b.Size())
		got, err := b.Finish(t.Context())
		require.NoError(t, err)
		require.Equal(t, modelContent(t, newStore(easy), plain), got, "round %d", i)
	}
	t.Logf("%d spans reused with %d loads", spared, loads)
}

// foreign returns spans to put between reused ones: new ones, or a few of the old ones out of place.
func foreign(r *rand.Rand, spans []reftree.Span, easy bool) []reftree.Span {
	if r.IntN(2) == 0 {
		return generate(r, 1+r.IntN(10), easy)
	}
	i := r.IntN(len(spans))
	return spans[i:min(len(spans), i+r.IntN(40))]
}

func TestReuseOfEverything(t *testing.T) {
	r := newRand(t)
	for range 200 {
		s := newStore(true)
		spans := generate(r, 1+r.IntN(1000), true)
		old := build(t, s, spans)
		b := NewBuilder(s, 7)
		require.NoError(t, b.Reuse(t.Context(), NewMap(s, old), 0, old.Size))
		got, err := b.Finish(t.Context())
		require.NoError(t, err)
		require.Equal(t, old, got)
	}
}

func TestReuseReadsLittle(t *testing.T) {
	r := newRand(t)
	spans := distinctChunks(200_000)
	s := newStore(false)
	old := build(t, s, spans)
	levels := int(old.Root.Level) + 1
	for _, k := range []int{0, 1, 10, 100} {
		next := append([]reftree.Span(nil), spans...)
		m := NewMap(s, old)
		b := NewBuilder(s, 7)
		s.loads, s.saves = 0, 0
		from := int64(0)
		for j := range k {
			i := (len(spans)-1)/k*j + r.IntN(len(spans)/k)
			next[i].ID = chunkID(r.Uint64(), false)
			require.NoError(t, b.Reuse(t.Context(), m, from, int64(i)<<16-from))
			require.NoError(t, b.Add(t.Context(), next[i]))
			from = int64(i+1) << 16
		}
		require.NoError(t, b.Reuse(t.Context(), m, from, old.Size-from))
		got, err := b.Finish(t.Context())
		require.NoError(t, err)
		t.Logf("%d changes, %d levels: %d loads, %d saves", k, levels, s.loads, s.saves)
		require.LessOrEqual(t, s.loads, 6*(k+1)*levels)
		require.LessOrEqual(t, s.saves, 6*(k+1)*levels)
		require.Equal(t, modelContent(t, newStore(false), next), got)
	}
}

func TestReuseErrors(t *testing.T) {
	s := newStore(false)
	old := build(t, s, distinctChunks(1000))
	m := NewMap(s, old)
	for _, bad := range [][2]int64{{-1, 1}, {0, -1}, {0, old.Size + 1}, {old.Size + 1, 0}, {1, 1 << 16}, {0, 1<<16 + 1}} {
		require.Error(t, NewBuilder(s, 0).Reuse(t.Context(), m, bad[0], bad[1]), "%v", bad)
	}
	delete(s.nodes, old.Root.ID)
	var damage *Error
	b := NewBuilder(s, 0)
	require.ErrorAs(t, b.Reuse(t.Context(), NewMap(s, old), 0, 1<<16), &damage)
	_, err := b.Finish(t.Context())
	require.ErrorAs(t, err, &damage)
}

// block returns eight spans that are a node, whose id ends a node too; so does that of the node with front before them.
func block(t *testing.T, n uint64, front []reftree.Span) []reftree.Span {
	ends := func(spans []reftree.Span) bool {
		n := &reftree.MapNode{Spans: spans}
		id, err := newStore(true).Save(t.Context(), reftree.Map, n.Append(nil))
		require.NoError(t, err)
		c := reftree.Child{Ref: reftree.Ref{ID: id}}
		return n.Complete() && c.Ends(reftree.MinEntries)
	}
	for n <<= 32; ; n++ {
		spans := make([]reftree.Span, 8)
		for i := range spans {
			spans[i] = reftree.Span{ID: chunkID(n*8+uint64(i), true), Length: 1, Count: 1}
			spans[i].ID[0] = min(1, byte(7-i)) // only the last one ends a node
		}
		if ends(spans) && ends(append(front[:len(front):len(front)], spans...)) {
			return spans
		}
	}
}

// Entries that become equal only in the new map, next to nodes that could have been taken whole.
func TestReuseMergesAtSeams(t *testing.T) {
	hole := []reftree.Span{{Kind: reftree.Hole, Length: 1, Count: 1}}
	var seven []reftree.Span // nodes
	for i := range uint64(7) {
		seven = append(seven, block(t, i, hole)...)
	}
	z := block(t, 8, hole)
	join := func(lists ...[]reftree.Span) (out []reftree.Span) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	for name, c := range map[string]struct {
		before, old []reftree.Span
		from, to    int
		after       []reftree.Span
	}{
		"the last node of the old map becomes the one before it": {nil, join(seven, z, z[:4]), 0, 68, z[4:]},
		"and is cut":  {nil, join(seven, z, z, hole), 0, 68, z[4:]},
		"and follows": {nil, join(seven, z, seven, z, z[:6]), 0, 134, join(z[6:], seven, hole)},
		"a node without its front becomes the one after it": {
			seven, join(seven, hole, z, z, seven, seven, z, seven, z), 57, 300, hole,
		},
	} {
		s := newStore(true)
		old := build(t, s, c.old)
		b := NewBuilder(s, 7)
		for _, sp := range c.before {
			require.NoError(t, b.Add(t.Context(), sp))
		}
		to := min(c.to, len(c.old))
		require.NoError(t, b.Reuse(t.Context(), NewMap(s, old), int64(c.from), int64(to-c.from)))
		for _, sp := range c.after {
			require.NoError(t, b.Add(t.Context(), sp))
		}
		got, err := b.Finish(t.Context())
		require.NoError(t, err)
		require.Equal(t, modelContent(t, newStore(true), join(c.before, c.old[c.from:to], c.after)), got, name)
	}
}
