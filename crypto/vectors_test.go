package crypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew: only together with a change of docs/format.md")

const vectorFile = "testdata/vectors.json"

// hexBytes is written as hexadecimal digits.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error)  { return hex.AppendEncode(nil, h), nil }
func (h *hexBytes) UnmarshalText(t []byte) error { return h.decode(hex.DecodeString(string(t))) }
func (h *hexBytes) decode(b []byte, err error) error {
	*h = b
	return err
}

// vectors are the frozen bytes of sections 2 to 4 of docs/format.md. Inputs of "hash" are the bytes 0, 1, ... 250, 0, 1, ...
type vectors struct {
	Hash    []hashVector   `json:"hash"`
	Derive  []deriveVector `json:"derive"`
	Boxes   []boxVector    `json:"boxes"`
	Keyring ringVector     `json:"keyring"`
	Entries []entryVector  `json:"key_entries"`
	Slots   []slotVector   `json:"slots"`
}

type hashVector struct {
	Length int      `json:"length"`
	Hash   hexBytes `json:"hash"`
}

type deriveVector struct {
	Context  string   `json:"context"`
	Material hexBytes `json:"material"`
	Key      hexBytes `json:"key"`
}

type boxVector struct {
	Suite     Suite    `json:"suite"`
	Key       hexBytes `json:"key"`
	Salt      hexBytes `json:"salt"`
	Purpose   string   `json:"purpose"`
	AAD       hexBytes `json:"aad"`
	Plaintext hexBytes `json:"plaintext"`
	Box       hexBytes `json:"box"`
}

// ringVector is an admin's keyring of one epoch and what follows from it.
type ringVector struct {
	Plaintext hexBytes            `json:"slot_plaintext"`
	Domain    hexBytes            `json:"domain"`
	DataKey   hexBytes            `json:"data_public_key"`
	MetaKey   hexBytes            `json:"meta_public_key"`
	ChunkIDs  map[string]hexBytes `json:"chunk_ids"` // of the plaintext "a chunk", by class
	Chunker   hexBytes            `json:"chunker_secret"`
	Source    hexBytes            `json:"source_id"` // of the names "host" and "/srv"
	Actor     hexBytes            `json:"actor_id"`
	Signature hexBytes            `json:"signature"` // context "test", message "a message"
}

type entryVector struct {
	Suite      Suite    `json:"suite"`
	Class      string   `json:"class"`
	SessionKey hexBytes `json:"session_key"`
	Salt       hexBytes `json:"salt,omitempty"` // class MAP
	Entry      hexBytes `json:"entry"`
}

type slotVector struct {
	Kind       SlotKind `json:"kind"`
	Suite      Suite    `json:"suite"`
	Credential string   `json:"credential"`
	Object     hexBytes `json:"object"`
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

// counter gives the bytes 0, 1, 2 and so on, in place of random ones.
type counter byte

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(*c)
		*c++
	}
	return len(p), nil
}

func (c *counter) key() (k Key) {
	io.ReadFull(c, k[:])
	return k
}

// vectorRing returns the keyring of the vectors.
func vectorRing(t *testing.T, suite Suite) (*Keyring, PublicKeys) {
	c := new(counter)
	id, cut, mapKey, data, meta, seed := c.key(), c.key(), c.key(), c.key(), c.key(), c.key()
	e := epochKeys{epoch: 1, mapKey: mapKey, data: newPrivateKey(&data), meta: newPrivateKey(&meta)}
	k := newRing(&secrets{role: Admin, suite: suite, id: &id, cut: &cut, epochs: []epochKeys{e}, seed: seed})
	pub := PublicKeys{Epoch: 1}
	var err error
	pub.Data, err = e.data.public()
	require.NoError(t, err)
	pub.Meta, err = e.meta.public()
	require.NoError(t, err)
	require.NoError(t, k.Bind([16]byte(pattern(16)), suite, pub))
	return k, pub
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	if *update {
		writeVectors(t)
	}
	b, err := os.ReadFile(vectorFile)
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&v))
	return v
}

