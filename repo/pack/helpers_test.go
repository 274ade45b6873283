package pack

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
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

func fill(r *rand.Rand, p []byte) []byte {
	rand.NewChaCha8([32]byte(binary.LittleEndian.AppendUint64(make([]byte, 24), r.Uint64()))).Read(p)
	return p
}

// text returns n compressible bytes.
func text(r *rand.Rand, n int) []byte {
	words := []string{"segment ", "pack ", "chunk ", "directory ", "ledger ", "epoch\n", "0x00000000 "}
	var b []byte
	for len(b) < n {
		b = append(b, words[r.IntN(len(words))]...)
	}
	return b[:n]
}

// world is a keyring and what packs are built with.
type world struct {
	ring   *crypto.Keyring
	params Params
	class  crypto.Class
	sealer Sealer
	keys   []crypto.Key // of entries
	entry  []crypto.KeyEntry

	compress [Off + 1]*Compressor
	unpack   *Decompressor
}

func newWorld(t testing.TB, class crypto.Class, suite crypto.Suite, sessions int) *world {
	ring, _, err := crypto.NewKeyring(suite)
	require.NoError(t, err)
	k, err := ring.MapKey(ring.Epoch())
	require.NoError(t, err)
	w := &world{ring: ring, class: class}
	w.params = Params{Suite: suite, Domain: ring.Domain(), Epoch: ring.Epoch(), MapKey: k, Size: 1 << 20}
	w.sealer = Sealer{Suite: suite, Domain: ring.Domain(), Class: class}
	for range sessions {
		key, entry, err := ring.NewSessionKey(class)
		require.NoError(t, err)
		w.keys, w.entry = append(w.keys, key), append(w.entry, entry)
	}
	return w
}

func (w *world) builder(t testing.TB) *Builder {
	b, err := NewBuilder(w.params, w.class, w.entry...)
	require.NoError(t, err)
	return b
}

// sealed is a segment with its plaintext and its bytes in a pack.
type sealed struct {
	Segment
	plain, bytes []byte
}

// compressor returns one for segments up to 1 MiB, and makes one for each level only.
func (w *world) compressor(t testing.TB, level Level) *Compressor {
	if w.compress[level] == nil {
		c, err := NewCompressor(level, 1<<20)
		require.NoError(t, err)
		w.compress[level] = c
	}
	return w.compress[level]
}

// seal compresses and seals plain under session key number key, cut into random chunks.
func (w *world) seal(t testing.TB, r *rand.Rand, key int, plain []byte, level Level) sealed {
	stored, codec := w.compressor(t, level).Compress(nil, plain)
	s := sealed{plain: plain}
	s.bytes, s.Salt = w.sealer.Seal(nil, &w.keys[key], codec, uint32(len(plain)), stored)
	s.Key, s.Codec, s.Stored, s.Length = uint8(key), codec, uint32(len(s.bytes)), uint32(len(plain))
	for rest := len(plain); rest > 0; {
		n := 1 + r.IntN(rest)
		if rest < 16 || len(s.Chunks) > 20 {
			n = rest
		}
		s.Chunks = append(s.Chunks, Chunk{ID: crypto.ID(fill(r, make([]byte, 32))), Length: uint32(n)})
		rest -= n
	}
	return s
}

// random makes a segment of up to n bytes.
func (w *world) random(t testing.TB, r *rand.Rand, n int) sealed {
	plain := make([]byte, 1+r.IntN(n))
	if r.IntN(2) == 0 {
		plain = text(r, len(plain))
	} else {
		fill(r, plain)
	}
	return w.seal(t, r, r.IntN(len(w.keys)), plain, [...]Level{Fastest, Fastest, Default, Better, LevelS2, Off}[r.IntN(6)])
}

// read opens and decompresses one segment of pack p, as a reader does.
func (w *world) read(t testing.TB, dir *Directory, p []byte, offset uint32, s *Segment) []byte {
	plain, err := w.tryRead(dir, p, offset, s)
	require.NoError(t, err)
	return plain
}

func (w *world) tryRead(dir *Directory, p []byte, offset uint32, s *Segment) ([]byte, error) {
	key, err := w.ring.OpenSessionKey(dir.Class, &dir.Keys[s.Key])
	if err != nil {
		return nil, err
	}
	stored, err := w.sealer.Open(nil, key, s, p[offset:offset+s.Stored])
	if err != nil {
		return nil, err
	}
	if w.unpack == nil {
		if w.unpack, err = NewDecompressor(); err != nil {
			return nil, err
		}
	}
	return w.unpack.Decompress(nil, s.Codec, s.Length, stored)
}
