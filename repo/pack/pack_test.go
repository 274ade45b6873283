package pack

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
)

func TestRoundTrip(t *testing.T) {
	r := newRand(t)
	for _, class := range []crypto.Class{crypto.Data, crypto.Meta, crypto.Map} {
		for _, suite := range []crypto.Suite{crypto.AES256GCM, crypto.XChaCha20Poly1305} {
			for _, final := range []bool{false, true} {
				w := newWorld(t, class, suite, 1+r.IntN(4))
				w.params.Parity = [...]uint8{0, 0, 1, 10, MaxParity}[r.IntN(5)]
				roundTrip(t, w, w.fill(t, 1+r.IntN(200), 1+r.IntN(64<<10)), final)
			}
		}
	}
}

// fill makes segments until one does not fit.
func (w *world) fill(t testing.TB, count, size int) []sealed {
	r := newRand(t)
	b := w.builder(t)
	var list []sealed
	for range count {
		s := w.random(t, r, size)
		if !b.Fits(&s.Segment) {
			require.ErrorIs(t, b.Add(&s.Segment, s.bytes), ErrFull)
			break
		}
		require.NoError(t, b.Add(&s.Segment, s.bytes))
		list = append(list, s)
	}
	return list
}

func roundTrip(t *testing.T, w *world, list []sealed, final bool) {
	b := w.builder(t)
	for i := range list {
		require.NoError(t, b.Add(&list[i].Segment, list[i].bytes))
	}
	length := b.Len()
	require.LessOrEqual(t, length, int(w.params.Size))
	name, p, built, err := b.Finish(final)
	require.NoError(t, err)
	want := int(w.params.Size)
	if final && w.params.Parity == 0 {
		want = min(want, max(MinSize, int(Padme(uint64(length)))))
	}
	if final && w.params.Parity > 0 {
		require.LessOrEqual(t, len(p), want)
		want = min(want, max(MinSize, int(Padme(uint64(len(p))))))
		require.LessOrEqual(t, len(p), max(MinSize, 2*length))
	}
	require.Equal(t, want, len(p))
	require.Equal(t, crypto.Hash(p), name)
	require.NoError(t, Verify(p, name))
	require.NoError(t, VerifyReader(iotest.HalfReader(bytes.NewReader(p)), int64(len(p)), name))

	whole, err := OpenDirectory(p, w.ring)
	require.NoError(t, err)
	require.Equal(t, built, whole)
	hashed, hash, err := OpenHashed(p, w.ring)
	require.NoError(t, err)
	require.Equal(t, built, hashed)
	require.Equal(t, name, hash)
	parts, err := ReadDirectory(bytes.NewReader(p), int64(len(p)), w.ring)
	require.NoError(t, err)
	require.Equal(t, built, parts)

	i := 0
	for offset, s := range whole.All() {
		require.Equal(t, list[i].Segment, *s)
		require.Equal(t, list[i].plain, w.read(t, whole, p, offset, s))
		i++
	}
	require.Equal(t, len(list), i)
}

// TestExactFit fills a pack to the last byte.
func TestExactFit(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, crypto.Map, crypto.AES256GCM, 1)
	b := w.builder(t)
	for range 127 { // the 128th makes the count of segments a byte longer
		s := w.seal(t, r, 0, fill(r, make([]byte, 100)), Off)
		require.NoError(t, b.Add(&s.Segment, s.bytes))
	}
	one := func(n int) Segment {
		return Segment{Stored: uint32(n + crypto.TagSize), Length: uint32(n), Chunks: []Chunk{{Length: uint32(n)}}}
	}
	n := 1
	for s := one(n + 1); b.Fits(&s); s = one(n + 1) {
		n++
	}
	over := one(n + 1)
	require.ErrorIs(t, b.Add(&over, make([]byte, over.Stored)), ErrFull)
	s := one(n)
	require.NoError(t, b.Add(&s, make([]byte, s.Stored)))
	require.Equal(t, int(w.params.Size), b.Len())
	_, p, _, err := b.Finish(false)
	require.NoError(t, err)
	require.Len(t, p, int(w.params.Size))
	_, err = OpenDirectory(p, w.ring)
	require.NoError(t, err)
}

