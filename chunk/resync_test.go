package chunk

import (
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestResync inserts into, deletes from and overwrites random data, and checks
// that cuts before the edit stay, that cuts after it meet the old ones soon, and
// that splicing the old cuts from there on equals chunking everything again.
func TestResync(t *testing.T) {
	const seed, mean, size = 42, MinAlignedMean, 1 << 20
	t.Logf("seed %d", seed)
	data := randomBytes(seed, size)
	for _, kind := range contentDefined {
		rnd := rand.New(rand.NewPCG(seed, uint64(kind)))
		c := mustNew(t, kind, mean, testSecret())
		old := AppendCuts(nil, c, data, true)
		unit := 1
		if kind == Aligned {
			unit = Grid
		}
		total := 0
		const rounds = 60
		for range rounds {
			at := rnd.IntN(size/2/unit) * unit
			gone := rnd.IntN(3) * unit
			put := randomBytes(rnd.Uint64(), rnd.IntN(4)*unit)
			edited := slices.Concat(data[:at], put, data[at+gone:])
			total += checkSplice(t, c, edited, old, at, at+gone, at+len(put))
		}
		t.Logf("%s: %d new bytes per edit, %.2f means", kind, total/rounds, float64(total)/rounds/mean)
		require.Less(t, total/rounds, 3*mean)
	}
}

// checkSplice rechunks edited, which equals the data cut into old up to at, and
// equals from newEnd on what that was from oldEnd on. It stops at the first cut
// that is an old one, and returns how many bytes it chunked.
func checkSplice(t *testing.T, c Chunker, edited []byte, old []int, at, oldEnd, newEnd int) int {
	t.Helper()
	// A cut at the edit itself depends only on bytes before it, so it stays.
	k := sort.SearchInts(old, at+1)
	cuts := slices.Clone(old[:k])
	start := 0
	if k > 0 {
		start = old[k-1]
	}
	pos := start
	for pos < len(edited) {
		pos += c.Next(edited[pos:], true)
		cuts = append(cuts, pos)
		was := pos - newEnd + oldEnd
		if i, ok := slices.BinarySearch(old, was); ok && was >= oldEnd {
			for _, cut := range old[i+1:] {
				cuts = append(cuts, cut-oldEnd+newEnd)
			}
			break
		}
	}
	require.Equal(t, AppendCuts(nil, c, edited, true), cuts, "edit at %d", at)
	require.Less(t, pos-start, 32*c.Params().Mean, "resynchronises too late after %d", at)
	return pos - start
}
