package chunk

import (
	"errors"
	"fmt"
)

// Kind names a chunking algorithm. The numbers are stored on disk and never
// change meaning.
type Kind uint8

// The kinds of chunkers; the package documentation specifies each.
const (
	// Aligned cuts by content, only on the 4 KiB grid file systems allocate on.
	// It is meant for disks and devices.
	Aligned Kind = 1
	// Gear cuts by content at any byte. It is meant for streams and files.
	Gear Kind = 2
	// Rabin cuts by content at any byte, with Rabin fingerprints: slower than
	// Gear, and the conservative choice.
	Rabin Kind = 3
	// Fixed cuts every Mean bytes.
	Fixed Kind = 4
)

// Errors that New, ParseKind and Params.Validate wrap.
var (
	// ErrKind reports a kind that this package does not know.
	ErrKind = errors.New("unknown chunker kind")
	// ErrMean reports a mean chunk size that the kind does not allow.
	ErrMean = errors.New("bad mean chunk size")
	// ErrSecret reports a missing secret.
	ErrSecret = errors.New("chunker needs a secret")
)

// String returns the name that ParseKind reads, or kind(N) for an unknown kind.
func (k Kind) String() string {
	switch k {
	case Aligned:
		return "aligned"
	case Gear:
		return "gear"
	case Rabin:
		return "rabin"
	case Fixed:
		return "fixed"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind returns the kind named s: "aligned", "gear", "rabin" or "fixed".
// Any other name gives an error that wraps ErrKind.
func ParseKind(s string) (Kind, error) {
	for k := Aligned; k <= Fixed; k++ {
		if s == k.String() {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrKind, s)
}
