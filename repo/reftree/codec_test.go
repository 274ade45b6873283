package reftree

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

func newRand(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// testID returns the n-th of a series of ids of which none ends a node.
func testID(n uint64) (id ID) {
	binary.BigEndian.PutUint64(id[8:], n)
	id[0] = 1
	return id
}

// endingID returns the n-th of a series of ids that all end a node.
func endingID(n uint64) ID {
	id := testID(n)
	id[0] = 0xe0
	return id
}

func chunkSpan(id ID, length, count int64) Span {
	return Span{Kind: Chunk, ID: id, Length: length, Count: count}
}

func randomSpans(r *rand.Rand, n int) []Span {
	spans := make([]Span, n)
	for i := range spans {
		switch r.IntN(4) {
		case 0:
			spans[i] = chunkSpan(testID(uint64(i)), 1+r.Int64N(MaxChunk), 1)
		case 1:
			spans[i] = chunkSpan(testID(uint64(i)), 1+r.Int64N(MaxChunk), 2+r.Int64N(1<<20))
		case 2:
			spans[i] = Span{Kind: Hole, Length: 1 + r.Int64N(1<<50), Count: 1}
		case 3:
			spans[i] = Span{Kind: Unread, Length: 1 + r.Int64N(1<<50), Count: 1}
		}
		if i > 0 && spans[i-1].Merges(&spans[i]) {
			spans[i] = chunkSpan(testID(uint64(i)), 1, 1)
		}
	}
	return spans
}

func randomNode(r *rand.Rand) *MapNode {
	n := &MapNode{Level: uint8(r.IntN(MaxLevel + 1))}
	count := 1 + r.IntN(MaxEntries)
	if n.Level == 0 {
		n.Spans = randomSpans(r, count)
		for _, s := range n.Spans {
			n.Size += s.Size()
		}
		return n
	}
	for i := range count {
		c := Child{Ref: Ref{ID: testID(uint64(i)), Length: 1 + r.Uint32N(MaxChunk)}, Covered: 1 + r.Int64N(1<<30), Count: 1}
		if r.IntN(3) == 0 {
			c.Count = 2 + r.Int64N(1<<10)
		}
		n.Children = append(n.Children, c)
		n.Size += c.Size()
	}
	return n
}

func TestMapNodeRoundTrip(t *testing.T) {
	r := newRand(t)
	for range 500 {
		n := randomNode(r)
		p := n.Append(nil)
		got, err := DecodeMapNode(p)
		require.NoError(t, err)
		require.Equal(t, n, got)
		for range 3 {
			_, err = DecodeMapNode(p[:r.IntN(len(p))])
			require.ErrorIs(t, err, ErrFormat)
		}
		_, err = DecodeMapNode(append(p, 0))
		require.ErrorIs(t, err, ErrFormat)
	}
}

func spansNode(spans ...Span) []byte { return (&MapNode{Spans: spans}).Append(nil) }

func childrenNode(level uint8, children ...Child) []byte {
	return (&MapNode{Level: level, Children: children}).Append(nil)
}

func distinct(n int, last Span) []Span {
	var list []Span
	for i := range n - 1 {
		list = append(list, chunkSpan(testID(uint64(i)), 10, 1))
	}
	return append(list, last)
}

func TestMapNodeRefused(t *testing.T) {
	a, e := testID(1000), endingID(1001)
	hole := Span{Kind: Hole, Length: 10, Count: 1}
	child := Child{Ref: Ref{ID: a, Length: 7}, Covered: 9, Count: 1}
	long := child
	long.Length = MaxChunk + 1
	once := append(wire.AppendUvarint(AppendMapHeader(nil, 0, 1), 10<<2|3), 1)
	cases := map[string][]byte{
		"empty":                  {},
		"other tag":              {TagReference, 0},
		"no spans":               AppendMapHeader(nil, 0, 0),
		"no children":            AppendMapHeader(nil, 1, 0),
		"level":                  childrenNode(MaxLevel+1, child),
		"equal chunks":           spansNode(chunkSpan(a, 10, 1), chunkSpan(a, 10, 1)),
		"equal chunks, repeated": spansNode(chunkSpan(a, 10, 2), chunkSpan(a, 10, 1)),
		"two holes":              spansNode(hole, hole),
		"empty chunk":            spansNode(chunkSpan(a, 0, 1)),
		"long chunk":             spansNode(chunkSpan(a, MaxChunk+1, 1)),
		"empty hole":             spansNode(Span{Kind: Hole, Count: 1}),
		"repeated once":          append(once, a[:]...),
		"overflow in a span":     spansNode(chunkSpan(a, 1<<20, 1<<43)),
		"overflow of the sum":    spansNode(Span{Kind: Hole, Length: MaxSize, Count: 1}, chunkSpan(a, 1, 1)),
		"too many spans":         spansNode(distinct(MaxEntries+1, hole)...),
		"past its end":           spansNode(append(distinct(MinEntries, chunkSpan(e, 10, 1)), hole)...),
		"equal children":         childrenNode(1, child, child),
		"child covers nothing":   childrenNode(1, Child{Ref: child.Ref, Count: 1}),
		"child without length":   childrenNode(1, Child{Ref: Ref{ID: a}, Covered: 1, Count: 1}),
		"child too long":         childrenNode(1, long),
		"children overflow":      childrenNode(1, Child{Ref: child.Ref, Covered: 1 << 40, Count: 1 << 22}),
	}
	for name, p := range cases {
		_, err := DecodeMapNode(p)
		require.ErrorIs(t, err, ErrFormat, name)
	}
	for name, p := range map[string][]byte{
		"ends by an id":      spansNode(distinct(MinEntries, chunkSpan(e, 10, 1))...),
		"an early ending id": spansNode(append(distinct(MinEntries-1, chunkSpan(e, 10, 1)), hole)...),
		"full":               spansNode(distinct(MaxEntries, hole)...),
	} {
		n, err := DecodeMapNode(p)
		require.NoError(t, err, name)
		require.Equal(t, name != "an early ending id", n.Complete(), name)
	}
}

func TestSpanValidate(t *testing.T) {
	a := testID(1)
	for _, s := range []Span{
		{}, {Kind: 3, Length: 1, Count: 1}, {Kind: Hole, Length: 1, Count: 2}, {Kind: Hole, Length: 1, Count: 1, ID: a},
		{Kind: Unread, Length: 1}, {Kind: Chunk, Length: 1}, {Kind: Chunk, Length: -1, Count: 1}, {Kind: Hole, Length: MaxSize + 1, Count: 1},
	} {
		require.ErrorIs(t, s.Validate(), ErrFormat, "%+v", s)
	}
	require.NoError(t, chunkSpan(a, 3, MaxSize/3).Validate())
	require.NoError(t, Span{Kind: Unread, Length: MaxSize, Count: 1}.Validate())
	require.Equal(t, "chunk hole unread kind(7)", Chunk.String()+" "+Hole.String()+" "+Unread.String()+" "+Kind(7).String())
}

func randomReferences(r *rand.Rand, n int) []Reference {
	ref := func() Ref { return Ref{ID: testID(r.Uint64()), Length: 1 + r.Uint32N(MaxChunk)} }
	list := make([]Reference, n)
	for i := range list {
		switch k := RefKind(1 + r.IntN(4)); k {
		case RefContent:
			list[i] = Reference{Kind: k, Content: Root{Level: uint8(r.IntN(MaxLevel + 1)), Ref: ref()}}
		case RefDirectory:
			list[i] = Reference{Kind: k, Pair: Pair{Meta: ref(), Map: ref()}}
		default:
			list[i] = Reference{Kind: k, Ref: ref()}
		}
	}
	return list
}

func TestReferenceNodeRoundTrip(t *testing.T) {
	r := newRand(t)
	for range 200 {
		refs := randomReferences(r, r.IntN(300))
		p := AppendReferenceNode(nil, refs)
		got, err := DecodeReferenceNode(p)
		require.NoError(t, err)
		require.Equal(t, refs, got)
		_, err = DecodeReferenceNode(append(p, 0))
		require.ErrorIs(t, err, ErrFormat)
		_, err = DecodeReferenceNode(p[:r.IntN(len(p))])
		require.ErrorIs(t, err, ErrFormat)
	}
}

func TestReferenceNodeRefused(t *testing.T) {
	one := Ref{ID: testID(1), Length: 1}
	for name, p := range map[string][]byte{
		"empty":     {},
		"tag":       {TagMap, 0},
		"kind 0":    AppendReferenceNode(nil, []Reference{{Kind: 0, Ref: one}}),
		"kind 5":    AppendReferenceNode(nil, []Reference{{Kind: 5, Ref: one}}),
		"no length": AppendReferenceNode(nil, []Reference{{Kind: RefMeta, Ref: Ref{ID: one.ID}}}),
		"level":     AppendReferenceNode(nil, []Reference{{Kind: RefContent, Content: Root{Level: MaxLevel + 1, Ref: one}}}),
		"too many":  AppendReferenceNode(nil, make([]Reference, MaxReferences+1)),
	} {
		_, err := DecodeReferenceNode(p)
		require.ErrorIs(t, err, ErrFormat, name)
	}
}
