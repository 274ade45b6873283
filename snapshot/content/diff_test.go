package content

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// place says what a byte of a content is: which byte of which chunk, or of a hole or an unread range.
type place struct {
	kind reftree.Kind
	id   reftree.ID
	at   int64
}

func places(spans []reftree.Span) (out []place) {
	for _, s := range spans {
		for i := range s.Size() {
			p := place{kind: s.Kind, id: s.ID}
			if s.Kind == reftree.Chunk {
				p.at = i % s.Length
			}
			out = append(out, p)
		}
	}
	return out
}

func modelDiff(a, b []reftree.Span) (out []Range) {
	pa, pb := places(a), places(b)
	for i := range max(len(pa), len(pb)) {
		if i < len(pa) && i < len(pb) && pa[i] == pb[i] {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Offset+out[n-1].Length == int64(i) {
			out[n-1].Length++
		} else {
			out = append(out, Range{int64(i), 1})
		}
	}
	return out
}

func diff(t *testing.T, s *store, a, b Content) (out []Range) {
	for r, err := range Diff(t.Context(), s, a, b) {
		require.NoError(t, err)
		out = append(out, r)
	}
	return out
}

func edited(r *rand.Rand, spans []reftree.Span) []reftree.Span {
	out := append([]reftree.Span(nil), spans...)
	for range r.IntN(4) {
		i := r.IntN(len(out) + 1)
		j := min(len(out), i+r.IntN(10))
		var put []reftree.Span
		if r.IntN(2) == 0 {
			put = generate(r, 1+r.IntN(4), true)
		}
		if r.IntN(2) == 0 { // same size, so that what follows stays in place
			put = append(put, reftree.Span{Kind: reftree.Hole, Length: 1 + max(0, total(out[i:j])-total(put)), Count: 1})
		}
		out = append(append(append([]reftree.Span(nil), out[:i]...), put...), out[j:]...)
	}
	return out
}

func TestDiffIsTheModel(t *testing.T) {
	r := newRand(t)
	for range 300 {
		s := newStore(true)
		a := generate(r, 1+r.IntN(400), true)
		b := edited(r, a)
		if r.IntN(10) == 0 {
			b = generate(r, 1+r.IntN(400), true)
		}
		ca, cb := build(t, s, a), build(t, s, b)
		require.Equal(t, modelDiff(a, b), diff(t, s, ca, cb))
		require.Equal(t, modelDiff(b, a), diff(t, s, cb, ca))
	}
}

func TestDiffReadsLittle(t *testing.T) {
	r := newRand(t)
	spans := distinctChunks(100_000)
	s := newStore(false)
	a := build(t, s, spans)
	s.loads = 0
	require.Empty(t, diff(t, s, a, a))
	require.Zero(t, s.loads)
	b := build(t, s, changed(r, spans, 10))
	levels := int(a.Root.Level) + 1
	require.NotEmpty(t, diff(t, s, a, b))
	require.LessOrEqual(t, s.loads, 10*6*levels)
	for range Diff(t.Context(), s, a, b) {
		break
	}
}

func TestDiffOfLongRepeats(t *testing.T) {
	s := newStore(false)
	var a, b []reftree.Span
	for i := range 300 {
		id := uint64(i % 2)
		a = append(a, reftree.Span{ID: chunkID(id, false), Length: 16 << 20, Count: 1 << 28})
		b = append(b, reftree.Span{ID: chunkID(id+1, false), Length: 16 << 20, Count: 1 << 28})
	}
	ca, cb := build(t, s, a), build(t, s, b)
	require.Equal(t, []Range{{0, ca.Size}}, diff(t, s, ca, cb))
}
