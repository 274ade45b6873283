package index

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/stretchr/testify/require"
)

// newRand returns a seeded source and prints the seed, which HOLDFAST_TEST_SEED sets.
func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("HOLDFAST_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("HOLDFAST_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func randomID(r *rand.Rand) (id crypto.ID) {
	for i := 0; i < len(id); i += 8 {
		binary.LittleEndian.PutUint64(id[i:], r.Uint64())
	}
	return id
}

func randomName(r *rand.Rand) Name {
	id := randomID(r)
	return Name{Session: [16]byte(id[:16]), Hash: randomID(r)}
}

// keyEntries makes session keys that nobody can open.
func keyEntries(r *rand.Rand, class crypto.Class, n int) []crypto.KeyEntry {
	size := 1168
	if class == crypto.Map {
		size = 80
	}
	list := make([]crypto.KeyEntry, n)
	for i := range list {
		list[i] = crypto.KeyEntry{Kind: uint8(class), Epoch: 1, Wrapped: make([]byte, size), Commitment: randomID(r)}
	}
	return list
}

// randomPack makes a pack of the given number of chunks, whose ids come from next.
func randomPack(r *rand.Rand, keys []crypto.KeyEntry, chunks int, next func() crypto.ID) Pack {
	p := Pack{Name: randomName(r), Class: crypto.Class(keys[0].Kind), Keys: keys, BodyOffset: pack.HeaderSize + 1}
	for i := range keys {
		p.BodyOffset += uint32(len(keys[i].Append(nil)))
	}
	size := uint64(p.BodyOffset) + 1000
	for chunks > 0 {
		s := pack.Segment{Key: uint8(r.IntN(len(keys))), Codec: pack.Codec(r.IntN(2)), Salt: randomID(r)}
		for n := min(chunks, 1+r.IntN(16)); n > 0; n-- {
			c := pack.Chunk{ID: next(), Length: 1 + r.Uint32N(64<<10)}
			s.Chunks = append(s.Chunks, c)
			s.Length += c.Length
			chunks--
		}
		if s.Stored = s.Length + crypto.TagSize; s.Codec == pack.Zstd {
			s.Stored = s.Stored/3 + crypto.TagSize + 1
			if s.Length < 20 {
				s.Codec, s.Stored = pack.Store, s.Length+crypto.TagSize
			}
		}
		size += uint64(s.Stored) + uint64(s.EncodedLen())
		p.Segments = append(p.Segments, s)
	}
	p.Size = uint32(max(size, pack.MinSize))
	return p
}

// place of a chunk, as the tests expect it.
type spot struct {
	pack            Name
	segment, offset uint32 // offset of the segment in the pack, of the chunk in the segment
	length          uint32
}

func spotOf(l *Location) spot { return spot{l.Pack, l.SegmentOffset, l.Offset, l.Length} }

// spots lists the chunks of a pack, and checks nothing.
func (p *Pack) spots(yield func(crypto.ID, spot, *pack.Segment)) {
	at := p.BodyOffset
	for i := range p.Segments {
		s := &p.Segments[i]
		offset := uint32(0)
		for _, c := range s.Chunks {
			yield(c.ID, spot{p.Name, at, offset, c.Length}, s)
			offset += c.Length
		}
		at += s.Stored
	}
}

func openSet(t testing.TB, opt *Options) *Set {
	s, err := Open(opt)
	require.NoError(t, err)
	return s
}

// fileOf makes an index file of so many chunks in packs of 500.
func fileOf(r *rand.Rand, chunks int) *File {
	f := &File{}
	keys := keyEntries(r, crypto.Data, 1)
	for chunks > 0 {
		n := min(chunks, 500)
		f.Packs = append(f.Packs, randomPack(r, keys, n, func() crypto.ID { return randomID(r) }))
		chunks -= n
	}
	return f
}
