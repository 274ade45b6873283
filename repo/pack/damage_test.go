package pack

import (
	"bytes"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
)

// smallPack builds a pack of the least size, with a few segments.
func smallPack(t testing.TB, w *world) (crypto.ID, []byte) {
	r := newRand(t)
	b := w.builder(t)
	for range 5 {
		s := w.random(t, r, 1000)
		require.NoError(t, b.Add(&s.Segment, s.bytes))
	}
	name, p, _, err := b.Finish(true)
	require.NoError(t, err)
	require.Len(t, p, MinSize)
	return name, p
}

// TestEveryByteCounts flips every byte of a pack: the check of the name sees it, and so does what reads that part.
func TestEveryByteCounts(t *testing.T) {
	r := newRand(t)
	w := newWorld(t, crypto.Map, crypto.AES256GCM, 2)
	name, p := smallPack(t, w)
	dir, err := OpenDirectory(p, w.ring)
	require.NoError(t, err)
	bodyEnd := dir.BodyOffset() + dir.BodyLength
	boxes := crypto.BoxOverhead + 32 + 1
	for _, s := range dir.All() {
		boxes += s.EncodedLen()
	}
	directory := uint32(len(p) - TrailerSize - boxes)
	for i := range p {
		at, padding := uint32(i), uint32(i) >= bodyEnd && uint32(i) < directory
		if padding && i%31 != 0 { // all alike, and most of the pack
			continue
		}
		flip := byte(1 + r.IntN(255))
		p[i] ^= flip
		require.ErrorIs(t, Verify(p, name), ErrHash, i)
		_, err := OpenDirectory(p, w.ring)
		require.Error(t, err, "byte %d", i)
		_, hash, err := OpenHashed(p, w.ring)
		require.Error(t, err, "byte %d", i)
		require.Equal(t, crypto.Hash(p), hash)
		if at < dir.BodyOffset() || at >= directory {
			_, err := ReadDirectory(bytes.NewReader(p), int64(len(p)), w.ring)
			require.Error(t, err, "byte %d", i)
		} else if !padding {
			require.Error(t, readAll(w, dir, p), "byte %d", i)
		}
		p[i] ^= flip
	}
	require.NoError(t, Verify(p, name))
	require.NoError(t, readAll(w, dir, p))
}

func readAll(w *world, dir *Directory, p []byte) error {
	for offset, s := range dir.All() {
		if _, err := w.tryRead(dir, p, offset, s); err != nil {
			return err
		}
	}
	return nil
}

func TestTruncated(t *testing.T) {
	w := newWorld(t, crypto.Data, crypto.AES256GCM, 1)
	name, p := smallPack(t, w)
	var format *FormatError
	for _, n := range []int{0, 1, HeaderSize, 1000, MinSize - TrailerSize, MinSize - 1} {
		require.ErrorIs(t, Verify(p[:n], name), ErrHash)
		require.ErrorAs(t, VerifyReader(bytes.NewReader(p[:n]), int64(len(p)), name), &format)
		require.ErrorAs(t, VerifyReader(bytes.NewReader(p), int64(n), name), &format)
		_, err := OpenDirectory(p[:n], w.ring)
		require.ErrorAs(t, err, &format)
		_, err = ReadDirectory(bytes.NewReader(p[:n]), int64(len(p)), w.ring)
		require.ErrorAs(t, err, &format)
	}
	longer := append(bytes.Clone(p), 0)
	require.ErrorIs(t, Verify(longer, name), ErrHash)
	require.ErrorAs(t, VerifyReader(bytes.NewReader(longer), int64(len(p)), name), &format)
	_, err := OpenDirectory(longer, w.ring)
	require.ErrorAs(t, err, &format)
}

func TestForeign(t *testing.T) {
	w := newWorld(t, crypto.Data, crypto.AES256GCM, 1)
	other := newWorld(t, crypto.Data, crypto.AES256GCM, 1)
	_, p := smallPack(t, w)
	_, err := OpenDirectory(p, other.ring)
	require.ErrorIs(t, err, crypto.ErrAuth)

	// A segment is bound to class, domain, codec, length, and its salt.
	dir, err := OpenDirectory(p, w.ring)
	require.NoError(t, err)
	for offset, s := range dir.All() {
		sealed := p[offset : offset+s.Stored]
		for name, sealer := range map[string]Sealer{
			"class":  {Suite: w.sealer.Suite, Domain: w.sealer.Domain, Class: crypto.Meta},
			"domain": {Suite: w.sealer.Suite, Class: crypto.Data},
			"suite":  {Suite: crypto.XChaCha20Poly1305, Domain: w.sealer.Domain, Class: crypto.Data},
		} {
			_, err := sealer.Open(nil, &w.keys[0], s, sealed)
			require.ErrorIs(t, err, crypto.ErrAuth, name)
		}
		for name, change := range map[string]func(s *Segment){
			"codec":  func(s *Segment) { s.Codec ^= 1 },
			"length": func(s *Segment) { s.Length++ },
			"salt":   func(s *Segment) { s.Salt[7] ^= 1 },
		} {
			bad := *s
			change(&bad)
			_, err := w.sealer.Open(nil, &w.keys[0], &bad, sealed)
			require.ErrorIs(t, err, crypto.ErrAuth, name)
		}
		_, err := w.sealer.Open(nil, &w.keys[0], s, sealed[1:])
		require.Error(t, err)
	}
}