func TestMoveSegments(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, crypto.Data, crypto.AES256GCM, 3)
	list := w.fill(t, 40, 16<<10)
	other := &world{ring: w.ring, params: w.params, class: w.class, sealer: w.sealer}
	key, entry, err := w.ring.NewSessionKey(w.class)
	require.NoError(t, err)
	other.keys, other.entry = []crypto.Key{key}, []crypto.KeyEntry{entry}
	b := other.builder(t)
	own := other.seal(t, r, 0, text(r, 5000), Fastest)
	require.NoError(t, b.Add(&own.Segment, own.bytes))
	for i := range list {
		s := list[i].Segment
		s.Key, err = b.AddKey(w.entry[s.Key])
		require.NoError(t, err)
		require.NoError(t, b.Add(&s, list[i].bytes))
	}
	_, p, dir, err := b.Finish(true)
	require.NoError(t, err)
	require.LessOrEqual(t, len(dir.Keys), 4)
	got, err := OpenDirectory(p, w.ring)
	require.NoError(t, err)
	want := append([]sealed{own}, list...)
	i := 0
	for offset, s := range got.All() {
		require.Equal(t, want[i].plain, w.read(t, got, p, offset, s))
		i++
	}
	require.Equal(t, len(want), i)
}

func TestAddKeyLimits(t *testing.T) {
	w := newWorld(t, crypto.Data, crypto.AES256GCM, 1)
	b := w.builder(t)
	n := 1
	for ; ; n++ {
		_, entry, err := w.ring.NewSessionKey(crypto.Data)
		require.NoError(t, err)
		place, err := b.AddKey(entry)
		if err != nil {
			require.ErrorIs(t, err, ErrFull)
			break
		}
		require.Equal(t, n, int(place))
	}
	require.Equal(t, 54, n) // 1207 bytes each in 65535
	_, entry, err := w.ring.NewSessionKey(crypto.Map)
	require.NoError(t, err)
	_, err = b.AddKey(entry)
	require.Error(t, err)
	// A long key table needs a third read.
	s := w.seal(t, newRand(t), 0, []byte("text"), Off)
	require.NoError(t, b.Add(&s.Segment, s.bytes))
	_, p, dir, err := b.Finish(false)
	require.NoError(t, err)
	got, err := ReadDirectory(bytes.NewReader(p), int64(len(p)), w.ring)
	require.NoError(t, err)
	require.Equal(t, dir, got)
}

func TestLargeDirectory(t *testing.T) {
	w := newWorld(t, crypto.Map, crypto.AES256GCM, 1)
	r := newRand(t)
	b := w.builder(t)
	s := Segment{Stored: 4000 + crypto.TagSize, Length: 4000, Chunks: make([]Chunk, 4000)}
	for i := range s.Chunks {
		s.Chunks[i] = Chunk{ID: crypto.ID(fill(r, make([]byte, 32))), Length: 1}
	}
	require.NoError(t, b.Add(&s, make([]byte, s.Stored)))
	_, p, dir, err := b.Finish(false)
	require.NoError(t, err)
	var reads counter
	reads.ReaderAt = bytes.NewReader(p)
	got, err := ReadDirectory(&reads, int64(len(p)), w.ring)
	require.NoError(t, err)
	require.Equal(t, dir, got)
	require.Equal(t, 3, reads.n)
}

type counter struct {
	io.ReaderAt
	n int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.n++
	return c.ReaderAt.ReadAt(p, off)
}

func TestReadCounts(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, crypto.Meta, crypto.AES256GCM, 2)
	for _, final := range []bool{false, true} {
		b := w.builder(t)
		s := w.seal(t, r, 0, text(r, 10000), Fastest)
		require.NoError(t, b.Add(&s.Segment, s.bytes))
		_, p, _, err := b.Finish(final)
		require.NoError(t, err)
		reads := &counter{ReaderAt: bytes.NewReader(p)}
		_, err = ReadDirectory(reads, int64(len(p)), w.ring)
		require.NoError(t, err)
		if final {
			require.Equal(t, 1, reads.n)
		} else {
			require.Equal(t, 2, reads.n)
		}
	}
}

