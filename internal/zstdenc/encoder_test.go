package zstdenc

import (
	"bytes"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/internal/zero"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("HOLDFAST_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("HOLDFAST_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// some is data of several kinds, in runs of all lengths: noise, one byte, uneven bytes, repetitions from near and far.
func some(rng *rand.Rand, n int) []byte {
	b := make([]byte, 0, n)
	for len(b) < n {
		length := rng.IntN(1 << rng.IntN(19))
		switch rng.IntN(5) {
		case 0:
			for range length {
				b = append(b, byte(rng.Uint32()))
			}
		case 1:
			b = append(b, bytes.Repeat([]byte{byte(rng.Uint32())}, length)...)
		case 2:
			for range length {
				b = append(b, byte(rng.NormFloat64()*10))
			}
		default:
			for range length / 64 {
				from, again := rng.IntN(len(b)+1), rng.IntN(1<<rng.IntN(10))
				for i := from; i < min(from+again, len(b)); i++ {
					b = append(b, b[i])
				}
				b = append(b, byte(rng.Uint32()))
			}
		}
	}
	return b[:n]
}

func decoder(t testing.TB) *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<30))
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d
}

// check encodes and decodes, and makes sure that what is promised of the frame and its memory holds.
func check(t testing.TB, e *Encoder, d *zstd.Decoder, src []byte) []byte {
	dst := make([]byte, 0, len(src)+Overhead(len(src)))
	frame := e.Encode(dst, src)
	require.Same(t, &dst[:1][0], &frame[0])
	var h zstd.Header
	require.NoError(t, h.Decode(frame))
	require.True(t, h.HasFCS && h.SingleSegment && !h.HasCheckSum)
	require.EqualValues(t, len(src), h.FrameContentSize)
	back, err := d.DecodeAll(frame, nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(src, back), "%d bytes", len(src))
	return frame
}

func TestRoundTrip(t *testing.T) {
	rng, d := newRand(t), decoder(t)
	var e Encoder
	for range 60 {
		check(t, &e, d, some(rng, rng.IntN(1<<rng.IntN(21))))
	}
	for _, n := range []int{0, 1, 2, 15, 16, 17, 32, 255, 256, 257, 65791, 65792, maxBlock - 1, maxBlock, maxBlock + 1, 2*maxBlock + 3, 5 << 20} {
		check(t, &e, d, some(rng, n))
		check(t, &e, d, make([]byte, n))
	}
}

// TestReference has frames decoded by the reference implementation.
func TestReference(t *testing.T) {
	rng, dir := newRand(t), t.TempDir()
	var e Encoder
	for range 20 {
		src := some(rng, rng.IntN(1<<rng.IntN(23)))
		path := filepath.Join(dir, "frame.zst")
		require.NoError(t, os.WriteFile(path, e.Encode(nil, src), 0o600))
		back, err := exec.Command("zstd", "-dcq", path).Output()
		require.NoError(t, err)
		require.True(t, bytes.Equal(src, back))
	}
}

// TestSize compares the size with that of the library's fastest level, on a program.
func TestSize(t *testing.T) {
	path, err := os.Executable()
	require.NoError(t, err)
	program, err := os.ReadFile(path)
	require.NoError(t, err)
	library, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true), zstd.WithSingleSegment(true))
	require.NoError(t, err)
	var e Encoder
	ours, theirs := 0, 0
	for len(program) > 0 {
		n := min(1<<20, len(program))
		ours += len(check(t, &e, decoder(t), program[:n]))
		theirs += len(library.EncodeAll(program[:n], nil))
		program = program[n:]
	}
	t.Logf("%d bytes, the library's %d", ours, theirs)
	require.Less(t, ours, theirs+theirs/50)
}

// TestNoise: what cannot be made smaller stays as it is; what only seems so does not.
func TestNoise(t *testing.T) {
	rng, d := newRand(t), decoder(t)
	var e Encoder
	noise := make([]byte, 1<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	require.Len(t, check(t, &e, d, noise), len(noise)+maxHeader+blockHeader*8)
	letters := make([]byte, 1<<20)
	for i := range letters {
		letters[i] = noise[i] & 0x7f
	}
	require.Less(t, len(check(t, &e, d, letters)), len(letters)*9/10)
	for range 300 {
		for i := range noise[:8<<10] {
			noise[i] = byte(rng.Uint32())
		}
		require.True(t, isNoise(noise[:8<<10]))
	}
}

func TestAllocations(t *testing.T) {
	src := some(newRand(t), 1<<20)
	var e Encoder
	dst := e.Encode(make([]byte, 0, len(src)+Overhead(len(src))), src)
	require.Zero(t, testing.AllocsPerRun(10, func() { e.Encode(dst, src) }))
}

func FuzzEncode(f *testing.F) {
	rng := newRand(f)
	for i := range 20 {
		f.Add(some(rng, 1<<i), uint(i))
	}
	d := decoder(f)
	f.Fuzz(func(t *testing.T, src []byte, again uint) {
		var e Encoder
		src = bytes.Repeat(src, int(1+again%50))
		require.Equal(t, bytes.Clone(check(t, &e, d, src)), check(t, &e, d, src))
	})
}

var file = flag.String("file", "", "what BenchmarkEncode encodes, instead of this program")

// pieces are the segments of a file that have data, of its first 2 GiB.
func pieces(b *testing.B, path string) (list [][]byte, size int64) {
	f, err := os.Open(path)
	require.NoError(b, err)
	defer f.Close()
	for size < 2<<30 {
		p := make([]byte, 1<<20)
		n, err := io.ReadFull(f, p)
		if n == 0 {
			require.ErrorIs(b, err, io.EOF)
			return list, size
		}
		if !zero.Is(p[:n]) {
			list, size = append(list, p[:n]), size+int64(n)
		}
	}
	return list, size
}

// BenchmarkEncode encodes a file in segments of 1 MiB, beside the library's fastest level, and noise.
func BenchmarkEncode(b *testing.B) {
	path := *file
	if path == "" {
		var err error
		path, err = os.Executable()
		require.NoError(b, err)
	}
	data, size := pieces(b, path)
	run := func(data [][]byte, size int64, encode func(dst, src []byte) []byte) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				stored := 0
				for _, p := range data {
					out = encode(out, p)
					stored += len(out)
				}
				b.ReportMetric(float64(stored)/1e6, "MB")
			}
		}
	}
	library, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true), zstd.WithSingleSegment(true))
	require.NoError(b, err)
	b.Run("file", run(data, size, new(Encoder).Encode))
	b.Run("file, library", run(data, size, func(dst, src []byte) []byte { return library.EncodeAll(src, dst[:0]) }))
	noise := make([]byte, 1<<20)
	rng := newRand(b)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	b.Run("noise", run([][]byte{noise}, 1<<20, new(Encoder).Encode))
}
