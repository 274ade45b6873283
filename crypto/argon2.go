package crypto

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"golang.org/x/crypto/argon2"
)

// Argon2 is the cost of turning a password into a key with Argon2id (RFC 9106).
type Argon2 struct {
	Time   uint32 // passes over the memory, 1 to 64
	Memory uint32 // KiB, at least 8 for each lane, at most 2 GiB; Time x Memory is at most 16 GiB
	Lanes  uint8  // 1 to 64, of which as many run at once as there are processors
}

// DefaultArgon2 is the second recommendation of RFC 9106: three passes over 64 MiB in four lanes.
func DefaultArgon2() Argon2 { return Argon2{Time: 3, Memory: 64 << 10, Lanes: 4} }

// Bounds on parameters, so that a slot from a hostile store costs seconds and a known amount of memory at most.
const (
	maxArgonTime   = 64
	maxArgonMemory = 2 << 20
	maxArgonLanes  = 64
	maxArgonWork   = 16 << 20
)

func (a Argon2) validate() error {
	switch {
	case a.Time < 1 || a.Time > maxArgonTime:
		return fmt.Errorf("Argon2 time %d is not 1 to %d", a.Time, maxArgonTime)
	case a.Lanes < 1 || a.Lanes > maxArgonLanes:
		return fmt.Errorf("Argon2 lanes %d are not 1 to %d", a.Lanes, maxArgonLanes)
	case a.Memory < 8*uint32(a.Lanes) || a.Memory > maxArgonMemory:
		return fmt.Errorf("Argon2 memory %d KiB is not %d to %d", a.Memory, 8*uint32(a.Lanes), maxArgonMemory)
	case uint64(a.Time)*uint64(a.Memory) > maxArgonWork:
		return fmt.Errorf("Argon2 time %d x memory %d KiB is above %d KiB", a.Time, a.Memory, maxArgonWork)
	}
	return nil
}

func (a Argon2) key(password string, salt *[SaltSize]byte) *Key {
	k := Key(argon2.IDKey([]byte(password), salt[:], a.Time, a.Memory, a.Lanes, uint32(len(Key{}))))
	return &k
}

func (a Argon2) appendParameters(b []byte, salt *[SaltSize]byte) []byte {
	b = wire.AppendU32(b, a.Time)
	b = wire.AppendU32(b, a.Memory)
	b = append(b, a.Lanes)
	return append(b, salt[:]...)
}

func decodeArgon2(params []byte) (a Argon2, salt [SaltSize]byte, err error) {
	d := wire.NewDecoder(params)
	a = Argon2{Time: d.U32(), Memory: d.U32(), Lanes: d.U8()}
	d.Copy(salt[:])
	if err := d.Finish(); err != nil {
		return a, salt, err
	}
	return a, salt, a.validate()
}
