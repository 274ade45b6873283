package chunk

import (
	"sync"
	"testing"

	"github.com/restic/chunker"
	"github.com/stretchr/testify/require"
)

func TestKindNames(t *testing.T) {
	for want, kind := range map[uint8]Kind{1: Aligned, 2: Gear, 3: Rabin, 4: Fixed} {
		require.Equal(t, want, uint8(kind), "numbers are stored on disk")
		got, err := ParseKind(kind.String())
		require.NoError(t, err)
		require.Equal(t, kind, got)
	}
	require.Equal(t, "kind(9)", Kind(9).String())
	for _, s := range []string{"", "Gear", "kind(0)", "fixed "} {
		_, err := ParseKind(s)
		require.ErrorIs(t, err, ErrKind, s)
	}
}

func TestParams(t *testing.T) {
	p := Params{Mean: DefaultMean}
	require.Equal(t, 16<<10, p.Min())
	require.Equal(t, 256<<10, p.Max())

	for _, kind := range allKinds {
		for _, mean := range []int{0, -4096, 1, 2048, 4095, 48 << 10, 512 << 10, 1 << 30} {
			require.ErrorIs(t, Params{mean}.Validate(kind), ErrMean, "%s %d", kind, mean)
		}
		for mean := MinAlignedMean; mean <= MaxMean; mean *= 2 {
			require.NoError(t, Params{mean}.Validate(kind))
		}
		if kind != Aligned {
			require.NoError(t, Params{MinMean}.Validate(kind))
		}
	}
	require.ErrorIs(t, Params{MinAlignedMean / 2}.Validate(Aligned), ErrMean)
	for _, kind := range []Kind{0, 5, 255} {
		require.ErrorIs(t, p.Validate(kind), ErrKind)
	}
}

func TestNew(t *testing.T) {
	p := Params{Mean: DefaultMean}
	for _, kind := range allKinds {
		c := mustNew(t, kind, DefaultMean, testSecret())
		require.Equal(t, kind, c.Kind())
		require.Equal(t, p, c.Params())
		_, err := New(kind, Params{Mean: 5000}, testSecret())
		require.ErrorIs(t, err, ErrMean)
	}
	for _, kind := range contentDefined {
		_, err := New(kind, p, nil)
		require.ErrorIs(t, err, ErrSecret)
	}
	_, err := New(Fixed, p, nil)
	require.NoError(t, err)
	_, err = New(0, p, testSecret())
	require.ErrorIs(t, err, ErrKind)
}

// TestShortData holds the protocol where data is shorter than a chunk.
func TestShortData(t *testing.T) {
	data := randomBytes(1, MinAlignedMean)
	for _, kind := range allKinds {
		c := mustNew(t, kind, MinAlignedMean, testSecret())
		require.Zero(t, c.Next(nil, false))
		require.Zero(t, c.Next(nil, true))
		for _, n := range []int{1, 63, 64, 65, c.Params().Min() - 1} {
			require.Zero(t, c.Next(data[:n], false), "%s %d", kind, n)
			require.Equal(t, n, c.Next(data[:n], true), "%s %d", kind, n)
		}
		require.Empty(t, AppendCuts(nil, c, nil, true))
		require.Empty(t, AppendCuts(nil, c, data[:100], false))
		require.Equal(t, []int{7, 100}, AppendCuts([]int{7}, c, data[:100], true))
	}
}

// checkCuts holds what every chunker promises about the cuts of data.
func checkCuts(tb testing.TB, c Chunker, data []byte, cuts []int) {
	tb.Helper()
	p := c.Params()
	start := 0
	for _, cut := range cuts {
		n := cut - start
		require.LessOrEqual(tb, n, p.Max())
		require.Positive(tb, n)
		if cut < len(data) {
			require.GreaterOrEqual(tb, n, p.Min())
			require.Equal(tb, n, c.Next(data[start:cut], false), "a cut must not need bytes after it")
			require.Zero(tb, c.Next(data[start:cut-1], false), "one byte less must not be enough")
			if c.Kind() == Aligned {
				require.Zero(tb, cut%Grid)
			}
		}
		start = cut
	}
	require.Equal(tb, len(data), start, "cuts must cover the data")
}

func TestBounds(t *testing.T) {
	inputs := map[string][]byte{
		"random": randomBytes(2, 1<<20+5),
		"text":   textBytes(2, 1<<20+4095),
		"zeros":  make([]byte, 1<<20+1),
	}
	for _, kind := range allKinds {
		for name, data := range inputs {
			for mean := MinAlignedMean; mean <= MaxMean; mean *= 2 {
				t.Run(kind.String()+"/"+name+"/"+meanName(mean), func(t *testing.T) {
					c := mustNew(t, kind, mean, testSecret())
					checkCuts(t, c, data, AppendCuts(nil, c, data, true))
				})
			}
		}
	}
}

// TestMean holds the mean chunk size on random data to 10 %.
func TestMean(t *testing.T) {
	for mean := MinAlignedMean; mean <= MaxMean; mean *= 4 {
		data := randomBytes(uint64(mean), 256*mean)
		for _, kind := range contentDefined {
			c := mustNew(t, kind, mean, testSecret())
			got := float64(len(data)) / float64(len(AppendCuts(nil, c, data, true)))
			t.Logf("%s %s: %.0f bytes, %.3f of the mean", kind, meanName(mean), got, got/float64(mean))
			require.InEpsilon(t, mean, got, 0.10)
		}
	}
}

