package index

import (
	"encoding/binary"
	"sync"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/zeebo/blake3"
)

// checksum computes the keyed hashes that guard runs. It is safe for concurrent use.
type checksum struct{ pool sync.Pool }

// newChecksum derives a key for runs of one repository; nil stands for a key that everybody knows.
func newChecksum(key *crypto.Key, repository [16]byte) (*checksum, error) {
	if key == nil {
		key = new(crypto.Key)
	}
	k := crypto.Derive("holdfast v1 index cache", key[:], repository[:])
	first, err := blake3.NewKeyed(k[:])
	if err != nil {
		return nil, err
	}
	return &checksum{pool: sync.Pool{New: func() any { return first.Clone() }}}, nil
}

func (c *checksum) sum(parts ...[]byte) (sum [32]byte) {
	h := c.pool.Get().(*blake3.Hasher)
	h.Reset()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(sum[:0])
	c.pool.Put(h)
	return sum
}

// tag returns 8 bytes of the hash of one block.
func (c *checksum) tag(block []byte) uint64 {
	h := c.pool.Get().(*blake3.Hasher)
	h.Reset()
	h.Write(block)
	var sum [32]byte
	h.Sum(sum[:0])
	c.pool.Put(h)
	return binary.LittleEndian.Uint64(sum[:])
}
