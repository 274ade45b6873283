package ledger

import (
	"fmt"
	"strings"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// MaxState is the size of the largest encoded state in bytes.
const MaxState = 256 << 20

// CheckpointPrefix begins the object keys of the states that CHECKPOINTs name.
const CheckpointPrefix = "checkpoints/"

// CheckpointKey returns the object key of the state that the CHECKPOINT with number n names.
func CheckpointKey(n uint64) string { return fmt.Sprintf("%s%0*d", CheckpointPrefix, keyDigits, n) }

// Checkpoint (CHECKPOINT) says what the state is after the entries before it, so that who comes later may begin there.
// It changes nothing: it is void if it does not say so rightly.
type Checkpoint struct {
	unsealed
	State crypto.ID // HashState of what State.Encode returns
	Size  uint64    // of it in bytes, 1 to MaxState
}

// Type returns TypeCheckpoint.
func (*Checkpoint) Type() Type { return TypeCheckpoint }

func (c *Checkpoint) appendClear(b []byte) []byte {
	return wire.AppendUvarint(append(b, c.State[:]...), c.Size)
}

func (c *Checkpoint) decodeClear(d *wire.Decoder) {
	d.Copy(c.State[:])
	if c.Size = d.UvarintMax(MaxState, "bytes of a state"); c.Size == 0 {
		d.Fail("a state of 0 bytes")
	}
}

// ParseCheckpointKey returns the number of the CHECKPOINT whose state key names.
func ParseCheckpointKey(key string) (uint64, error) {
	digits, ok := strings.CutPrefix(key, CheckpointPrefix)
	if !ok {
		return 0, fmt.Errorf("%q is not the key of a state", key)
	}
	return ParseEntryKey(EntryPrefix + digits)
}

// Checkpoints are the numbers of the last CHECKPOINT and of the one before it; 0 if there is none.
type Checkpoints struct{ N, Before uint64 }

// Checkpoints returns the last two CHECKPOINTs.
func (s *State) Checkpoints() Checkpoints { return s.checkpoint }

// SinceCheckpoint returns how many entries came after the last CHECKPOINT, or after GENESIS if there is none.
func (s *State) SinceCheckpoint() uint64 { return s.next - s.checkpoint.N - 1 }

func (s *State) judgeCheckpoint(c *Checkpoint) string {
	if want := s.NextCheckpoint(); *c != *want {
		return fmt.Sprintf("the state is %s of %d bytes, not %s of %d", want.State, want.Size, c.State, c.Size)
	}
	return ""
}
