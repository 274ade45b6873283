package pack

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
)

// realData returns up to n bytes of programs of this machine, or of text where there are none.
func realData(b *testing.B, n int) []byte {
	files, _ := filepath.Glob("/usr/bin/*")
	var data []byte
	for _, f := range files {
		if p, err := os.ReadFile(f); err == nil && len(data) < n {
			data = append(data, p...)
		}
	}
	if len(data) < n {
		data = append(data, text(rand.New(rand.NewPCG(1, 1)), n-len(data))...)
	}
	return data[:n]
}

func BenchmarkCompress(b *testing.B) {
	data := realData(b, 64<<20)
	for _, size := range []int{64 << 10, 256 << 10, 1 << 20} {
		for level := Fastest; level < Off; level++ {
			if level == Best && size != 1<<20 {
				continue
			}
			b.Run(fmt.Sprintf("%s/%dKiB", level, size>>10), func(b *testing.B) { benchCompress(b, level, size, data) })
		}
	}
	noise := fill(rand.New(rand.NewPCG(1, 1)), make([]byte, 1<<20))
	b.Run("fastest/noise", func(b *testing.B) { benchCompress(b, Fastest, 1<<20, noise) })
}

func benchCompress(b *testing.B, level Level, size int, data []byte) {
	c, err := NewCompressor(level, size)
	require.NoError(b, err)
	dst := make([]byte, 0, size+CompressSlack)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	in, out, at := 0, 0, 0
	for b.Loop() {
		stored, _ := c.Compress(dst, data[at:at+size])
		in, out = in+size, out+len(stored)
		if at += size; at+size > len(data) {
			at = 0
		}
	}
	b.ReportMetric(float64(in)/float64(out), "ratio")
}

func BenchmarkDecompress(b *testing.B) {
	data := realData(b, 32<<20)
	const size = 1 << 20
	c, err := NewCompressor(Fastest, size)
	require.NoError(b, err)
	d, err := NewDecompressor()
	require.NoError(b, err)
	var list [][]byte
	var codecs []Codec
	for at := 0; at < len(data); at += size {
		stored, codec := c.Compress(nil, data[at:at+size])
		list, codecs = append(list, stored), append(codecs, codec)
	}
	dst := make([]byte, 0, size+32)
	b.SetBytes(size)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := d.Decompress(dst, codecs[i], size, list[i]); err != nil {
			b.Fatal(err)
		}
		i = (i + 1) % len(list)
	}
}

func BenchmarkSeal(b *testing.B) {
	w := newWorld(b, crypto.Data, crypto.AES256GCM, 1)
	for _, suite := range []crypto.Suite{crypto.AES256GCM, crypto.XChaCha20Poly1305} {
		sealer := Sealer{Suite: suite, Class: crypto.Data}
		plain := make([]byte, 1<<20)
		dst, back := make([]byte, 0, len(plain)+crypto.TagSize), make([]byte, 0, len(plain))
		s := Segment{Length: uint32(len(plain)), Stored: uint32(len(plain) + crypto.TagSize)}
		b.Run("seal/"+suite.String(), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				sealer.Seal(dst, &w.keys[0], Store, s.Length, plain)
			}
		})
		var sealed []byte
		sealed, s.Salt = sealer.Seal(nil, &w.keys[0], Store, s.Length, plain)
		b.Run("open/"+suite.String(), func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sealer.Open(back, &w.keys[0], &s, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBuild fills 32 MiB packs with segments of 1 MiB that compressed to a third.
func BenchmarkBuild(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	w := newWorld(b, crypto.Data, crypto.AES256GCM, 1)
	w.params.Size = 32 << 20
	s := Segment{Codec: Zstd, Length: 1 << 20, Stored: 350 << 10}
	for range 16 {
		s.Chunks = append(s.Chunks, Chunk{ID: crypto.ID(fill(r, make([]byte, 32))), Length: 64 << 10})
	}
	sealed := fill(r, make([]byte, s.Stored))
	for name, reuse := range map[string]bool{"reused": true, "grown": false} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, w.params.Size)
			build := w.builder(b)
			b.SetBytes(int64(w.params.Size))
			b.ReportAllocs()
			for b.Loop() {
				if build.Reset(nil); reuse {
					build.Reset(buf)
				}
				for build.Add(&s, sealed) == nil {
				}
				if _, _, _, err := build.Finish(false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenDirectory(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	w := newWorld(b, crypto.Map, crypto.AES256GCM, 1)
	build := w.builder(b)
	for {
		s := w.seal(b, r, 0, fill(r, make([]byte, 20<<10)), Off)
		if build.Add(&s.Segment, s.bytes) != nil {
			break
		}
	}
	_, p, _, err := build.Finish(false)
	require.NoError(b, err)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := OpenDirectory(p, w.ring); err != nil {
			b.Fatal(err)
		}
	}
}
