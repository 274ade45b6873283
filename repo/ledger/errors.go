package ledger

import (
	"errors"
	"fmt"
)

// What a CorruptError wraps, besides wire.ErrFormat for bytes that do not decode and crypto.ErrAuth for a signature that does
// not verify.
var (
	// ErrNumber: the entry has another number than its place in the chain.
	ErrNumber = errors.New("wrong number")
	// ErrPrevious: the entry does not follow the one before it.
	ErrPrevious = errors.New("does not follow the entry before it")
	// ErrActor: the entry's actor was never admitted.
	ErrActor = errors.New("written by an actor that was never admitted")
	// ErrGenesis: entry 0 is not a GENESIS that stands for itself.
	ErrGenesis = errors.New("not a valid GENESIS")
	// ErrProgress: the progress record does not belong to its session.
	ErrProgress = errors.New("not a progress record of its session")
)

// ErrTooLarge is wrapped when an entry would be, or is, larger than MaxEntry.
var ErrTooLarge = errors.New("entry is too large")

// ErrInvalid is wrapped when New is asked for a body that no decoder would accept.
var ErrInvalid = errors.New("invalid entry body")

// ErrNoKey is wrapped by Unseal when the opener does not hold the epoch's key.
var ErrNoKey = errors.New("key not held")

// CorruptError says that the bytes given for entry (or progress record) N cannot be that entry.
type CorruptError struct {
	N   uint64 // the number that was expected
	Err error  // why
}

// Error implements error.
func (e *CorruptError) Error() string { return fmt.Sprintf("entry %d: %v", e.N, e.Err) }

// Unwrap returns the reason.
func (e *CorruptError) Unwrap() error { return e.Err }

// UnknownTypeError says that ledger entry N is sound, but of a type that this version cannot apply.
type UnknownTypeError struct {
	N    uint64
	Type Type
}

// Error implements error.
func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("entry %d is a %v, which this version does not know: written by a newer version", e.N, e.Type)
}

// VoidError says why an entry would be void. Check and Next return it.
type VoidError struct {
	Type Type
	Why  string
}

// Error implements error.
func (e *VoidError) Error() string { return fmt.Sprintf("%v would be void: %s", e.Type, e.Why) }