func TestReaderErrorsPass(t *testing.T) {
	w := newWorld(t, crypto.Map, crypto.AES256GCM, 1)
	broken := errors.New("broken wire")
	_, err := ReadDirectory(readerAt{iotest.ErrReader(broken)}, 1<<20, w.ring)
	require.ErrorIs(t, err, broken)
	var format *FormatError
	require.False(t, errors.As(err, &format))
	require.ErrorIs(t, VerifyReader(iotest.ErrReader(broken), 1<<20, crypto.ID{}), broken)
	_, err = ReadDirectory(bytes.NewReader(make([]byte, 1<<19)), 1<<20, w.ring)
	require.ErrorAs(t, err, &format)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

type readerAt struct{ io.Reader }

func (r readerAt) ReadAt(p []byte, _ int64) (int, error) { return r.Read(p) }

func TestBuilderReset(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, crypto.Data, crypto.AES256GCM, 1)
	b := w.builder(t)
	require.LessOrEqual(t, cap(b.buf), 2*MinSize)
	buf := make([]byte, 0, w.params.Size)
	for range 3 {
		b.Reset(buf)
		s := w.seal(t, r, 0, fill(r, make([]byte, 1000)), Fastest)
		require.NoError(t, b.Add(&s.Segment, s.bytes))
		require.Equal(t, 1, b.Segments())
		name, p, _, err := b.Finish(false)
		require.NoError(t, err)
		require.Same(t, &buf[:1][0], &p[0], "the given memory is used")
		require.NoError(t, Verify(p, name))
	}
	b.Reset(nil)
	s := w.seal(t, r, 0, fill(r, make([]byte, 1000)), Fastest)
	require.NoError(t, b.Add(&s.Segment, s.bytes))
	_, p, _, err := b.Finish(true)
	require.NoError(t, err)
	require.Len(t, p, MinSize)
	require.Equal(t, MinSize, cap(p), "a small pack takes little memory")
}

func TestBuilderRefuses(t *testing.T) {
	w := newWorld(t, crypto.Data, crypto.AES256GCM, 1)
	good := w.params
	for name, change := range map[string]func(p *Params){
		"suite": func(p *Params) { p.Suite = 9 },
		"epoch": func(p *Params) { p.Epoch = 0 },
		"key":   func(p *Params) { p.MapKey = nil },
		"small": func(p *Params) { p.Size = 1<<20 - 1 },
		"large": func(p *Params) { p.Size = MaxSize + 1 },
	} {
		p := good
		change(&p)
		_, err := NewBuilder(p, crypto.Data, w.entry...)
		require.Error(t, err, name)
	}
	_, err := NewBuilder(good, 0, w.entry...)
	require.Error(t, err)
	_, err = NewBuilder(good, crypto.Map, w.entry...)
	require.Error(t, err)

	b := w.builder(t)
	_, _, _, err = b.Finish(true)
	require.Error(t, err)
	s := w.seal(t, newRand(t), 0, []byte("0123456789"), Off)
	for name, change := range map[string]func(s *Segment){
		"key":         func(s *Segment) { s.Key = 1 },
		"codec":       func(s *Segment) { s.Codec = 2 },
		"zstd grew":   func(s *Segment) { s.Codec = Zstd },
		"length":      func(s *Segment) { s.Length-- },
		"stored":      func(s *Segment) { s.Stored-- },
		"no chunks":   func(s *Segment) { s.Chunks = nil },
		"empty chunk": func(s *Segment) { s.Chunks = append([]Chunk{{}}, s.Chunks...) },
		"chunk sum":   func(s *Segment) { s.Chunks = append([]Chunk{{Length: 1}}, s.Chunks...) },
	} {
		bad := s.Segment
		change(&bad)
		require.Error(t, b.Add(&bad, s.bytes), name)
	}
	require.Error(t, b.Add(&s.Segment, s.bytes[1:]))
	require.NoError(t, b.Add(&s.Segment, s.bytes))
}

func TestPadme(t *testing.T) {
	for n, want := range map[uint64]uint64{0: 0, 1: 1, 2: 2, 8: 8, 9: 10, 100: 104, 65537: 67584, 1 << 40: 1 << 40} {
		require.Equal(t, want, Padme(n), n)
	}
	r := newRand(t)
	for range 10000 {
		n := r.Uint64() >> (1 + r.IntN(60))
		p := Padme(n)
		require.GreaterOrEqual(t, p, n)
		require.LessOrEqual(t, float64(p-n), 0.12*float64(n)+1)
		require.Equal(t, p, Padme(p))
	}
}
