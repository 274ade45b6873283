package content

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// pieces cuts spans at random places into spans that merge again.
func pieces(r *rand.Rand, spans []reftree.Span) (out []reftree.Span) {
	for _, s := range spans {
		for s.Size() > 0 {
			p := s
			if s.Kind == reftree.Chunk {
				p.Count = 1 + r.Int64N(s.Count)
				s.Count -= p.Count
			} else {
				p.Length = 1 + r.Int64N(s.Length)
				s.Length -= p.Length
			}
			out = append(out, p)
		}
	}
	return out
}

func TestBuilderIsTheModel(t *testing.T) {
	r := newRand(t)
	deepest := uint8(0)
	for i := range 400 {
		easy := i%4 != 0
		spans := generate(r, 1+r.IntN(1+i*3), easy)
		s := newStore(easy)
		want := modelContent(t, newStore(easy), spans)
		got := build(t, s, pieces(r, spans))
		require.Equal(t, want, got)
		require.NoError(t, got.Validate())
		deepest = max(deepest, got.Root.Level)

		var back []reftree.Span
		for _, p := range collect(t, NewMap(s, got), 0, math.MaxInt64) {
			require.Equal(t, total(back), p.Offset)
			back = append(back, p.Span)
		}
		require.Equal(t, merged(spans), back)
	}
	require.Greater(t, deepest, uint8(1))
}

func TestContentCodec(t *testing.T) {
	r := newRand(t)
	for i := range 300 {
		c := build(t, newStore(true), generate(r, 1+i%2*r.IntN(100), true))
		p := c.Append(nil)
		d := wire.NewDecoder(p)
		got := Decode(d)
		require.NoError(t, d.Finish())
		require.Equal(t, c, got)
		require.True(t, c.Equal(&got))
		d = wire.NewDecoder(p[:len(p)-1])
		Decode(d)
		require.ErrorIs(t, d.Finish(), reftree.ErrFormat)
	}
}

func TestEmptyContent(t *testing.T) {
	c := build(t, newStore(false), nil)
	require.Equal(t, Content{Chunker: 7}, c)
	require.Equal(t, []byte{0, 7, 0, 0}, c.Append(nil))
	require.Empty(t, collect(t, NewMap(newStore(false), c), 0, 10))
	require.Empty(t, c.AppendReferences(nil))
}

func TestContentRefused(t *testing.T) {
	id := chunkID(1, false)
	one := reftree.Span{ID: id, Length: 5, Count: 1}
	ref := reftree.Ref{ID: id, Length: 9}
	nine := make([]reftree.Span, 9)
	for i := range nine {
		nine[i] = reftree.Span{ID: chunkID(uint64(i), false), Length: 1, Count: 1}
	}
	for name, c := range map[string]Content{
		"size too small":    {Size: 4, Spans: []reftree.Span{one}},
		"size too large":    {Size: 6, Spans: []reftree.Span{one}},
		"not merged":        {Size: 10, Spans: []reftree.Span{one, one}},
		"nine spans":        {Size: 9, Spans: nine},
		"bad span":          {Size: 5, Spans: []reftree.Span{{ID: id, Length: 5}}},
		"map of nothing":    {Root: reftree.Root{Ref: ref}},
		"level of a map":    {Size: 5, Root: reftree.Root{Level: 17, Ref: ref}},
		"map and size left": {Size: -1, Root: reftree.Root{Ref: ref}},
	} {
		require.ErrorIs(t, c.Validate(), reftree.ErrFormat, name)
		d := wire.NewDecoder(c.Append(nil))
		Decode(d)
		require.ErrorIs(t, d.Finish(), reftree.ErrFormat, name)
	}
	d := wire.NewDecoder([]byte{1, 0, 2})
	Decode(d)
	require.ErrorIs(t, d.Finish(), reftree.ErrFormat)
}

func TestAppendReferences(t *testing.T) {
	a, b := chunkID(1, false), chunkID(2, false)
	c := Content{Size: 25, Spans: []reftree.Span{{ID: a, Length: 5, Count: 3}, {Kind: reftree.Hole, Length: 4, Count: 1}, {ID: b, Length: 6, Count: 1}}}
	require.NoError(t, c.Validate())
	require.Equal(t, []reftree.Reference{
		{Kind: reftree.RefData, Ref: reftree.Ref{ID: a, Length: 5}},
		{Kind: reftree.RefData, Ref: reftree.Ref{ID: b, Length: 6}},
	}, c.AppendReferences(nil))
	c = Content{Size: 5, Root: reftree.Root{Level: 2, Ref: reftree.Ref{ID: a, Length: 5}}}
	require.Equal(t, []reftree.Reference{{Kind: reftree.RefContent, Content: c.Root}}, c.AppendReferences(nil))
}

type failing struct{ err error }

func (f failing) Save(context.Context, reftree.Class, []byte) (reftree.ID, error) {
	return reftree.ID{}, f.err
}

