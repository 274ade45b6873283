package pack

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func TestCompressRoundTrip(t *testing.T) {
	r := newRand(t)
	d, err := NewDecompressor()
	require.NoError(t, err)
	var dst, back []byte
	for level := Fastest; level <= Off; level++ {
		const size = 300 << 10
		c, err := NewCompressor(level, size)
		require.NoError(t, err)
		for _, n := range []int{1, 2, 100, 1000, 128 << 10, 128<<10 + 1, 200000, size, size} {
			for _, plain := range [][]byte{text(r, n), fill(r, make([]byte, n)), make([]byte, n)} {
				stored, codec := c.Compress(dst, plain)
				require.True(t, len(stored) == n && codec == Store || len(stored) <= n*97/100 && codec == codecOf(level))
				require.False(t, level != Off && codec == Store && n > 1000 && plain[0] == plain[1] && plain[1] == plain[2])
				back, err = d.Decompress(back, codec, uint32(n), stored)
				require.NoError(t, err)
				require.True(t, bytes.Equal(plain, back))
				if codec != Store {
					dst = stored
				}
			}
		}
	}
}

func codecOf(l Level) Codec {
	if l == LevelS2 {
		return S2
	}
	return Zstd
}

func TestCompressReusesMemory(t *testing.T) {
	for _, level := range []Level{Fastest, LevelS2} {
		t.Run(level.String(), func(t *testing.T) { testReusesMemory(t, level) })
	}
}

func testReusesMemory(t *testing.T, level Level) {
	const size = 1 << 20
	r := newRand(t)
	c, err := NewCompressor(level, size)
	require.NoError(t, err)
	d, err := NewDecompressor()
	require.NoError(t, err)
	plain := text(r, size)
	dst, back := make([]byte, 0, size+CompressSlack), make([]byte, 0, size+32)
	require.LessOrEqual(t, testing.AllocsPerRun(20, func() {
		stored, codec := c.Compress(dst, plain)
		out, err := d.Decompress(back, codec, size, stored)
		if err != nil || &out[0] != &back[:1][0] || &stored[0] != &dst[:1][0] {
			t.Fatal("other memory", err)
		}
	}), 4.0)
	// Memory that a shorter segment was decompressed to has room for a longer one.
	out := back
	for _, n := range []int{size / 2, size} {
		stored, codec := c.Compress(dst, plain[:n])
		out, err = d.Decompress(out, codec, uint32(n), stored)
		require.NoError(t, err)
		require.Same(t, &back[:1][0], &out[0])
	}
	noise := fill(r, make([]byte, size))
	stored, codec := c.Compress(dst, noise)
	require.Equal(t, Store, codec)
	require.Same(t, &noise[0], &stored[0])
}

func TestDecompressRefuses(t *testing.T) {
	d, err := NewDecompressor()
	require.NoError(t, err)
	c, err := NewCompressor(Fastest, 1<<20)
	require.NoError(t, err)
	good, codec := c.Compress(nil, make([]byte, 100000))
	require.Equal(t, Zstd, codec)
	good = bytes.Clone(good)

	// A bomb: 64 MiB of zeros in a few KiB, and one that does not say its size.
	enc, err := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20))
	require.NoError(t, err)
	bomb := enc.EncodeAll(make([]byte, 64<<20), nil)
	var stream bytes.Buffer
	enc.Reset(&stream)
	_, err = enc.Write(make([]byte, 64<<20))
	require.NoError(t, err)
	require.NoError(t, enc.Close())

	for name, in := range map[string][]byte{
		"bomb": bomb, "unsized bomb": stream.Bytes(), "empty": nil, "noise": []byte("not a frame at all"),
		"cut": good[:len(good)-1], "two frames": append(bytes.Clone(good), good...), "tail": append(bytes.Clone(good), 1),
	} {
		out, err := d.Decompress(nil, Zstd, 100000, in)
		require.ErrorIs(t, err, wire.ErrFormat, name)
		require.Nil(t, out)
	}
	for _, n := range []uint32{0, 99999, 100001, MaxSegment, MaxSegment + 1} {
		_, err := d.Decompress(nil, Zstd, n, good)
		require.ErrorIs(t, err, wire.ErrFormat)
		_, err = d.Decompress(nil, Store, n, good)
		require.ErrorIs(t, err, wire.ErrFormat)
	}
	_, err = d.Decompress(nil, S2+1, 100000, good)
	require.ErrorIs(t, err, wire.ErrFormat)
	out, err := d.Decompress(nil, Zstd, 100000, good)
	require.NoError(t, err)
	require.Len(t, out, 100000)
}

