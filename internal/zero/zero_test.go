package zero_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/zero"
)

func TestIs(t *testing.T) {
	buf := make([]byte, 3*4096+77)
	for _, n := range []int{0, 1, 7, 8, 63, 4095, 4096, 4097, 8192, len(buf)} {
		require.True(t, zero.Is(buf[:n]), "length %d", n)
	}
	for i := range buf {
		buf[i] = 1 << (i % 8)
		require.False(t, zero.Is(buf), "byte %d", i)
		require.False(t, zero.Is(buf[i/2:i+1]), "byte %d", i)
		require.True(t, zero.Is(buf[:i]) && zero.Is(buf[i+1:]), "around byte %d", i)
		buf[i] = 0
	}
}

// naive is the definition of a hole, a block at a time.
func naive(p []byte, off int64) []zero.Run {
	var runs []zero.Run
	add := func(r zero.Run) {
		if r.Len == 0 {
			return
		}
		if n := len(runs); n > 0 && runs[n-1].Hole == r.Hole {
			runs[n-1].Len += r.Len
			return
		}
		runs = append(runs, r)
	}
	for i := 0; i < len(p); {
		next := int((off+int64(i))/zero.Block*zero.Block + zero.Block - off)
		whole := (off+int64(i))%zero.Block == 0 && next <= len(p)
		next = min(next, len(p))
		hole := whole
		for _, b := range p[i:next] {
			hole = hole && b == 0
		}
		add(zero.Run{Off: i, Len: next - i, Hole: hole})
		i = next
	}
	return runs
}

func TestRuns(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		p := make([]byte, rng.IntN(6*zero.Block))
		for range rng.IntN(5) {
			if len(p) > 0 {
				p[rng.IntN(len(p))] = 1
			}
		}
		off := int64(rng.IntN(3)) * zero.Block
		if rng.IntN(2) == 0 {
			off += int64(rng.IntN(zero.Block))
		}
		var got []zero.Run
		for r := range zero.Runs(p, off) {
			got = append(got, r)
		}
		require.Equal(t, naive(p, off), got, "length %d at %d", len(p), off)
		for r := range zero.Runs(p, off) { // stopping early is allowed
			require.Equal(t, got[0], r)
			break
		}
	}
}

func TestRunsEdges(t *testing.T) {
	collect := func(n int, off int64) (runs []zero.Run) {
		for r := range zero.Runs(make([]byte, n), off) {
			runs = append(runs, r)
		}
		return runs
	}
	require.Empty(t, collect(0, 0))
	require.Equal(t, []zero.Run{{0, zero.Block - 1, false}}, collect(zero.Block-1, 0), "a partial last block is data")
	require.Equal(t, []zero.Run{{0, zero.Block, true}, {zero.Block, 1, false}}, collect(zero.Block+1, 0))
	require.Equal(t, []zero.Run{{0, 1, false}, {1, zero.Block, true}}, collect(zero.Block+1, 2*zero.Block-1))
	require.Equal(t, []zero.Run{{0, zero.Block, false}}, collect(zero.Block, -zero.Block), "a negative offset holds no holes")
	require.Equal(t, []zero.Run{{0, 10, false}}, collect(10, 1))
}

// touch gives p memory of its own: pages never written all read from one page of zeros.
func touch(p []byte) {
	for i := range p {
		p[i] = 1
	}
	clear(p)
}

func BenchmarkIs(b *testing.B) {
	for _, n := range []int{4 << 10, 64 << 10, 4 << 20} {
		p := make([]byte, n)
		touch(p)
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				if !zero.Is(p) {
					b.Fatal("not zero")
				}
			}
		})
	}
}

func BenchmarkRuns(b *testing.B) {
	p := make([]byte, 4<<20)
	touch(p)
	for i := 0; i < len(p); i += 1 << 20 {
		p[i+100] = 1
	}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for r := range zero.Runs(p, 0) {
			n += r.Len
		}
		if n != len(p) {
			b.Fatal("runs do not cover the buffer")
		}
	}
}
