package repo

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Hasher computes chunk ids for one goroutine.
type Hasher = crypto.Hasher

// NewHasher returns what computes the ids of chunks of a class, if this key may.
func (r *Repository) NewHasher(c Class) (*Hasher, error) {
	if r.ring == nil {
		return nil, fmt.Errorf("hashing chunks: %w", ErrNotAllowed)
	}
	return r.ring.Hasher(c)
}
