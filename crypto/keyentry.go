package crypto

import (
	"bytes"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// KeyEntry is a wrapped session key, as packs and index files carry it.
type KeyEntry struct {
	Kind       uint8    // 1: HPKE to the DATA key, 2: HPKE to the META key, 3: box under K_map; the number of the class
	Epoch      uint32   // whose keys wrap it; at least 1
	Wrapped    []byte   // 1168 bytes for kinds 1 and 2, 80 for kind 3
	Commitment [32]byte // derived from the session key
}

// Append appends the entry's encoding to b.
func (e *KeyEntry) Append(b []byte) []byte {
	b = append(b, e.Kind)
	b = wire.AppendU32(b, e.Epoch)
	b = wire.AppendBytes(b, e.Wrapped)
	return append(b, e.Commitment[:]...)
}

// DecodeKeyEntry reads one entry. What it refuses is recorded in d. The result holds no memory of the input.
func DecodeKeyEntry(d *wire.Decoder) KeyEntry {
	var e KeyEntry
	e.Kind = d.U8()
	if d.Err() == nil && !Class(e.Kind).Valid() {
		d.Fail("key entry of unknown kind %d", e.Kind)
	}
	e.Epoch = d.U32()
	if d.Err() == nil && e.Epoch == 0 {
		d.Fail("key entry of epoch 0")
	}
	want := wrappedSize(Class(e.Kind))
	e.Wrapped = bytes.Clone(d.Bytes(want, "wrapped key"))
	if d.Err() == nil && len(e.Wrapped) != want {
		d.Fail("wrapped key of %d bytes, want %d", len(e.Wrapped), want)
	}
	d.Copy(e.Commitment[:])
	return e
}

func wrappedSize(c Class) int {
	if c == Map {
		return len(Key{}) + BoxOverhead
	}
	return len(Key{}) + wrapOverhead
}

func commit(k *Key) [32]byte { return Derive("holdfast v1 key commitment", k[:]) }

// sessionInfo binds a wrapped session key to its domain, suite and class.
func sessionInfo(domain [16]byte, s Suite, c Class) []byte {
	b := append([]byte("holdfast v1 session key"), domain[:]...)
	return append(b, byte(s), byte(c))
}
