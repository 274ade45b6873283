package zstdenc

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNormalise: every code that occurs keeps a probability, and all add up.
func TestNormalise(t *testing.T) {
	rng := newRand(t)
	for range 5000 {
		most := uint(8 + rng.IntN(2))
		counts := make([]uint32, 2+rng.IntN(52))
		total, different := uint32(0), 0
		for i := range counts {
			if rng.IntN(3) > 0 || i == len(counts)-1 || i == 0 {
				counts[i] = 1 + uint32(rng.IntN(1<<rng.IntN(17)))
				different++
			}
			total += counts[i]
		}
		log := accuracy(total, different, most)
		probs := make([]int16, len(counts))
		normalise(probs, counts, total, log)
		sum := 0
		for i, p := range probs {
			sum += int(p)
			require.Equal(t, counts[i] > 0, p > 0, "%d of %v", i, counts)
		}
		require.Equal(t, 1<<log, sum, "%v", counts)
	}
}

// TestTables: each state of a table belongs to one code, and as many to each as its probability says.
func TestTables(t *testing.T) {
	for _, probs := range [][]int16{literalProbs, offsetProbs, matchProbs} {
		sum := 0
		for _, p := range probs {
			sum += int(max(p, -p))
		}
		require.Contains(t, []int{32, 64}, sum)
	}
	for k := range kinds {
		seen := map[uint16]bool{}
		size := 1 << kinds[k].defaults.log
		for _, s := range kinds[k].defaults.states[:size] {
			require.False(t, seen[s])
			require.True(t, int(s) >= size && int(s) < 2*size)
			seen[s] = true
		}
	}
}
