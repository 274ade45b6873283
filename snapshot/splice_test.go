package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/chunk"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// edit changes a file in some places, and returns it with the ranges that it changed, perhaps more than really.
func edit(rng *rand.Rand, old []byte) ([]byte, []byteRange) {
	b := bytes.Clone(old)
	var changed []byteRange
	for range rng.IntN(6) {
		if len(b) == 0 {
			break
		}
		off := rng.IntN(len(b))
		if rng.IntN(3) == 0 { // where blocks, holes and often chunks begin
			off = off / holeBlock * holeBlock
		}
		n := 1 + rng.IntN([]int{10, 5000, holeBlock, 300 << 10}[rng.IntN(4)])
		if rng.IntN(3) == 0 {
			n = int(alignUp(int64(n)))
		}
		part := b[off:min(off+n, len(b))]
		switch rng.IntN(6) {
		case 0, 1:
			clear(part)
		case 2:
			fill(part, 'x')
		case 3:
			copy(part, b[rng.IntN(len(b)):])
		case 4: // nothing is written, though the map says so
		default:
			noise(rng, part)
		}
		changed = append(changed, byteRange{int64(off), int64(off + len(part))})
	}
	switch size := len(b); rng.IntN(4) {
	case 0:
		b = b[:rng.IntN(size+1)]
	case 1:
		b = append(b, testFile(rng, 1+rng.IntN(400<<10))...)
	case 2:
		if n := size &^ (holeBlock - 1); n > 0 && rng.IntN(2) == 0 {
			b = b[:n]
		} else {
			b = append(b, make([]byte, alignUp(int64(size))-int64(size))...)
		}
	}
	return b, changed
}

func fill(p []byte, c byte) {
	for i := range p {
		p[i] = c
	}
}

func noise(rng *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
}

// spliceFile makes a file of which large parts may have little variety.
func spliceFile(rng *rand.Rand, size int) []byte {
	b := testFile(rng, size)
	switch rng.IntN(6) {
	case 0: // one byte all over, but for a few places
		fill(b, byte(rng.IntN(2)))
		for range min(size, 3) {
			b[rng.IntN(size)] = 7
		}
	case 1: // a period
		period := 1 + rng.IntN(9000)
		for i := period; i < size; i++ {
			b[i] = b[i-period]
		}
	}
	return b
}

// mapOf makes the extents of a change map.
func mapOf(size int64, changed []byteRange, data []byte, rng *rand.Rand) []source.Extent {
	points := []int64{0, size}
	for _, c := range changed {
		points = append(points, min(c.Off, size), min(c.End, size))
	}
	slices.Sort(points)
	points = slices.Compact(points)
	var list []source.Extent
	for i, off := range points[:len(points)-1] {
		x := source.Extent{Off: off, Len: points[i+1] - off, Kind: source.Unchanged}
		if slices.ContainsFunc(changed, func(c byteRange) bool { return c.Off <= off && off < c.End }) {
			x.Kind = source.Data
			if rng.IntN(2) == 0 && int64(bytes.Count(data[off:off+x.Len], []byte{0})) == x.Len {
				x.Kind = source.Hole
			}
		}
		list = append(list, x)
	}
	return list
}

// TestSpliceEqualsFullRead: a file read by what changed has the same content, to the last node, as if all of it had been read.
func TestSpliceEqualsFullRead(t *testing.T) { spliceRounds(t, func(n int) bool { return n < 7 }) }

func TestSoakSplice(t *testing.T) {
	limit, err := time.ParseDuration(os.Getenv("SOAKTIME"))
	if err != nil {
		t.Skip("SOAKTIME is not set: make soak")
	}
	end := time.Now().Add(limit)
	spliceRounds(t, func(int) bool { return time.Now().Before(end) })
}

// spliceRounds changes files and compares, as long as more says so of the number of rounds done.
func spliceRounds(t *testing.T, more func(n int) bool) {
	r := testRepo(t)
	s := testScanner(t, r)
	for n := 0; more(n); n++ {
		for name, c := range testChunkers(t, 16<<10) {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Logf("seed %d", seed)
				spliceRound(t, s, c, rand.New(rand.NewPCG(seed, 0)))
			})
		}
	}
}

