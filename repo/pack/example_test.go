package pack_test

import (
	"fmt"
	"log"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// One chunk goes into a pack and comes back.
func Example() {
	ring, _, err := crypto.NewKeyring(crypto.AES256GCM)
	check(err)
	mapKey, err := ring.MapKey(ring.Epoch())
	check(err)
	params := pack.Params{Suite: ring.Suite(), Domain: ring.Domain(), Epoch: ring.Epoch(), MapKey: mapKey, Size: 32 << 20}
	key, entry, err := ring.NewSessionKey(crypto.Data)
	check(err)
	hasher, err := ring.Hasher(crypto.Data)
	check(err)
	compressor, err := pack.NewCompressor(pack.Fastest, 1<<20)
	check(err)
	builder, err := pack.NewBuilder(params, crypto.Data, entry)
	check(err)

	plain := []byte("to be, or not to be, that is the question: to be, or not to be, that is the question")
	n := uint32(len(plain))
	stored, codec := compressor.Compress(nil, plain)
	sealer := pack.Sealer{Suite: params.Suite, Domain: params.Domain, Class: crypto.Data}
	sealed, salt := sealer.Seal(nil, &key, codec, n, stored)
	check(builder.Add(&pack.Segment{Codec: codec, Stored: uint32(len(sealed)), Length: n, Salt: salt,
		Chunks: []pack.Chunk{{ID: hasher.Sum(plain), Length: n}}}, sealed))
	name, object, _, err := builder.Finish(true)
	check(err)

	check(pack.Verify(object, name))
	dir, err := pack.OpenDirectory(object, ring)
	check(err)
	decompressor, err := pack.NewDecompressor()
	check(err)
	for offset, s := range dir.All() {
		k, err := ring.OpenSessionKey(dir.Class, &dir.Keys[s.Key])
		check(err)
		stored, err := sealer.Open(nil, k, s, object[offset:offset+s.Stored])
		check(err)
		plain, err := decompressor.Decompress(nil, s.Codec, s.Length, stored)
		check(err)
		fmt.Println(hasher.Sum(plain) == s.Chunks[0].ID, string(plain[:19]))
	}
	// Output: true to be, or not to be
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
