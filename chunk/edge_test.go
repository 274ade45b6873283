package chunk

import (
	"math"
	"testing"

	"github.com/restic/chunker"
	"github.com/stretchr/testify/require"
)

// TestGearEdges pins what random data hardly ever shows: the first length tried,
// the length at which the limits change, and the 64 bytes under the hash.
func TestGearEdges(t *testing.T) {
	p := Params{MinMean}
	data := randomBytes(9, p.Max())
	next := func(strict, loose uint64) int {
		g, err := newGear(p, testSecret())
		require.NoError(t, err)
		g.strict, g.loose = strict, loose
		return g.Next(data, false)
	}
	require.Equal(t, p.Min(), next(math.MaxUint64, 0))
	require.Equal(t, p.Min()+37*p.Mean/64, next(0, math.MaxUint64))
	require.Equal(t, p.Max(), next(0, 0))

	g, err := newGear(p, testSecret())
	require.NoError(t, err)
	var h uint64
	for j := range 64 {
		h += g.table[data[p.Min()-1-j]] << j
	}
	require.Equal(t, p.Min(), next(h+1, 0))
	require.NotEqual(t, p.Min(), next(h, 0), "the limit itself is no cut")
}

// TestRabinEdges pins the first length tried and the length at which the masks
// change.
func TestRabinEdges(t *testing.T) {
	p := Params{MinMean}
	data := randomBytes(10, p.Max())
	pol, err := chunker.DerivePolynomial(derive(rabinContext, testSecret()))
	require.NoError(t, err)
	next := func(strictBits, looseBits int) int {
		r, err := newRabin(p, testSecret())
		require.NoError(t, err)
		r.strict = rabinFrom(pol, p.Min(), p.Max(), strictBits)
		r.loose = rabinFrom(pol, r.normal, p.Max(), looseBits)
		return r.Next(data, false)
	}
	require.Equal(t, p.Min(), next(0, 53))
	require.Equal(t, p.Min()+3*p.Mean/8, next(53, 0))
	require.Equal(t, p.Max(), next(53, 53))
}

// TestAlignedEdges pins the first block tried and the last.
func TestAlignedEdges(t *testing.T) {
	p := Params{4 * MinAlignedMean}
	data := randomBytes(11, p.Max())
	next := func(limit uint64) int {
		a, err := newAligned(p, testSecret())
		require.NoError(t, err)
		a.limit = limit
		return a.Next(data, false)
	}
	require.Equal(t, p.Min(), next(math.MaxUint64))
	require.Equal(t, p.Max(), next(0))

	// The end of a file: 16 zero bytes before a multiple of the grid, from Min on.
	clear(data[p.Min()-Grid-16 : p.Min()-Grid])
	clear(data[p.Min()+Grid-15 : p.Min()+Grid])
	clear(data[p.Min()+2*Grid-17 : p.Min()+2*Grid-1])
	clear(data[p.Min()+3*Grid-16 : p.Min()+3*Grid])
	require.Equal(t, p.Min()+3*Grid, next(0))
}
