package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"github.com/zeebo/blake3"
	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes in bytes of the parts of a box that are not ciphertext.
const (
	TagSize     = 16
	SaltSize    = 32
	BoxOverhead = SaltSize + TagSize
)

// ErrAuth is wrapped when a box, unit, key entry or signature does not authenticate: the bytes, the associated data or the key
// are not those it was made with.
var ErrAuth = errors.New("authentication failed")

// SealBox appends to dst a box: a random salt, and plaintext sealed with aad under a key and nonce derived from k, purpose and
// salt. It grows by len(plaintext) + BoxOverhead. dst and plaintext must not overlap. It panics if s is not valid.
func SealBox(dst []byte, s Suite, k *Key, purpose string, plaintext, aad []byte) []byte {
	var salt [SaltSize]byte
	rand.Read(salt[:])
	return sealBox(dst, s, k, purpose, &salt, plaintext, aad)
}

// OpenBox appends to dst the plaintext of a box. dst and box must not overlap. The error wraps ErrAuth.
func OpenBox(dst []byte, s Suite, k *Key, purpose string, box, aad []byte) ([]byte, error) {
	if len(box) < BoxOverhead {
		return nil, fmt.Errorf("opening %s box of %d bytes: %w", purpose, len(box), ErrAuth)
	}
	return OpenUnit(dst, s, k, purpose, (*[SaltSize]byte)(box), box[SaltSize:], aad)
}

// SealUnit is SealBox with the salt handed back instead of put before the ciphertext: dst grows by len(plaintext) + TagSize, and
// is not reallocated if it has that capacity. It panics if s is not valid.
func SealUnit(dst []byte, s Suite, k *Key, purpose string, plaintext, aad []byte) (out []byte, salt [SaltSize]byte) {
	rand.Read(salt[:])
	return sealUnit(dst, s, k, purpose, &salt, plaintext, aad), salt
}

// OpenUnit appends to dst the plaintext of what SealUnit made. dst and ct must not overlap. The error wraps ErrAuth.
func OpenUnit(dst []byte, s Suite, k *Key, purpose string, salt *[SaltSize]byte, ct, aad []byte) ([]byte, error) {
	if !s.Valid() {
		return nil, fmt.Errorf("opening %s: unknown %s: %w", purpose, s, ErrAuth)
	}
	aead, nonce := unitCipher(s, k, purpose, salt)
	out, err := aead.Open(dst, nonce, ct, aad)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", purpose, ErrAuth)
	}
	return out, nil
}

func sealBox(dst []byte, s Suite, k *Key, purpose string, salt *[SaltSize]byte, plaintext, aad []byte) []byte {
	return sealUnit(append(dst, salt[:]...), s, k, purpose, salt, plaintext, aad)
}

func sealUnit(dst []byte, s Suite, k *Key, purpose string, salt *[SaltSize]byte, plaintext, aad []byte) []byte {
	aead, nonce := unitCipher(s, k, purpose, salt)
	return aead.Seal(dst, nonce, plaintext, aad)
}

// unitCipher derives a key and nonce for one unit only.
func unitCipher(s Suite, k *Key, purpose string, salt *[SaltSize]byte) (cipher.AEAD, []byte) {
	okm := make([]byte, 32+chacha20poly1305.NonceSizeX)
	h := takeDeriver(purpose)
	h.Write(k[:])
	h.Write(salt[:])
	h.Write([]byte{byte(s)})
	h.Digest().Read(okm)
	putDeriver(purpose, h)
	aead, err := newAEAD(s, okm[:32])
	if err != nil {
		panic("crypto: " + err.Error())
	}
	return aead, okm[32 : 32+aead.NonceSize()]
}

// derivers are free hashers that have taken in the context of a purpose, by purpose: a new one costs 10 KiB and two compressions.
// Purposes are constants, so there are few. Nothing depends on what is in here.
var derivers sync.Map // of string to *sync.Pool

func takeDeriver(purpose string) *blake3.Hasher {
	if pool, ok := derivers.Load(purpose); ok {
		if h, ok := pool.(*sync.Pool).Get().(*blake3.Hasher); ok {
			return h
		}
	}
	return blake3.NewDeriveKey("holdfast v1 box " + purpose)
}

// putDeriver gives a hasher back, without the key that it was fed.
func putDeriver(purpose string, h *blake3.Hasher) {
	var zero [len(Key{}) + SaltSize + 1]byte
	h.Reset()
	h.Write(zero[:])
	h.Reset()
	pool, ok := derivers.Load(purpose)
	if !ok {
		pool, _ = derivers.LoadOrStore(purpose, new(sync.Pool))
	}
	pool.(*sync.Pool).Put(h)
}

func newAEAD(s Suite, key []byte) (cipher.AEAD, error) {
	switch s {
	case AES256GCM:
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	case XChaCha20Poly1305:
		return chacha20poly1305.NewX(key)
	}
	return nil, fmt.Errorf("unknown %s", s)
}
