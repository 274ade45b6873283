package pack

import (
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// ErrFull is returned by Builder.Add when the segment does not fit any more.
var ErrFull = errors.New("the pack is full")

// ErrHash is wrapped when the bytes of a pack do not have the hash that its name, or its directory, gives.
var ErrHash = errors.New("the hash does not match")

// FormatError says that a pack, or a segment of it, is not as the format wants it: damaged, truncated, forged, or sealed
// with another key. Err wraps crypto.ErrAuth, wire.ErrFormat, wire.ErrVersion, ErrHash or io.ErrUnexpectedEOF.
type FormatError struct {
	Offset int64 // in bytes from the start of the pack, of the part that is wrong
	Err    error
}

// Error gives the offset and the cause.
func (e *FormatError) Error() string { return fmt.Sprintf("at byte %d: %v", e.Offset, e.Err) }

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// formatf makes a FormatError that wraps wire.ErrFormat.
func formatf(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, Err: fmt.Errorf("%w: %s", wire.ErrFormat, fmt.Sprintf(format, args...))}
}
