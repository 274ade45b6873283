package zstdenc

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestFramesApart: a frame refers to nothing of the one before.
func TestFramesApart(t *testing.T) {
	rng, d := newRand(t), decoder(t)
	var e Encoder
	for range 3 {
		src := noise(rng, 5000)
		for i := range src {
			src[i] = "etaoinsh"[src[i]&7]
		}
		require.Equal(t, new(Encoder).Encode(nil, src), check(t, &e, d, src))
	}
}

// TestDroppedBlock: the offsets of a block that was stored as it is are not known to the next one.
func TestDroppedBlock(t *testing.T) {
	rng, d := newRand(t), decoder(t)
	src := noise(rng, 2*maxBlock)
	copy(src[60:67], src[10:17])
	src[maxBlock] = src[maxBlock-50] ^ 1
	for i := maxBlock + 1; i < maxBlock+2000; i++ {
		src[i] = src[i-50]
	}
	var e Encoder
	dropped := check(t, &e, d, src[:maxBlock])
	require.NotEmpty(t, e.block.seqs)
	require.Len(t, dropped, maxHeader+blockHeader+maxBlock)
	require.Less(t, len(check(t, &e, d, src)), len(src))
}

// TestRawLiterals: literals that are not coded, with each length of header.
func TestRawLiterals(t *testing.T) {
	rng, d := newRand(t), decoder(t)
	var e Encoder
	for _, n := range []int{31, 32, 33, 1023, 1024, 4095, 4096, 5000, 16383, 16384, 16400, 60000} {
		src := append(noise(rng, n), 0)
		check(t, &e, d, append(src, bytes.Repeat(src[:30], 300)...))
		for i := range src[:n] {
			src[i] &= 0x3f
		}
		check(t, &e, d, append(src, bytes.Repeat(src[:30], 300)...))
	}
}

// TestManySequences: so many in a block that their number takes three bytes.
func TestManySequences(t *testing.T) {
	rng, d := newRand(t), decoder(t)
	a, b := noise(rng, maxBlock), noise(rng, maxBlock)
	for i := range b {
		if b[i] == a[i] {
			b[i]++
		}
	}
	last := append(bytes.Clone(b[:40]), a[40:80]...)
	for j := 80; j < maxBlock; j += 4 {
		from := a
		if j/4%2 == 0 {
			from = b
		}
		last = append(last, from[j:j+4]...)
	}
	var e Encoder
	check(t, &e, d, bytes.Join([][]byte{a, b, last}, nil))
	require.GreaterOrEqual(t, len(e.block.seqs), 0x7f00)
}

// TestOneLiteral: all literals of a block are the same byte.
func TestOneLiteral(t *testing.T) {
	rng, d := newRand(t), decoder(t)
	src := noise(rng, maxBlock)
	src = append(src, src...)
	for j := maxBlock; j < len(src); j += 20 {
		src[j] = 'x'
	}
	copy(src[len(src)-40:], bytes.Repeat([]byte{'x'}, 40)) // no match begins near the end
	var e Encoder
	check(t, &e, d, src)
	require.NotEmpty(t, e.block.literals)
	require.Equal(t, len(e.block.literals), bytes.Count(e.block.literals, []byte{'x'}))
}
