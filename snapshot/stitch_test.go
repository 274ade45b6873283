package snapshot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// memImage is an image in memory that claims no holes but those it is told to.
type memImage struct {
	data  []byte
	holes []source.Extent // claimed
	bad   []source.Range  // cannot be read
}

func (m *memImage) ReadAt(p []byte, off int64) (int, error) {
	for _, b := range m.bad {
		if off < b.Off+b.Len && off+int64(len(p)) > b.Off {
			n := copy(p, m.data[off:max(off, b.Off)])
			return n, b.Err
		}
	}
	return bytes.NewReader(m.data).ReadAt(p, off)
}

func (m *memImage) Size() int64    { return int64(len(m.data)) }
func (m *memImage) Changed() error { return nil }
func (m *memImage) Close() error   { return nil }

func (m *memImage) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) {
		end := min(off+n, m.Size())
		for _, h := range m.holes {
			if h.Off+h.Len <= off || h.Off >= end {
				continue
			}
			if h.Off > off && !yield(source.Extent{Off: off, Len: h.Off - off}, nil) {
				return
			}
			to := min(h.Off+h.Len, end)
			if !yield(source.Extent{Off: max(off, h.Off), Len: to - max(off, h.Off), Kind: source.Hole}, nil) {
				return
			}
			off = to
		}
		if off < end {
			yield(source.Extent{Off: off, Len: end - off}, nil)
		}
	}
}

var testConfig = repo.Config{ChunkMean: 16 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20}

func testRepo(t testing.TB) *repo.Repository {
	t.Helper()
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(t.Context(), mem.New(nil), &repo.InitOptions{Config: testConfig, Sealer: key})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func testScanner(t testing.TB, r *repo.Repository) *scanner {
	t.Helper()
	s, err := r.Begin(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background(), "test")) })
	w, err := s.NewWriter(repo.Data)
	require.NoError(t, err)
	return &scanner{data: w, counters: &counters{}}
}

// memNodes keeps the nodes of content maps.
type memNodes map[repo.ID][]byte

func (m memNodes) Save(_ context.Context, _ repo.Class, p []byte) (repo.ID, error) {
	id := crypto.Hash(p)
	m[id] = bytes.Clone(p)
	return id, nil
}

func (m memNodes) Load(_ context.Context, _ repo.Class, id repo.ID, _ uint32) ([]byte, error) {
	if b, ok := m[id]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

// inParts puts a file together from parts of a size, given in any order.
func inParts(t *testing.T, nodes memNodes, s *scanner, f *contents, size int64, order func(n int) []int) content.Content {
	t.Helper()
	asm := newAssembly(f, nodes)
	var ranges []byteRange
	for i, r := range f.ranges(size) {
		require.Equal(t, len(ranges), i)
		ranges = append(ranges, r)
	}
	asm.tokens = make(chan struct{}, len(ranges))
	for range ranges {
		asm.tokens <- struct{}{}
	}
	for _, i := range order(len(ranges)) {
		p, err := s.scanPart(t.Context(), f, ranges[i].Off, ranges[i].End)
		require.NoError(t, err)
		require.NoError(t, asm.add(t.Context(), s, i, p))
	}
	c, err := asm.finish(t.Context())
	require.NoError(t, err)
	return c
}

func TestPartsEqualOnePass(t *testing.T) {
	r := testRepo(t)
	nodes, s := memNodes{}, testScanner(t, r)
	for name, c := range testChunkers(t, 16<<10) {
		for seed := range uint64(10) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 3))
				img := randomImage(rng, 1+rng.IntN(6<<20))
				f := &contents{image: img, size: img.Size(), chunker: c, unreadable: func(source.Range) {}}
				want := inParts(t, nodes, s, f, 8<<20, rng.Perm)
				got := inParts(t, nodes, s, f, int64(1+rng.IntN(16))*holeBlock, rng.Perm)
				require.Equal(t, want, got)
			})
		}
	}
}

// randomImage makes an image of random contents, and imageOf of those given. They claim some of the zero blocks as holes.
func randomImage(rng *rand.Rand, size int) *memImage { return imageOf(rng, testFile(rng, size)) }

func imageOf(rng *rand.Rand, data []byte) *memImage {
	img := &memImage{data: data}
	for b := 0; b+4096 <= len(data); b += 4096 {
		if rng.IntN(2) == 0 && bytes.Equal(img.data[b:b+4096], make([]byte, 4096)) {
			img.holes = append(img.holes, source.Extent{Off: int64(b), Len: 4096})
		}
	}
	return img
}

func TestUnreadRanges(t *testing.T) {
	r := testRepo(t)
	nodes, s := memNodes{}, testScanner(t, r)
	rng := rand.New(rand.NewPCG(5, 5))
	img := randomImage(rng, 3<<20)
	img.bad = []source.Range{{Off: 1<<20 + 8192, Len: 4096, Err: io.ErrNoProgress}, {Off: 2 << 20, Len: 300 << 10, Err: io.ErrNoProgress}}
	c, err := chunk.New(chunk.Gear, chunk.Params{Mean: 16 << 10}, &[32]byte{1})
	require.NoError(t, err)
	f := &contents{image: img, size: img.Size(), chunker: c, unreadable: func(source.Range) {}}
	whole := inParts(t, nodes, s, f, 8<<20, rng.Perm)
	require.Equal(t, whole, inParts(t, nodes, s, f, 4*holeBlock, rng.Perm))

	unread := int64(0)
	for span, err := range content.NewMap(nodes, whole).Spans(t.Context(), 0, img.Size()) {
		require.NoError(t, err)
		if span.Kind == 2 {
			unread += span.Length
		}
	}
	require.EqualValues(t, 4096+300<<10, unread)
}
