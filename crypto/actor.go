package crypto

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
)

// Actor is the public side of a slot's signing key (Ed25519).
type Actor struct {
	Public [32]byte
}

// ActorID is the short name of an actor: the first 16 bytes of the hash of its public key.
type ActorID [16]byte

// String returns id as 32 lower-case hexadecimal digits.
func (id ActorID) String() string { return hex.EncodeToString(id[:]) }

// ID returns the actor's short name.
func (a Actor) ID() ActorID {
	h := Hash(a.Public[:])
	return ActorID(h[:16])
}

// Verify checks a signature that Keyring.Sign made with the same context and message. The error wraps ErrAuth.
func (a Actor) Verify(context string, msg, sig []byte) error {
	if len(sig) != ed25519.SignatureSize || !ed25519.Verify(a.Public[:], signedBytes(context, msg), sig) {
		return fmt.Errorf("%w: signature of actor %s", ErrAuth, a.ID())
	}
	return nil
}

func signedBytes(context string, msg []byte) []byte {
	b := make([]byte, 0, len(context)+1+len(msg))
	b = append(b, context...)
	b = append(b, 0)
	return append(b, msg...)
}
