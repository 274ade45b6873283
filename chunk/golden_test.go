package chunk

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
)

// Cuts are part of the repository format: a changed vector is a broken format.
var writeVectors = flag.Bool("write-vectors", false, "write missing vectors to testdata")

// vectorInput is the input of the frozen vectors, 10,785,761 bytes. random(s, n)
// is the first n bytes of the BLAKE3 extended output of the 8-byte little endian
// integer s.
func vectorInput() []byte {
	fewValues := randomBytes(3, 2<<20)
	period7 := make([]byte, 512<<10)
	for i := range fewValues {
		fewValues[i] = 'a' + fewValues[i]&3
	}
	for i := range period7 {
		period7[i] = byte(i % 7)
	}
	return slices.Concat(
		randomBytes(1, 4<<20),
		make([]byte, 1<<20),
		bytes.Repeat([]byte{0xff}, 1<<20+512<<10),
		period7,
		bytes.Repeat(randomBytes(2, 4096), 256),
		fewValues,
		randomBytes(4, 300_001),
	)
}

func TestVectors(t *testing.T) {
	data := vectorInput()
	sum := blake3.Sum256(data)
	for _, kind := range allKinds {
		for mean := MinAlignedMean; mean <= MaxMean; mean *= 4 {
			name := kind.String() + "-" + meanName(mean) + ".txt"
			t.Run(name, func(t *testing.T) {
				c := mustNew(t, kind, mean, testSecret())
				got := vectorText(c, sum, AppendCuts(nil, c, data, true))
				path := filepath.Join("testdata", name)
				if *writeVectors {
					writeMissing(t, path, got)
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got)
			})
		}
	}
}

// vectorText is one vector: comments, then the lengths of the chunks.
func vectorText(c Chunker, input [32]byte, cuts []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# kind %s, mean %d bytes\n", c.Kind(), c.Params().Mean)
	fmt.Fprintf(&b, "# secret %s\n", hex.EncodeToString(testSecret()[:]))
	fmt.Fprintf(&b, "# BLAKE3 of the input %s\n", hex.EncodeToString(input[:]))
	fmt.Fprintf(&b, "# lengths of its chunks in bytes, in order\n")
	for _, n := range lengths(cuts) {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

// writeMissing writes a vector, never over one that is there.
func writeMissing(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return
	}
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