func spliceRound(t *testing.T, s *scanner, c chunk.Chunker, rng *rand.Rand) {
	nodes := memNodes{}
	file := func(img source.Image) *contents {
		return &contents{image: img, size: img.Size(), chunker: c, unreadable: func(source.Range) {}}
	}
	img := imageOf(rng, spliceFile(rng, 1+rng.IntN(3<<20)))
	had := inParts(t, nodes, s, file(img), 8<<20, rng.Perm)
	for range 3 {
		b, changed := edit(rng, img.data)
		now := imageOf(rng, b)
		want := inParts(t, nodes, s, file(now), 8<<20, rng.Perm)
		f := file(now)
		f.old = content.NewMap(nodes, had)
		f.changed = changedBlocks(slices.Values(mapOf(now.Size(), changed, b, rng)), had.Size, now.Size())
		got := inParts(t, nodes, s, f, int64(1+rng.IntN(16))*holeBlock, rng.Perm)
		require.Equal(t, want, got, "%d to %d bytes, changed %v", had.Size, now.Size(), changed)
		require.Zero(t, verify(t, nodes, s, file(now), had, f.changed).count, "a right map is found wrong")
		img, had = now, got
	}
}

// verify reads a file in full and compares it with what a change map says of it.
func verify(t *testing.T, nodes memNodes, s *scanner, f *contents, had content.Content, changed []byteRange) *verifier {
	v := newVerifier(&delta{old: content.NewMap(nodes, had), changed: changed})
	asm := newAssembly(f, nodes)
	asm.verify = v
	if f.size > 0 {
		p, err := s.scanPart(t.Context(), f, 0, f.size)
		require.NoError(t, err)
		asm.tokens <- struct{}{}
		require.NoError(t, asm.add(t.Context(), s, 0, p))
	}
	v.end(f.size)
	require.NoError(t, v.err)
	return v
}

// TestVerifyFindsLies: where a splice by a wrong change map gives other contents than reading all, the comparison says so.
func TestVerifyFindsLies(t *testing.T) {
	r := testRepo(t)
	s := testScanner(t, r)
	lies, harmless := 0, 0
	for name, c := range testChunkers(t, 16<<10) {
		for range 8 {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				t.Logf("seed %d", seed)
				rng := rand.New(rand.NewPCG(seed, 0))
				nodes := memNodes{}
				file := func(data []byte) *contents {
					return &contents{image: &memImage{data: data}, size: int64(len(data)), chunker: c, unreadable: func(source.Range) {}}
				}
				before := spliceFile(rng, 1+rng.IntN(3<<20))
				had := inParts(t, nodes, s, file(before), 8<<20, rng.Perm)
				after, changed := edit(rng, before)
				kept := changed[min(len(changed), rng.IntN(3)):]
				blocks := changedBlocks(slices.Values(mapOf(int64(len(after)), kept, after, rng)), had.Size, int64(len(after)))
				v := verify(t, nodes, s, file(after), had, blocks)
				want := inParts(t, nodes, s, file(after), 8<<20, rng.Perm)
				f := file(after)
				f.old, f.changed = content.NewMap(nodes, had), blocks
				got := inParts(t, nodes, s, f, partSize, rng.Perm)
				for wrong, err := range content.Diff(t.Context(), nodes, want, got) {
					require.NoError(t, err)
					// Behind what is wrong the splice may have read again, and cut where the old content would be.
					require.True(t, slices.ContainsFunc(v.ranges, func(r content.Range) bool {
						return r.Offset <= wrong.Offset && r.Offset+r.Length > wrong.Offset
					}), "%v is wrong, found %v", wrong, v.ranges)
					lies++
				}
				total := int64(0)
				for _, r := range v.ranges {
					require.True(t, differs(before, after, r, blocks), "%v is as claimed", r)
					total += r.Length
				}
				require.Equal(t, total, v.bytes)
				require.Len(t, v.ranges, v.count)
				harmless += min(1, len(changed)-len(kept))
			})
		}
	}
	require.NotZero(t, lies)
	t.Logf("%d wrong ranges in %d files with wrong maps", lies, harmless)
}

// differs reports whether two files differ within a range, blocks being left out.
func differs(a, b []byte, r content.Range, blocks []byteRange) bool {
	a, b = bytes.Clone(a[:min(len(a), len(b))]), bytes.Clone(b[:min(len(a), len(b))])
	for _, c := range blocks {
		clear(a[min(c.Off, int64(len(a))):min(c.End, int64(len(a)))])
		clear(b[min(c.Off, int64(len(b))):min(c.End, int64(len(b)))])
	}
	end := min(r.Offset+r.Length, int64(len(a)))
	return !bytes.Equal(a[r.Offset:end], b[r.Offset:end])
}