func TestBuilderErrors(t *testing.T) {
	full := errors.New("disk full")
	b := NewBuilder(failing{full}, 0)
	for i := range uint64(1000) {
		if err := b.Add(t.Context(), reftree.Span{ID: chunkID(i, false), Length: 1}); err != nil {
			break
		}
	}
	require.ErrorIs(t, b.Add(t.Context(), reftree.Span{Kind: reftree.Hole, Length: 1}), full)
	_, err := b.Finish(t.Context())
	require.ErrorIs(t, err, full)

	b = NewBuilder(newStore(false), 0)
	require.NoError(t, b.Add(t.Context(), reftree.Span{Kind: reftree.Hole, Length: reftree.MaxSize}))
	require.Error(t, b.Add(t.Context(), reftree.Span{Kind: reftree.Hole, Length: 1}))

	b = NewBuilder(newStore(false), 0)
	require.ErrorIs(t, b.Add(t.Context(), reftree.Span{Kind: reftree.Hole}), reftree.ErrFormat)

	b = NewBuilder(newStore(false), 0)
	_, err = b.Finish(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, b.Add(t.Context(), reftree.Span{Kind: reftree.Hole, Length: 1}), ErrFinished)
}

// changed returns spans with the ids of k of them changed.
func changed(r *rand.Rand, spans []reftree.Span, k int) []reftree.Span {
	out := append([]reftree.Span(nil), spans...)
	for range k {
		out[r.IntN(len(out))].ID = chunkID(r.Uint64()|1<<63, false)
	}
	return out
}

func distinctChunks(n int) []reftree.Span {
	spans := make([]reftree.Span, n)
	for i := range spans {
		spans[i] = reftree.Span{ID: chunkID(uint64(i), false), Length: 64 << 10, Count: 1}
	}
	return spans
}

func TestFewChangesRewriteFewNodes(t *testing.T) {
	r := newRand(t)
	spans := distinctChunks(100_000)
	s := newStore(false)
	c := build(t, s, spans)
	levels := int(c.Root.Level) + 1
	require.InDelta(t, 100_000/40, s.added, 300, "mean entries of a node")
	for _, k := range []int{1, 10, 100} {
		s.added = 0
		build(t, s, changed(r, spans, k))
		require.LessOrEqual(t, s.added, 3*k*levels, "%d changes", k)
		require.Greater(t, s.added, 0)
	}
}

// discard forgets what it saves. Its ids are a counter, so building with it costs nothing but the Builder's own work.
type discard struct {
	next  uint64
	bytes int64
}

func (d *discard) Save(_ context.Context, _ reftree.Class, p []byte) (reftree.ID, error) {
	d.next++
	d.bytes += int64(len(p))
	return cheapID(d.next), nil
}

func cheapID(n uint64) (id reftree.ID) {
	for i := range 8 {
		id[i] = byte(n * 0x9e3779b97f4a7c15 >> (56 - 8*i))
	}
	return id
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestHugeMapInLittleMemory(t *testing.T) {
	const spans, length = 1 << 20, 16 << 20 // 16 TiB
	d := &discard{}
	b := NewBuilder(d, 0)
	before := heap()
	for i := range uint64(spans) {
		if err := b.Add(t.Context(), reftree.Span{ID: cheapID(i), Length: length}); err != nil {
			t.Fatal(err)
		}
	}
	used := int64(heap()) - int64(before)
	c, err := b.Finish(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 16<<40, c.Size)
	require.Less(t, used, int64(1<<20), "bytes held by the builder")
	t.Logf("level %d, %d nodes, %d bytes of nodes, %d bytes held", c.Root.Level, d.next, d.bytes, used)
}

func BenchmarkBuilder(b *testing.B) {
	bld := NewBuilder(&discard{}, 0)
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		if err := bld.Add(b.Context(), reftree.Span{ID: cheapID(i), Length: 64 << 10}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMap finds the chunk at an offset of a disk of 1 TiB, and compares two maps that differ in one place.
func BenchmarkMap(b *testing.B) {
	const spans = 1 << 20
	s := newStore(false)
	build := func(odd uint64) Content {
		bld := NewBuilder(s, 0)
		for i := range uint64(spans) {
			id := cheapID(i)
			if i == odd {
				id = cheapID(spans)
			}
			if err := bld.Add(b.Context(), reftree.Span{ID: id, Length: 1 << 20}); err != nil {
				b.Fatal(err)
			}
		}
		c, err := bld.Finish(b.Context())
		require.NoError(b, err)
		return c
	}
	one, other := build(spans), build(spans/2)
	b.Run("find", func(b *testing.B) {
		m := NewMap(s, one)
		r := rand.New(rand.NewPCG(1, 2))
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range m.Spans(b.Context(), r.Int64N(one.Size), 1) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("diff", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, err := range Diff(b.Context(), s, one, other) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
