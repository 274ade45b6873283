package crypto

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeVectors makes the vector file. What HPKE wraps is different each time; the rest is not.
func writeVectors(t *testing.T) {
	var v vectors
	for _, n := range []int{0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 3073, 8192, 8193, 65536, 100000} {
		h := Hash(pattern(n))
		v.Hash = append(v.Hash, hashVector{n, h[:]})
	}
	for _, c := range []string{"holdfast v1 chunker", "holdfast v1 source", "holdfast v1 key commitment"} {
		for _, n := range []int{0, 32, 64, 1500} {
			k := Derive(c, pattern(n))
			v.Derive = append(v.Derive, deriveVector{c, pattern(n), k[:]})
		}
	}
	for _, s := range []Suite{AES256GCM, XChaCha20Poly1305} {
		for i, plain := range []string{"", "a plaintext", string(pattern(100))} {
			c := counter(i)
			k, salt := c.key(), c.key()
			purpose := []string{"segment", "directory", "entry"}[i]
			x := boxVector{Suite: s, Key: k[:], Salt: salt[:], Purpose: purpose, AAD: pattern(20 * i), Plaintext: []byte(plain)}
			x.Box = sealBox(nil, s, &k, purpose, (*[SaltSize]byte)(&salt), x.Plaintext, x.AAD)
			v.Boxes = append(v.Boxes, x)
		}
		v.Entries = append(v.Entries, writeEntries(t, s)...)
	}
	v.Keyring = writeRing(t)
	v.Slots = writeSlots(t)
	b, err := json.MarshalIndent(&v, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	require.NoError(t, os.WriteFile(vectorFile, append(b, '\n'), 0o644))
}

func writeRing(t *testing.T) (v ringVector) {
	k, pub := vectorRing(t, AES256GCM)
	domain := k.Domain()
	v = ringVector{Plaintext: k.appendKeys(nil), Domain: domain[:], DataKey: pub.Data, MetaKey: pub.Meta, ChunkIDs: map[string]hexBytes{}}
	for _, c := range []Class{Data, Meta, Map} {
		h, err := k.Hasher(c)
		require.NoError(t, err)
		id := h.Sum([]byte("a chunk"))
		v.ChunkIDs[c.String()] = id[:]
	}
	secret, err := k.ChunkerSecret()
	require.NoError(t, err)
	source, err := k.SourceID([]byte("host"), []byte("/srv"))
	require.NoError(t, err)
	actor, sig := k.Actor().ID(), k.Sign("test", []byte("a message"))
	v.Chunker, v.Source, v.Actor, v.Signature = secret[:], source[:], actor[:], sig[:]
	return v
}

func writeEntries(t *testing.T, s Suite) (list []entryVector) {
	ring, _ := vectorRing(t, s)
	for _, c := range []Class{Data, Meta} {
		key, e, err := ring.NewSessionKey(c)
		require.NoError(t, err)
		list = append(list, entryVector{Suite: s, Class: c.String(), SessionKey: key[:], Entry: e.Append(nil)})
	}
	c := counter(100)
	key, salt := c.key(), c.key()
	mapKey, err := ring.MapKey(1)
	require.NoError(t, err)
	e := KeyEntry{Kind: 3, Epoch: 1, Commitment: commit(&key)}
	e.Wrapped = sealBox(nil, s, mapKey, "session key", (*[SaltSize]byte)(&salt), key[:], sessionInfo(ring.Domain(), s, Map))
	return append(list, entryVector{Suite: s, Class: "MAP", SessionKey: key[:], Salt: salt[:], Entry: e.Append(nil)})
}

func writeSlots(t *testing.T) (list []slotVector) {
	key := Key(pattern(32))
	pw := Passphrase("correct horse battery staple")
	pw.Argon2 = Argon2{Time: 2, Memory: 64, Lanes: 2}
	id, err := newIdentity(&key)
	require.NoError(t, err)
	file := string(writeText(keyFilePrefix, key[:]))
	for _, x := range []struct {
		suite Suite
		text  string
		c     Sealer
	}{
		{AES256GCM, *pw.pw(), pw},
		{AES256GCM, file, newKeyFile(&key)},
		{XChaCha20Poly1305, file, newKeyFile(&key)},
		{AES256GCM, string(writeText(identityPrefix, key[:])), id.Recipient()},
		{AES256GCM, formatRecovery(&key), newRecovery(&key)},
	} {
		ring, _ := vectorRing(t, x.suite)
		b, info, err := sealSlot(ring, Hash([]byte("genesis")), "a label", x.c, vectorTime, new(counter))
		require.NoError(t, err)
		list = append(list, slotVector{info.Kind, x.suite, x.text, b})
	}
	return list
}
