package pack

import (
	"bytes"
	"errors"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/stretchr/testify/require"
)

// FuzzOpen feeds arbitrary bytes, cut to a legal size, to everything that reads a pack.
func FuzzOpen(f *testing.F) {
	w := newWorld(f, crypto.Map, crypto.AES256GCM, 1)
	_, p := smallPack(f, w)
	f.Add(p[:200], p[len(p)-200:])
	f.Add([]byte("HFPACK\x01\x00\x03\x01\x00\x00\x01\x00\x00\x00"), []byte("HFPEND\x01\x00"))
	f.Fuzz(func(t *testing.T, head, tail []byte) {
		b := make([]byte, 2*MinSize)
		copy(b, head[:min(len(head), len(b)/2)])
		tail = tail[max(0, len(tail)-len(b)/2):]
		copy(b[len(b)-len(tail):], tail)
		var format *FormatError
		if _, err := OpenDirectory(b, w.ring); err != nil && !errors.As(err, &format) && !noKey(err) {
			t.Fatal(err)
		}
		if _, err := ReadDirectory(bytes.NewReader(b), int64(len(b)), w.ring); err != nil && !errors.As(err, &format) && !noKey(err) {
			t.Fatal(err)
		}
		if err := Verify(b, crypto.Hash(b)); err != nil && !errors.As(err, &format) {
			t.Fatal(err)
		}
	})
}

func noKey(err error) bool {
	var no *crypto.NoKeyError
	return errors.As(err, &no)
}

// FuzzDirectory seals arbitrary directories and locators with the right keys, as a writer gone wrong could.
func FuzzDirectory(f *testing.F) {
	w := newWorld(f, crypto.Map, crypto.AES256GCM, 2)
	r := newRand(f)
	var list []Segment
	body := uint32(0)
	for range 3 {
		s := w.random(f, r, 500).Segment
		list = append(list, s)
		body += s.Stored
	}
	good := AppendSegments(nil, list)
	f.Add(good, uint32(0), uint32(len(good)+32+crypto.BoxOverhead), body, uint32(3))
	f.Add(good[:50], uint32(1), uint32(1<<31), uint32(0), uint32(1<<30))
	f.Add([]byte{}, ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0))
	f.Fuzz(func(t *testing.T, plain []byte, offset, length, body, segments uint32) {
		if len(plain) > MinSize {
			return
		}
		b := w.builder(t)
		b.buf = append(b.buf, make([]byte, MinSize)...)
		aad := crypto.Hash(b.buf[:b.header.BodyOffset()])
		before := crypto.Hash(b.buf)
		l := locator{uint32(len(b.buf)) + offset, length, body, segments}
		b.buf = b.box(b.buf, directoryPurpose, append(before[:], plain...), aad)
		b.buf = (&trailer{locator: b.box(nil, locatorPurpose, l.append(nil), aad)}).append(b.buf)
		dir, err := OpenDirectory(b.buf, w.ring)
		if err != nil {
			var format *FormatError
			require.ErrorAs(t, err, &format)
			return
		}
		require.Equal(t, plain, AppendSegments(nil, dir.Segments), "one encoding for one directory")
		for offset, s := range dir.All() {
			require.LessOrEqual(t, offset+s.Stored, dir.BodyOffset()+dir.BodyLength)
		}
	})
}

func FuzzDecodeSegments(f *testing.F) {
	r := newRand(f)
	w := newWorld(f, crypto.Map, crypto.AES256GCM, 2)
	f.Add(AppendSegments(nil, []Segment{w.random(f, r, 500).Segment, w.random(f, r, 500).Segment}))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, in []byte) {
		d := wire.NewDecoder(in)
		list, body := DecodeSegments(d, 2, 1<<20)
		if d.Finish() != nil {
			return
		}
		require.LessOrEqual(t, body, uint64(1<<20))
		require.Equal(t, in, AppendSegments(nil, list))
	})
}

func FuzzDecompress(f *testing.F) { fuzzDecompress(f, Fastest, Zstd) }

func FuzzDecompressS2(f *testing.F) { fuzzDecompress(f, LevelS2, S2) }

// fuzzDecompress holds what is decoded, and what memory it touches, to the stated length.
func fuzzDecompress(f *testing.F, level Level, codec Codec) {
	c, err := NewCompressor(level, 1<<20)
	require.NoError(f, err)
	d, err := NewDecompressor()
	require.NoError(f, err)
	r := newRand(f)
	for _, n := range []int{300, 5000} {
		stored, _ := c.Compress(nil, text(r, n))
		f.Add(uint32(n), bytes.Clone(stored))
	}
	const most = 1 << 20
	memory := make([]byte, most+decodeSlack+1)
	f.Fuzz(func(t *testing.T, length uint32, stored []byte) {
		length %= most
		end := memory[length+decodeSlack:]
		end[0] = 0xa5
		out, err := d.Decompress(memory[:0], codec, length, stored)
		if err == nil && len(out) != int(length) {
			t.Fatalf("%d bytes, want %d", len(out), length)
		}
		if err != nil && !errors.Is(err, wire.ErrFormat) {
			t.Fatal(err)
		}
		if end[0] != 0xa5 {
			t.Fatalf("bytes behind the first %d were written", length)
		}
	})
}
