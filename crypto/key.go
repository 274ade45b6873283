package crypto

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// errSecret refuses to turn a secret into text.
var errSecret = errors.New("crypto: a secret is not marshalled")

// Key is a 32-byte secret. fmt and slog print it as "[key]", and it refuses to be marshalled as text or JSON. As an array it has
// two gaps, which fmt leaves no way to close: the verbs %p and %w (vet refuses them), and an unexported field of type Key or *Key
// when the struct around it is printed (give that struct a Format method).
type Key [32]byte

// NewKey returns 32 random bytes.
func NewKey() Key {
	var k Key
	rand.Read(k[:])
	return k
}

// String returns "[key]".
func (Key) String() string { return "[key]" }

// GoString returns "[key]".
func (Key) GoString() string { return "[key]" }

// Format writes "[key]" whatever the verb.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, "[key]") }

// LogValue returns "[key]".
func (Key) LogValue() slog.Value { return slog.StringValue("[key]") }

// MarshalText fails.
func (Key) MarshalText() ([]byte, error) { return nil, errSecret }

// veiled holds a secret where no printer follows: methods of unexported fields are never called, pointers in them may be
// followed, but a func prints as an address.
type veiled[T any] func() *T

func veil[T any](v *T) veiled[T] { return func() *T { return v } }

// hidden is embedded in structs that hold secrets, so that they print as a placeholder and are not marshalled.
type hidden struct{}

// String returns "[secret]".
func (hidden) String() string { return "[secret]" }

// GoString returns "[secret]".
func (hidden) GoString() string { return "[secret]" }

// Format writes "[secret]" whatever the verb.
func (hidden) Format(f fmt.State, _ rune) { io.WriteString(f, "[secret]") }

// LogValue returns "[secret]".
func (hidden) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalText fails.
func (hidden) MarshalText() ([]byte, error) { return nil, errSecret }

// equal compares secrets in constant time.
func equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }
