package crypto

import (
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/zeebo/blake3"
)

// ID is a 32-byte BLAKE3 hash: the keyed one of a chunk's plaintext, or the unkeyed one of an object's bytes.
type ID [32]byte

// String returns id as 64 lower-case hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id is all zero, which stands for "none".
func (id ID) IsZero() bool { return id == ID{} }

// ParseID reads what String writes; upper-case digits are an error, since an object has one name.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return ID{}, fmt.Errorf("id %.80q has %d characters, want %d", s, len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("id %q: %w", s, err)
	}
	if id.String() != s {
		return ID{}, fmt.Errorf("id %q: want lower-case digits", s)
	}
	return id, nil
}

// Hash returns the unkeyed BLAKE3-256 hash of p.
func Hash(p []byte) ID { return blake3.Sum256(p) }

// NewHash returns a streaming form of Hash: its Sum appends the 32 bytes. It is for one goroutine at a time.
func NewHash() hash.Hash { return blake3.New() }

// Derive returns the first 32 bytes of BLAKE3 in derive-key mode over the concatenated material. Contexts are constants of the
// format, one for each purpose; the caller sees to it that the material reads in one way only.
func Derive(context string, material ...[]byte) Key {
	h := blake3.NewDeriveKey(context)
	for _, m := range material {
		h.Write(m)
	}
	var k Key
	h.Sum(k[:0])
	return k
}

// Hasher computes the ids of chunks of one class. It is for one goroutine at a time; make one for each with Keyring.Hasher.
type Hasher struct {
	hidden
	h   veiled[blake3.Hasher]
	out [32]byte
}

func newHasher(key *Key) (*Hasher, error) {
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		return nil, err
	}
	return &Hasher{h: veil(h)}, nil
}

// Sum returns the id of the chunk p. It does not allocate.
func (h *Hasher) Sum(p []byte) ID {
	b := h.h()
	b.Reset()
	b.Write(p)
	b.Sum(h.out[:0])
	return h.out
}