// expectedMean returns the mean length for a chance of a cut per step of strict
// up to normal and of loose after it, all in steps.
func expectedMean(least, normal, most int, strict, loose float64) float64 {
	sum, alive := float64(least), 1.0
	for n := least; n < most; n++ {
		chance := strict
		if n >= normal {
			chance = loose
		}
		alive *= 1 - chance
		sum += alive
	}
	return sum
}

// TestExpectedMean computes the exact mean on random data from the probability
// of each cut, for every mean there is.
func TestExpectedMean(t *testing.T) {
	const all = 1 << 64
	for mean := MinMean; mean <= MaxMean; mean *= 2 {
		p := Params{mean}
		g := mustNew(t, Gear, mean, testSecret()).(*gear)
		got := expectedMean(p.Min(), g.normal, p.Max(), float64(g.strict)/all, float64(g.loose)/all)
		require.InEpsilon(t, mean, got, 0.01)

		got = expectedMean(p.Min(), rabinNormal(p), p.Max(), 0.5/float64(mean), 2/float64(mean))
		require.InEpsilon(t, mean, got, 0.01)

		if mean >= MinAlignedMean {
			chance := float64(alignedLimit(p)) / all
			got = expectedMean(p.Min()/Grid, p.Max()/Grid, p.Max()/Grid, chance, chance)
			require.InEpsilon(t, mean, got*Grid, 0.0101)
		}
	}
}

func TestSecretsDiffer(t *testing.T) {
	data := randomBytes(4, 4<<20)
	other := testSecret()
	other[31] ^= 1
	for _, kind := range contentDefined {
		one := AppendCuts(nil, mustNew(t, kind, MinAlignedMean*4, testSecret()), data, false)
		two := AppendCuts(nil, mustNew(t, kind, MinAlignedMean*4, other), data, false)
		require.Greater(t, len(one), 40)
		common := len(one) - len(minus(one, two))
		// On the grid of Aligned one cut in 16 coincides by chance.
		require.Less(t, common, len(one)/4, "%s: %d common cuts", kind, common)
	}
}

// minus returns the elements of ascending a that are not in ascending b.
func minus(a, b []int) []int {
	var out []int
	for _, x := range a {
		for len(b) > 0 && b[0] < x {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != x {
			out = append(out, x)
		}
	}
	return out
}

// TestConstantData holds what the package says about runs of equal bytes.
func TestConstantData(t *testing.T) {
	const mean = 16 << 10
	for _, kind := range allKinds {
		c := mustNew(t, kind, mean, testSecret())
		p := c.Params()
		seen := map[int]int{}
		for v := range 256 {
			data := make([]byte, 2*p.Max())
			for i := range data {
				data[i] = byte(v)
			}
			n := c.Next(data, false)
			seen[n]++
			if kind == Rabin && v == 0 {
				require.Equal(t, p.Min(), n)
			}
			for _, l := range lengths(AppendCuts(nil, c, data[:len(data)/n*n], true)) {
				require.Equal(t, n, l, "%s: chunks of a run must be equal", kind)
			}
		}
		t.Logf("%s: lengths of chunks of constant bytes: %v", kind, seen)
		switch kind {
		case Fixed:
			require.Equal(t, map[int]int{mean: 256}, seen)
		case Aligned: // one value in four cuts at the first chance
			require.Len(t, seen, 2)
			require.Positive(t, seen[p.Max()])
			require.InDelta(t, 64, seen[p.Min()], 32)
		default:
			require.Greater(t, seen[p.Max()], 240)
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	data := randomBytes(5, 1<<20)
	for _, kind := range allKinds {
		c := mustNew(t, kind, MinAlignedMean, testSecret())
		cuts := make([]int, 0, 1024)
		require.Zero(t, testing.AllocsPerRun(5, func() {
			cuts = AppendCuts(cuts[:0], c, data, true)
		}), kind)
	}
}

func TestConcurrentUse(t *testing.T) {
	data := randomBytes(6, 1<<20)
	for _, kind := range allKinds {
		c := mustNew(t, kind, MinAlignedMean, testSecret())
		want := AppendCuts(nil, c, data, true)
		got := make([][]int, 4)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i] = AppendCuts(nil, c, data, true) })
		}
		wg.Wait()
		for i := range got {
			require.Equal(t, want, got[i], kind)
		}
	}
}

// TestDerivation freezes what is derived from the secret.
func TestDerivation(t *testing.T) {
	p := Params{DefaultMean}
	a, err := newAligned(p, testSecret())
	require.NoError(t, err)
	g, err := newGear(p, testSecret())
	require.NoError(t, err)
	require.Equal(t, 1, int(a.mul1&1))
	require.Equal(t, 1, int(a.mul2&1))
	got := []uint64{a.seed, a.mask, a.mul1, a.mul2, a.limit, g.table[0], g.table[255], g.strict, g.loose}
	require.Equal(t, []uint64{
		0x416eb65facdaeee4, 0x86071f2416336b44, 0x932be2a00e1f7047, 0xe97fbdb2e08c8ce9, 0x13b13b13b13b13b1,
		0x8d7376c8ec893498, 0xa933268a224b4436, 1 << 46, 1 << 50,
	}, got)
	pol, err := chunker.DerivePolynomial(derive(rabinContext, testSecret()))
	require.NoError(t, err)
	require.Equal(t, chunker.Pol(0x32a3fb473358bd), pol)
}
