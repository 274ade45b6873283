package pack

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Sealer seals and opens the segments of one class. It is a value without state, safe for concurrent use.
type Sealer struct {
	Suite  crypto.Suite
	Domain [16]byte
	Class  crypto.Class
}

// purpose of segments' keys.
const segmentPurpose = "segment"

// Seal appends to dst the sealed form of stored, which is what codec made of length bytes of plaintext, and returns it with
// its salt. dst grows by len(stored) + crypto.TagSize. dst and stored must not overlap.
func (s Sealer) Seal(dst []byte, key *crypto.Key, codec Codec, length uint32, stored []byte) (out []byte, salt [crypto.SaltSize]byte) {
	return crypto.SealUnit(dst, s.Suite, key, segmentPurpose, stored, s.aad(codec, length))
}

// Open appends to dst what codec made of the plaintext of the segment seg, whose bytes in the pack are sealed. dst and sealed must not
// overlap. The error wraps crypto.ErrAuth, or wire.ErrFormat where sealed has another length than seg says.
func (s Sealer) Open(dst []byte, key *crypto.Key, seg *Segment, sealed []byte) ([]byte, error) {
	if uint64(len(sealed)) != uint64(seg.Stored) {
		return nil, fmt.Errorf("%w: %d bytes of a segment of %d", wire.ErrFormat, len(sealed), seg.Stored)
	}
	return crypto.OpenUnit(dst, s.Suite, key, segmentPurpose, &seg.Salt, sealed, s.aad(seg.Codec, seg.Length))
}

// aad binds what decides how a segment is read, and nothing of where it lies, so that it can move.
func (s Sealer) aad(codec Codec, length uint32) []byte {
	b := make([]byte, 0, len(s.Domain)+7)
	b = append(b, s.Domain[:]...)
	b = append(b, byte(s.Suite), byte(s.Class), byte(codec))
	return wire.AppendU32(b, length)
}
