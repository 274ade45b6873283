package snapshot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/chunk"
)

// span is what split finds: the end of a chunk, or of a hole, in the file.
type testSpan struct {
	end  int64
	hole bool
}

func testChunkers(t testing.TB, mean int) map[string]chunk.Chunker {
	t.Helper()
	m := map[string]chunk.Chunker{}
	for _, k := range []chunk.Kind{chunk.Aligned, chunk.Gear, chunk.Rabin, chunk.Fixed} {
		c, err := chunk.New(k, chunk.Params{Mean: mean}, &[32]byte{7})
		require.NoError(t, err)
		m[k.String()] = c
	}
	return m
}

// testFile makes size bytes with random data, constant data, and zeros on and off the grid of holes.
func testFile(rng *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for pos := 0; pos < size; {
		n := min(1+rng.IntN(300<<10), size-pos)
		if rng.IntN(3) == 0 {
			n = min((pos+n+holeBlock-1)/holeBlock*holeBlock, size) - pos
		}
		switch part := b[pos : pos+n]; rng.IntN(4) {
		case 0: // zeros
		case 1:
			for i := range part {
				part[i] = 'x'
			}
		default:
			for i := range part {
				part[i] = byte(rng.Uint32())
			}
		}
		pos += n
	}
	return b
}

func splitWhole(t *testing.T, c chunk.Chunker, data []byte) []testSpan {
	return splitOffered(t, c, data, func() int { return len(data) })
}

// splitOffered offers the file in steps of the sizes given.
func splitOffered(t *testing.T, c chunk.Chunker, data []byte, step func() int) []testSpan {
	t.Helper()
	var spans []testSpan
	s := &splitter{chunker: c}
	off, have := 0, 0
	for off < len(data) {
		have = min(max(have+step(), off), len(data))
		n, err := s.split(data[off:have], int64(off), have == len(data), func(chunk []byte, hole int64) error {
			last := int64(0)
			if len(spans) > 0 {
				last = spans[len(spans)-1].end
			}
			if chunk == nil && len(spans) > 0 && spans[len(spans)-1].hole {
				spans[len(spans)-1].end += hole
				return nil
			}
			spans = append(spans, testSpan{last + hole + int64(len(chunk)), chunk == nil})
			return nil
		})
		require.NoError(t, err)
		off += n
	}
	return spans
}

func TestSplitDependsOnBytesAlone(t *testing.T) {
	for name, c := range testChunkers(t, 16<<10) {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				data := testFile(rng, 1+rng.IntN(3<<20))
				want := splitWhole(t, c, data)
				got := splitOffered(t, c, data, func() int { return 1 + rng.IntN(200<<10) })
				require.Equal(t, want, got)
				checkHoles(t, data, want)
			})
		}
	}
}

// checkHoles holds the spans to the definition: the holes are exactly the whole zero blocks.
func checkHoles(t *testing.T, data []byte, spans []testSpan) {
	t.Helper()
	isHole := make([]bool, len(data)/holeBlock)
	pos := int64(0)
	for _, s := range spans {
		if s.hole {
			require.Zero(t, pos%holeBlock)
			require.Zero(t, (s.end-pos)%holeBlock)
			for b := pos / holeBlock; b < s.end/holeBlock; b++ {
				isHole[b] = true
			}
		}
		pos = s.end
	}
	require.EqualValues(t, len(data), pos)
	for b := range isHole {
		block := data[b*holeBlock : (b+1)*holeBlock]
		zeros := !slices.ContainsFunc(block, func(c byte) bool { return c != 0 })
		require.Equal(t, zeros, isHole[b], "block %d", b)
	}
}