// The second BLAKE3 gives the published results for the empty input.
func TestReferenceHash(t *testing.T) {
	require.Equal(t, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", hex.EncodeToString(refHash(nil)))
	require.Equal(t, "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
		hex.EncodeToString(refKeyed([]byte("whats the Elvish word for friend"), nil)))
	require.Equal(t, "2cc39783c223154fea8dfb7c1b1660f2ac2dcbd1c1de8277b0b0dd39b7e50d7d",
		hex.EncodeToString(refDerive("BLAKE3 2019-12-27 16:29:52 test vectors context", nil, 32)))
}

func TestHashVectors(t *testing.T) {
	v := readVectors(t)
	require.NotEmpty(t, v.Hash)
	for _, x := range v.Hash {
		p := pattern(x.Length)
		got := Hash(p)
		require.Equal(t, []byte(x.Hash), got[:])
		require.Equal(t, []byte(x.Hash), refHash(p))
		h := NewHash()
		h.Write(p[:x.Length/2])
		h.Write(p[x.Length/2:])
		require.Equal(t, []byte(x.Hash), h.Sum(nil))
	}
	require.NotEmpty(t, v.Derive)
	for _, x := range v.Derive {
		half := len(x.Material) / 2
		got := Derive(x.Context, x.Material[:half], x.Material[half:])
		require.Equal(t, []byte(x.Key), got[:])
		require.Equal(t, []byte(x.Key), refDerive(x.Context, x.Material, 32))
	}
}

// refBox makes a box from section 2 of the format and nothing else.
func refBox(t *testing.T, suite Suite, key, salt []byte, purpose string, plain, aad []byte) []byte {
	nonceSize := 12
	if suite == XChaCha20Poly1305 {
		nonceSize = 24
	}
	material := append(append(bytes.Clone(key), salt...), byte(suite))
	okm := refDerive("holdfast v1 box "+purpose, material, 32+nonceSize)
	var aead cipher.AEAD
	if suite == XChaCha20Poly1305 {
		var err error
		aead, err = chacha20poly1305.NewX(okm[:32])
		require.NoError(t, err)
	} else {
		block, err := aes.NewCipher(okm[:32])
		require.NoError(t, err)
		aead, err = cipher.NewGCM(block)
		require.NoError(t, err)
	}
	return aead.Seal(bytes.Clone(salt), okm[32:], plain, aad)
}

func TestBoxVectors(t *testing.T) {
	v := readVectors(t)
	require.Len(t, v.Boxes, 6)
	for _, x := range v.Boxes {
		key := Key(x.Key)
		require.Equal(t, []byte(x.Box), sealBox(nil, x.Suite, &key, x.Purpose, (*[SaltSize]byte)(x.Salt), x.Plaintext, x.AAD))
		require.Equal(t, []byte(x.Box), refBox(t, x.Suite, x.Key, x.Salt, x.Purpose, x.Plaintext, x.AAD))
		got, err := OpenBox(nil, x.Suite, &key, x.Purpose, x.Box, x.AAD)
		require.NoError(t, err)
		require.Equal(t, string(x.Plaintext), string(got))
	}
}

func TestKeyringVectors(t *testing.T) {
	v := readVectors(t).Keyring
	k, err := decodeKeys(Admin, AES256GCM, v.Plaintext)
	require.NoError(t, err)
	same, _ := vectorRing(t, AES256GCM)
	require.Equal(t, []byte(v.Plaintext), same.appendKeys(nil))
	require.NoError(t, k.Bind([16]byte(v.Domain), AES256GCM, PublicKeys{Epoch: 1, Data: v.DataKey, Meta: v.MetaKey}))

	// The fields in order: K_id, K_cut, three with an epoch, the seed; each after a tag and a length.
	kid, cut, seed := v.Plaintext[2:34], v.Plaintext[36:68], v.Plaintext[len(v.Plaintext)-32:]
	require.Len(t, v.ChunkIDs, 3)
	for _, c := range []Class{Data, Meta, Map} {
		h, err := k.Hasher(c)
		require.NoError(t, err)
		id := h.Sum([]byte("a chunk"))
		require.Equal(t, []byte(v.ChunkIDs[c.String()]), id[:])
		require.Equal(t, id[:], refKeyed(refDerive("holdfast v1 chunk id "+c.String(), kid, 32), []byte("a chunk")))
	}
	secret, err := k.ChunkerSecret()
	require.NoError(t, err)
	require.Equal(t, []byte(v.Chunker), secret[:])
	require.Equal(t, secret[:], refDerive("holdfast v1 chunker", cut, 32))
	source, err := k.SourceID([]byte("host"), []byte("/srv"))
	require.NoError(t, err)
	require.Equal(t, []byte(v.Source), source[:])
	require.Equal(t, source[:], refDerive("holdfast v1 source", append(bytes.Clone(kid), "\x04host\x04/srv"...), 32))

	sig := k.Sign("test", []byte("a message"))
	require.Equal(t, []byte(v.Signature), sig[:])
	priv := ed25519.NewKeyFromSeed(seed)
	require.Equal(t, sig[:], ed25519.Sign(priv, []byte("test\x00a message")))
	id := k.Actor().ID()
	require.Equal(t, []byte(v.Actor), id[:])
	require.Equal(t, id[:], refHash(priv.Public().(ed25519.PublicKey))[:16])
}

func TestKeyEntryVectors(t *testing.T) {
	v := readVectors(t)
	require.Len(t, v.Entries, 6)
	for _, x := range v.Entries {
		k, _ := vectorRing(t, x.Suite)
		d := wire.NewDecoder(x.Entry)
		e := DecodeKeyEntry(d)
		require.NoError(t, d.Finish())
		require.Equal(t, x.Class, Class(e.Kind).String())
		got, err := k.OpenSessionKey(Class(e.Kind), &e)
		require.NoError(t, err)
		require.Equal(t, []byte(x.SessionKey), got[:])
		require.Equal(t, e.Commitment[:], refDerive("holdfast v1 key commitment", x.SessionKey, 32))
		if x.Class != "MAP" {
			continue
		}
		info := append([]byte("holdfast v1 session key"), pattern(16)...)
		mapKey, err := k.MapKey(1)
		require.NoError(t, err)
		require.Equal(t, e.Wrapped, refBox(t, x.Suite, mapKey[:], x.Salt, "session key", x.SessionKey, append(info, byte(x.Suite), 3)))
	}
}

// vectorCredential reads the credential of a slot vector.
func vectorCredential(t *testing.T, x *slotVector) Credential {
	var c Credential
	var err error
	switch x.Kind {
	case PasswordSlot:
		c = Passphrase(x.Credential)
	case KeyFileSlot:
		c, err = ParseKeyFile(x.Credential)
	case RecipientSlot:
		c, err = ParseIdentity(x.Credential)
	default:
		c, err = ParseRecovery(x.Credential)
	}
	require.NoError(t, err)
	return c
}

func TestSlotVectors(t *testing.T) {
	v := readVectors(t)
	require.Len(t, v.Slots, 5)
	for _, x := range v.Slots {
		s, err := DecodeSlot(x.Object)
		require.NoError(t, err)
		require.Equal(t, x.Kind, s.Kind)
		require.Equal(t, "a label", s.Label)
		require.Equal(t, "1970-01-12T13:46:40.000000123Z", s.Created.Format(time.RFC3339Nano))
		k, err := s.Open(vectorCredential(t, &x))
		require.NoError(t, err)
		require.Equal(t, []byte(v.Keyring.Plaintext), k.appendKeys(nil))
		if seal, ok := vectorCredential(t, &x).(Sealer); ok {
			if pw, ok := seal.(*PassphraseCredential); ok {
				pw.Argon2 = Argon2{Time: 2, Memory: 64, Lanes: 2}
			}
			ring, _ := vectorRing(t, x.Suite)
			b, _, err := sealSlot(ring, Hash([]byte("genesis")), "a label", seal, vectorTime, new(counter))
			require.NoError(t, err)
			require.Equal(t, []byte(x.Object), b)
			refOpenSlot(t, &x, v.Keyring.Plaintext)
		}
	}
}

var vectorTime = time.Unix(1e6, 123)

// refOpenSlot checks the sealed part of a slot by section 4 of the format and nothing else.
func refOpenSlot(t *testing.T, x *slotVector, plain []byte) {
	const fixed = 6 + 2 + 3 + 16 + 32 + 8 + 32
	params := x.Object[fixed+1+len("a label"):]
	params = params[1 : 1+params[0]]
	at := fixed + 1 + len("a label") + 1 + len(params)
	bind := refHash(x.Object[:at])
	var kek []byte
	switch x.Kind {
	case PasswordSlot:
		kek = argon2.IDKey([]byte(x.Credential), params[9:], 2, 64, 2, 32)
	case KeyFileSlot:
		secret, err := hex.DecodeString(x.Credential[len("holdfast-key-1 ") : len(x.Credential)-1])
		require.NoError(t, err)
		kek = refDerive("holdfast v1 key file", append(secret, params...), 32)
	case RecoverySlot:
		kek = refDerive("holdfast v1 recovery key", append(pattern(32), params...), 32)
	}
	d := wire.NewDecoder(x.Object[at:])
	sealed := d.Bytes(maxSealed, "sealed")
	require.Equal(t, refDerive("holdfast v1 slot commitment", kek, 32), sealed[:32])
	require.Equal(t, refBox(t, x.Suite, kek, sealed[32:64], "slot", plain, bind), sealed[32:])
	require.Equal(t, refHash(x.Object[:len(x.Object)-32]), d.Fixed(32))
	require.NoError(t, d.Finish())
}
