package pack

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/pack-v1.* anew")

const (
	goldenPack = "testdata/pack-v1.bin"
	goldenKeys = "testdata/pack-v1.json"
)

// golden is what a reader of the pack must find; all bytes in hexadecimal.
type golden struct {
	Name       string
	MapKey     string // K_map of epoch 7
	SessionKey string
	Domain     string
	Segments   []goldenSegment
}

type goldenSegment struct {
	Codec  string
	Salt   string
	Offset uint32
	Stored uint32
	Plain  string // text
	Chunks []string
}

// oneKey is a K_map of one epoch.
type oneKey struct {
	epoch uint32
	key   crypto.Key
}

func (k oneKey) MapKey(epoch uint32) (*crypto.Key, error) {
	if epoch != k.epoch {
		return nil, &crypto.NoKeyError{What: fmt.Sprintf("K_map of epoch %d", epoch), Role: crypto.Collector}
	}
	return &k.key, nil
}

func fromHex(t *testing.T, dst []byte, s string) {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	require.Len(t, b, len(dst))
	copy(dst, b)
}

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	p, err := os.ReadFile(goldenPack)
	require.NoError(t, err)
	text, err := os.ReadFile(goldenKeys)
	require.NoError(t, err)
	var g golden
	require.NoError(t, json.Unmarshal(text, &g))
	keys := oneKey{epoch: 7}
	var session crypto.Key
	var sealer = Sealer{Suite: crypto.AES256GCM, Class: crypto.Map}
	fromHex(t, keys.key[:], g.MapKey)
	fromHex(t, session[:], g.SessionKey)
	fromHex(t, sealer.Domain[:], g.Domain)
	name, err := crypto.ParseID(g.Name)
	require.NoError(t, err)

	require.NoError(t, Verify(p, name))
	dir, err := OpenDirectory(p, keys)
	require.NoError(t, err)
	require.Equal(t, sealer.Domain, dir.Domain)
	require.Equal(t, crypto.Map, dir.Class)
	require.Len(t, dir.Keys, 1)
	require.EqualValues(t, crypto.Derive("holdfast v1 key commitment", session[:]), dir.Keys[0].Commitment)
	d, err := NewDecompressor()
	require.NoError(t, err)
	i := 0
	for offset, s := range dir.All() {
		want := g.Segments[i]
		require.Equal(t, want.Codec, s.Codec.String())
		require.Equal(t, want.Salt, hex.EncodeToString(s.Salt[:]))
		require.Equal(t, want.Offset, offset)
		require.Equal(t, want.Stored, s.Stored)
		require.Equal(t, want.Chunks, chunkNames(s))
		stored, err := sealer.Open(nil, &session, s, p[offset:offset+s.Stored])
		require.NoError(t, err)
		plain, err := d.Decompress(nil, s.Codec, s.Length, stored)
		require.NoError(t, err)
		require.Equal(t, want.Plain, string(plain))
		i++
	}
	require.Len(t, g.Segments, i)
}

func chunkNames(s *Segment) []string {
	var list []string
	for _, c := range s.Chunks {
		list = append(list, fmt.Sprintf("%s %d", c.ID, c.Length))
	}
	return list
}

// writeGolden makes the vector from fixed randomness.
func writeGolden(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	keys := oneKey{epoch: 7, key: crypto.NewKey()}
	session := crypto.NewKey()
	params := Params{Suite: crypto.AES256GCM, Domain: [16]byte([]byte("the golden world")), Epoch: 7, MapKey: &keys.key, Size: 1 << 20}
	sealer := Sealer{Suite: params.Suite, Domain: params.Domain, Class: crypto.Map}
	info := append(append([]byte("holdfast v1 session key"), params.Domain[:]...), byte(params.Suite), byte(crypto.Map))
	entry := crypto.KeyEntry{Kind: 3, Epoch: 7, Commitment: crypto.Derive("holdfast v1 key commitment", session[:])}
	entry.Wrapped = crypto.SealBox(nil, params.Suite, &keys.key, "session key", session[:], info)

	b, err := NewBuilder(params, crypto.Map, entry)
	require.NoError(t, err)
	g := golden{MapKey: hex.EncodeToString(keys.key[:]), SessionKey: hex.EncodeToString(session[:]), Domain: hex.EncodeToString(params.Domain[:])}
	long := strings.Repeat("a segment that can be compressed. ", 100)
	plains := []string{"short", long, long}
	for i, plain := range plains {
		c, err := NewCompressor([]Level{Fastest, Fastest, LevelS2}[i], 1<<20)
		require.NoError(t, err)
		stored, codec := c.Compress(nil, []byte(plain))
		s := Segment{Codec: codec, Length: uint32(len(plain))}
		var sealed []byte
		sealed, s.Salt = sealer.Seal(nil, &session, codec, s.Length, stored)
		s.Stored = uint32(len(sealed))
		s.Chunks = []Chunk{{crypto.Hash([]byte(plain[:2])), 2}, {crypto.Hash([]byte(plain[2:])), s.Length - 2}}
		require.NoError(t, b.Add(&s, sealed))
	}
	name, p, dir, err := b.Finish(true)
	require.NoError(t, err)
	g.Name = name.String()
	for offset, s := range dir.All() {
		g.Segments = append(g.Segments, goldenSegment{s.Codec.String(), hex.EncodeToString(s.Salt[:]), offset, s.Stored, plains[len(g.Segments)], chunkNames(s)})
	}
	text, err := json.MarshalIndent(g, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	require.NoError(t, os.WriteFile(goldenPack, p, 0o644))
	require.NoError(t, os.WriteFile(goldenKeys, append(text, '\n'), 0o644))
}
