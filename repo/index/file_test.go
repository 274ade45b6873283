package index

import (
	"errors"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/stretchr/testify/require"
)

func newParams(t testing.TB, suite crypto.Suite) (*crypto.Keyring, *pack.Params) {
	ring, _, err := crypto.NewKeyring(suite)
	require.NoError(t, err)
	k, err := ring.MapKey(ring.Epoch())
	require.NoError(t, err)
	return ring, &pack.Params{Suite: suite, Domain: ring.Domain(), Epoch: ring.Epoch(), MapKey: k}
}

func TestFileRoundTrip(t *testing.T) {
	r := newRand(t)
	for _, suite := range []crypto.Suite{crypto.AES256GCM, crypto.XChaCha20Poly1305} {
		ring, params := newParams(t, suite)
		for _, packs := range []int{0, 1, 30} {
			f := &File{Packs: make([]Pack, 0)}
			var keys []crypto.KeyEntry
			for range packs {
				if len(keys) == 0 || r.IntN(3) == 0 {
					keys = keyEntries(r, crypto.Class(1+r.IntN(3)), 1+r.IntN(3))
				}
				f.Packs = append(f.Packs, randomPack(r, keys, 1+r.IntN(50), func() crypto.ID { return randomID(r) }))
			}
			hash, b, err := Encode(params, f)
			require.NoError(t, err)
			require.Equal(t, crypto.Hash(b), hash)
			got, err := Decode(ring, b)
			require.NoError(t, err)
			require.Equal(t, f, got)
			items, err := Inventory(b)
			require.NoError(t, err)
			require.Len(t, items, packs)
			sum := 0
			for i, it := range items {
				require.Equal(t, Item{f.Packs[i].Name, f.Packs[i].Class, f.Packs[i].Size}, it)
				sum += f.Packs[i].EncodedLen()
			}
			require.InDelta(t, sum, len(b), 0.13*float64(sum)+70+100*1300)
		}
	}
}

func TestFileDamage(t *testing.T) {
	r := newRand(t)
	ring, params := newParams(t, crypto.AES256GCM)
	keys := keyEntries(r, crypto.Map, 2)
	f := &File{}
	for range 3 {
		f.Packs = append(f.Packs, randomPack(r, keys, 5, func() crypto.ID { return randomID(r) }))
	}
	_, b, err := Encode(params, f)
	require.NoError(t, err)
	var format *FormatError
	for i := range b {
		b[i] ^= byte(1 + r.IntN(255))
		_, err := Decode(ring, b)
		var no *crypto.NoKeyError
		require.True(t, errors.As(err, &format) || errors.As(err, &no), "byte %d: %v", i, err)
		_, b, err = Encode(params, f)
		require.NoError(t, err)
	}
	for n := range b {
		_, err := Decode(ring, b[:n])
		require.ErrorAs(t, err, &format)
	}
	_, err = Decode(ring, append(b, 0))
	require.ErrorIs(t, err, crypto.ErrAuth)
	other, _ := newParams(t, crypto.AES256GCM)
	_, err = Decode(other, b)
	require.ErrorIs(t, err, crypto.ErrAuth)
}

func TestFileRefuses(t *testing.T) {
	r := newRand(t)
	_, params := newParams(t, crypto.AES256GCM)
	good := randomPack(r, keyEntries(r, crypto.Data, 1), 5, func() crypto.ID { return randomID(r) })
	for name, change := range map[string]func(p *Pack){
		"class":       func(p *Pack) { p.Class = crypto.Map },
		"no class":    func(p *Pack) { p.Class = 0 },
		"small":       func(p *Pack) { p.Size = 1000 },
		"large":       func(p *Pack) { p.Size = pack.MaxSize + 1 },
		"body":        func(p *Pack) { p.BodyOffset++ },
		"keys":        func(p *Pack) { p.Keys = nil },
		"no segments": func(p *Pack) { p.Segments = nil },
		"too full":    func(p *Pack) { p.Segments = append(p.Segments, pack.Segment{Stored: pack.MaxSegment}) },
	} {
		p := good
		change(&p)
		_, _, err := Encode(params, &File{Packs: []Pack{p}})
		require.ErrorIs(t, err, wire.ErrFormat, name)
	}
	_, _, err := Encode(&pack.Params{}, &File{})
	require.Error(t, err)
	_, _, err = Encode(params, &File{Packs: make([]Pack, MaxPacks+1)})
	require.Error(t, err)
}

// TestFromDirectory takes a real pack through an index file.
func TestFromDirectory(t *testing.T) {
	ring, params := newParams(t, crypto.AES256GCM)
	params.Size = 1 << 20
	key, entry, err := ring.NewSessionKey(crypto.Meta)
	require.NoError(t, err)
	b, err := pack.NewBuilder(*params, crypto.Meta, entry)
	require.NoError(t, err)
	sealer := pack.Sealer{Suite: params.Suite, Domain: params.Domain, Class: crypto.Meta}
	h, err := ring.Hasher(crypto.Meta)
	require.NoError(t, err)
	plain := []byte("one chunk, another chunk")
	ids := []crypto.ID{h.Sum(plain[:10]), h.Sum(plain[10:])}
	for range 3 {
		s := pack.Segment{Length: uint32(len(plain)), Chunks: []pack.Chunk{{ID: ids[0], Length: 10}, {ID: ids[1], Length: 14}}}
		var sealed []byte
		sealed, s.Salt = sealer.Seal(nil, &key, pack.Store, s.Length, plain)
		s.Stored = uint32(len(sealed))
		require.NoError(t, b.Add(&s, sealed))
	}
	name, object, dir, err := b.Finish(true)
	require.NoError(t, err)
	f := &File{Packs: []Pack{FromDirectory(Name{Hash: name}, dir)}}
	hash, encoded, err := Encode(params, f)
	require.NoError(t, err)
	f, err = Decode(ring, encoded)
	require.NoError(t, err)

	s := openSet(t, nil)
	defer s.Close()
	require.NoError(t, s.AddFile(t.Context(), Name{Hash: hash}, f))
	for i, id := range ids {
		list, err := s.LookupAll(id)
		require.NoError(t, err)
		require.Len(t, list, 3)
		for _, l := range list {
			k, err := ring.OpenSessionKey(l.Class, l.Key)
			require.NoError(t, err)
			got, err := sealer.Open(nil, k, &l.Segment, object[l.SegmentOffset:l.SegmentOffset+l.Segment.Stored])
			require.NoError(t, err)
			require.Equal(t, ids[i], h.Sum(got[l.Offset:l.Offset+l.Length]))
		}
	}
}

func TestNames(t *testing.T) {
	r := newRand(t)
	n := randomName(r)
	got, err := ParsePackKey(n.PackKey())
	require.NoError(t, err)
	require.Equal(t, n, got)
	got, err = ParseFileKey(n.FileKey())
	require.NoError(t, err)
	require.Equal(t, n, got)
	for _, key := range []string{"", n.FileKey(), n.PackKey()[1:], n.PackKey() + "0", "packs/" + n.String()[1:], "packs/x" + n.String()[1:],
		"packs/ABABABABABABABABABABABABABABABAB/" + n.Hash.String(), "packs/" + n.Hash.String()} {
		_, err := ParsePackKey(key)
		require.Error(t, err, key)
	}
}
