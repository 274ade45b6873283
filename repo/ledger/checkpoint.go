package ledger

import (
	"bytes"
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
	State crypto.ID // hash of what State.Encode returns
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

// Checkpointed is a CHECKPOINT and what it stands for. Its slices are shared: read only.
type Checkpointed struct {
	N uint64 // number of the entry
	// Before is the number of the CHECKPOINT before this one; 0 if there is none, N if the replay began here, so that it is not known.
	Before uint64
	Entry  []byte
	State  []byte // after the entries before it, encoded
}

// Checkpoint returns the last CHECKPOINT, nil if there is none.
func (s *State) Checkpoint() *Checkpointed { return s.checkpoint }

// encoding is an encoded state.
type encoding struct {
	bytes []byte
	hash  crypto.ID
}

func (s *State) encode() *encoding {
	if s.encoding == nil {
		b := s.appendState(nil)
		s.encoding = &encoding{bytes: b, hash: crypto.Hash(b)}
	}
	return s.encoding
}

// Encode returns the state as it is now, as a CHECKPOINT that comes next would stand for it, and that CHECKPOINT. Everybody encodes it alike, with keys
// or without. The bytes are shared: read only.
func (s *State) Encode() ([]byte, *Checkpoint) {
	e := s.encode()
	return e.bytes, &Checkpoint{State: e.hash, Size: uint64(len(e.bytes))}
}

// keepCheckpoint notes a valid CHECKPOINT.
func (s *State) keepCheckpoint(e *Entry) {
	c := &Checkpointed{N: e.N, Entry: bytes.Clone(e.raw), State: s.encode().bytes}
	if s.checkpoint != nil {
		c.Before = s.checkpoint.N
	}
	s.checkpoint = c
}

// SinceCheckpoint returns how many entries came after the last CHECKPOINT, or after GENESIS if there is none.
func (s *State) SinceCheckpoint() uint64 {
	if s.checkpoint == nil {
		return s.next - 1
	}
	return s.next - s.checkpoint.N - 1
}

func (s *State) judgeCheckpoint(c *Checkpoint) string {
	if e := s.encode(); c.State != e.hash || c.Size != uint64(len(e.bytes)) {
		return fmt.Sprintf("the state is %s, not %s", e.hash, c.State)
	}
	return ""
}