func TestDecompressRefusesS2(t *testing.T) {
	d, err := NewDecompressor()
	require.NoError(t, err)
	good := s2.Encode(nil, bytes.Repeat([]byte("a block "), 12500))
	bomb := append(binary.AppendUvarint(nil, 1<<32-1), 0xfe, 0xff, 0xff)
	for name, in := range map[string][]byte{
		"bomb": bomb, "empty": nil, "noise": []byte("not a block at all"), "cut": good[:len(good)-1], "two blocks": append(bytes.Clone(good), good...),
		"tail": append(bytes.Clone(good), 1), "no data": good[:3], "longer length": append(binary.AppendUvarint(nil, 1<<63), good[3:]...),
	} {
		out, err := d.Decompress(nil, S2, 100000, in)
		require.ErrorIs(t, err, wire.ErrFormat, name)
		require.Nil(t, out)
	}
	for _, n := range []uint32{0, 99999, 100001, MaxSegment, MaxSegment + 1} {
		_, err := d.Decompress(nil, S2, n, good)
		require.ErrorIs(t, err, wire.ErrFormat)
	}
	// What lies behind the stated length in the memory given stays as it was.
	memory := bytes.Repeat([]byte{7}, 100100)
	out, err := d.Decompress(memory[:0], S2, 100000, good)
	require.NoError(t, err)
	require.Same(t, &memory[0], &out[0])
	require.Equal(t, bytes.Repeat([]byte{7}, 100), memory[100000:])
}

func TestLevels(t *testing.T) {
	for l := Fastest; l <= Off; l++ {
		got, err := ParseLevel(l.String())
		require.NoError(t, err)
		require.Equal(t, l, got)
	}
	_, err := ParseLevel("fast")
	require.Error(t, err)
	_, err = NewCompressor(Off+1, 1000)
	require.Error(t, err)
	_, err = NewCompressor(Fastest, 0)
	require.Error(t, err)
	_, err = NewCompressor(Fastest, MaxSegment+1)
	require.Error(t, err)
	for _, l := range []Level{Fastest, Best, LevelS2} {
		_, err = NewCompressor(l, 1)
		require.NoError(t, err)
		_, err = NewCompressor(l, MaxSegment)
		require.NoError(t, err)
	}
}

// TestNoiseAndBack: what a compressor makes of a segment may depend on the one before, but always decompresses, and noise never makes it
// miss what follows.
func TestNoiseAndBack(t *testing.T) {
	r := newRand(t)
	d, err := NewDecompressor()
	require.NoError(t, err)
	letters := fill(r, make([]byte, 200<<10)) // nothing repeats, but bytes are few
	for i := range letters {
		letters[i] = "etaoinsh"[letters[i]&7]
	}
	for level := Fastest; level <= Best; level++ {
		c, err := NewCompressor(level, 1<<20)
		require.NoError(t, err)
		for range 3 {
			for _, plain := range [][]byte{letters, letters, fill(r, make([]byte, 200<<10)), text(r, 200<<10), letters} {
				stored, codec := c.Compress(nil, plain)
				back, err := d.Decompress(nil, codec, uint32(len(plain)), stored)
				require.NoError(t, err)
				require.True(t, bytes.Equal(plain, back))
			}
			stored, codec := c.Compress(nil, letters)
			require.Equal(t, Zstd, codec)
			require.Less(t, len(stored), len(letters)/2)
		}
	}
}
