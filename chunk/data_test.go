package chunk

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
)

// contentDefined are the kinds whose cuts depend on content.
var contentDefined = []Kind{Aligned, Gear, Rabin}

// allKinds are all kinds.
var allKinds = []Kind{Aligned, Gear, Rabin, Fixed}

// testSecret is the secret of the frozen vectors: bytes 0 to 31.
func testSecret() *[32]byte {
	var s [32]byte
	for i := range s {
		s[i] = byte(i)
	}
	return &s
}

// mustNew returns a chunker that must exist.
func mustNew(tb testing.TB, kind Kind, mean int, secret *[32]byte) Chunker {
	tb.Helper()
	c, err := New(kind, Params{Mean: mean}, secret)
	require.NoError(tb, err)
	return c
}

// randomBytes returns n pseudo-random bytes: the BLAKE3 extended output of the
// seed, 8 bytes little endian.
func randomBytes(seed uint64, n int) []byte {
	h := blake3.New()
	_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, seed))
	out := make([]byte, n)
	_, _ = h.Digest().Read(out)
	return out
}

// textBytes returns n bytes of lines that resemble one another, as in a log or
// a table dump: they compress about fourfold and hold no long repetitions.
func textBytes(seed uint64, n int) []byte {
	words := []string{"open", "close", "read", "write", "error", "retry", "commit", "abort"}
	rnd := randomBytes(seed, n/16+8)
	out := make([]byte, 0, n+128)
	for i := 0; len(out) < n; i++ {
		v := binary.LittleEndian.Uint32(rnd[i*4%(len(rnd)-4):])
		out = fmt.Appendf(out, "%09d host-%02d db[%d]: %s page=%d bytes=8192 status=ok\n",
			i, v%32, 1000+v>>8%16, words[v>>12%8], v>>15)
	}
	return out[:n]
}

// lengths turns offsets of cuts into lengths of chunks.
func lengths(cuts []int) []int {
	out := make([]int, len(cuts))
	last := 0
	for i, c := range cuts {
		out[i] = c - last
		last = c
	}
	return out
}

// name formats a mean for names of tests and files.
func meanName(mean int) string { return fmt.Sprintf("%dK", mean>>10) }