// counting counts what is read of an image.
type counting struct {
	*memImage
	read int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.read += len(p)
	return c.memImage.ReadAt(p, off)
}

// loads counts how often nodes are loaded.
type loads struct {
	memNodes
	n int
}

func (l *loads) Load(ctx context.Context, class repo.Class, id repo.ID, length uint32) ([]byte, error) {
	l.n++
	return l.memNodes.Load(ctx, class, id, length)
}

// TestSpliceReadsLittle: what is read, of the file and of its old map, grows with what changed and not with the file.
func TestSpliceReadsLittle(t *testing.T) {
	r := testRepo(t)
	s := testScanner(t, r)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for name, c := range testChunkers(t, 16<<10) {
		nodes := &loads{memNodes: memNodes{}}
		img := &counting{memImage: &memImage{data: make([]byte, 8<<20)}}
		noise(rng, img.data)
		file := func() *contents {
			return &contents{image: img, size: img.Size(), chunker: c, unreadable: func(source.Range) {}}
		}
		had := inParts(t, nodes.memNodes, s, file(), 4<<20, rng.Perm)
		for _, changes := range []int{0, 1, 8} {
			f := file()
			f.old = content.NewMap(nodes, had)
			var extents []source.Extent
			for i := range int64(changes) {
				off := i*1_000_000 + 77_777
				noise(rng, img.data[off:off+4000])
				extents = append(extents, source.Extent{Off: off, Len: 4000})
			}
			f.changed = changedBlocks(slices.Values(extents), had.Size, f.size)
			img.read, nodes.n = 0, 0
			got := inParts(t, nodes.memNodes, s, f, partSize, rng.Perm)
			require.LessOrEqual(t, img.read, changes*640<<10, "%s, %d changes", name, changes)
			require.LessOrEqual(t, nodes.n, 12+changes*20, "%s, %d changes", name, changes)
			require.Equal(t, got, inParts(t, nodes.memNodes, s, file(), 8<<20, rng.Perm))
			had = got
		}
	}
}

func TestChangedBlocks(t *testing.T) {
	const b = holeBlock
	data := func(off, end int64) source.Extent { return source.Extent{Off: off, Len: end - off} }
	for name, c := range map[string]struct {
		extents []source.Extent
		was, is int64
		want    []byteRange
	}{
		"nothing":           {nil, 3*b + 5, 3*b + 5, nil},
		"rounded out":       {[]source.Extent{data(1, 2), data(b+9, 2*b-1), data(3*b-1, 3*b+1)}, 9 * b, 9 * b, []byteRange{{0, 4 * b}}},
		"apart":             {[]source.Extent{data(0, b), data(2*b, 3*b)}, 9 * b, 9 * b, []byteRange{{0, b}, {2 * b, 3 * b}}},
		"up to the end":     {[]source.Extent{data(2*b+3, 2*b+5)}, 2*b + 5, 2*b + 5, []byteRange{{2 * b, 2*b + 5}}},
		"unchanged":         {[]source.Extent{{Off: 0, Len: b, Kind: source.Unchanged}, {Off: b, Len: b, Kind: source.Hole}}, 2 * b, 2 * b, []byteRange{{b, 2 * b}}},
		"longer":            {nil, 2*b + 5, 4 * b, []byteRange{{2 * b, 4 * b}}},
		"longer, on grid":   {nil, 2 * b, 3*b + 1, []byteRange{{b, 3*b + 1}}},
		"shorter":           {[]source.Extent{data(0, 1)}, 5 * b, 3*b + 1, []byteRange{{0, b}, {3 * b, 3*b + 1}}},
		"shorter, on grid":  {nil, 5 * b, 3 * b, []byteRange{{2 * b, 3 * b}}},
		"from nothing":      {nil, 0, b, []byteRange{{0, b}}},
		"to nothing":        {nil, b, 0, nil},
		"a map of old size": {[]source.Extent{data(4*b, 5*b)}, 5 * b, b, []byteRange{{0, b}}},
	} {
		require.Equal(t, c.want, changedBlocks(slices.Values(c.extents), c.was, c.is), name)
	}
}
