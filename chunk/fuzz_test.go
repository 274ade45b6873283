package chunk

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// buildData reads program as instructions of three bytes (what, how much, which)
// and returns the data they describe, at most 128 KiB: short programs of a
// fuzzer become data of several chunks, with runs, periods and random parts.
func buildData(program []byte) []byte {
	var out []byte
	for i := 0; i+3 <= len(program) && len(out) < 128<<10; i += 3 {
		what, which := program[i]%5, program[i+2]
		n := int(program[i+1]) * 128
		switch what {
		case 0:
			out = append(out, randomBytes(uint64(which), n)...)
		case 1:
			out = append(out, bytes.Repeat([]byte{which}, n)...)
		case 2:
			period := randomBytes(uint64(which), int(which)+1)
			out = append(out, bytes.Repeat(period, n/len(period))...)
		case 3:
			out = append(out, bytes.Repeat(randomBytes(uint64(which), Grid), n/Grid)...)
		case 4:
			out = append(out, program[i:]...)
		}
	}
	return out[:min(len(out), 128<<10)]
}

// fuzzChunker returns a chunker of small chunks chosen by pick.
func fuzzChunker(t *testing.T, pick byte) Chunker {
	kind := allKinds[pick%4]
	mean := MinMean << (pick / 4 % 3)
	if kind == Aligned {
		mean = MinAlignedMean
	}
	return mustNew(t, kind, mean, testSecret())
}

func addSeeds(add func(program []byte, pick byte, seed uint64)) {
	for pick := range byte(12) {
		add([]byte{0, 255, 1, 0, 100, 2}, pick, 1)
		add([]byte{1, 200, 0, 0, 30, 3, 1, 200, 255}, pick, 2)
		add([]byte{2, 120, 63, 3, 130, 9, 4, 0, 0, 1, 2}, pick, 3)
		add(nil, pick, 4)
	}
}

// FuzzBounds holds the bounds of chunks, and that cuts depend only on the bytes
// since the last cut.
func FuzzBounds(f *testing.F) {
	addSeeds(func(program []byte, pick byte, seed uint64) { f.Add(program, pick, seed) })
	f.Fuzz(func(t *testing.T, program []byte, pick byte, seed uint64) {
		c := fuzzChunker(t, pick)
		data := buildData(program)
		cuts := AppendCuts(nil, c, data, true)
		checkCuts(t, c, data, cuts)
		if len(cuts) < 2 {
			return
		}
		k := int(seed % uint64(len(cuts)-1))
		tail := AppendCuts(nil, c, data[cuts[k]:], true)
		for i := range tail {
			tail[i] += cuts[k]
		}
		require.Equal(t, cuts[k+1:], tail)
	})
}

// FuzzReadSizes holds that cuts are the same whatever the sizes of the reads.
func FuzzReadSizes(f *testing.F) {
	addSeeds(func(program []byte, pick byte, seed uint64) { f.Add(program, pick, seed) })
	f.Fuzz(func(t *testing.T, program []byte, pick byte, seed uint64) {
		c := fuzzChunker(t, pick)
		data := buildData(program)
		rnd := rand.New(rand.NewPCG(seed, 0))
		var cuts []int
		start, end := 0, 0
		for start < len(data) {
			final := end == len(data)
			n := c.Next(data[start:end], final)
			if n > 0 {
				start += n
				cuts = append(cuts, start)
				continue
			}
			require.False(t, final)
			require.Less(t, end-start, c.Params().Max())
			end = min(len(data), end+1+rnd.IntN(2*c.Params().Mean))
		}
		require.Equal(t, AppendCuts(nil, c, data, true), cuts)
	})
}
