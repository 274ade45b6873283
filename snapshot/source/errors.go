package source

import (
	"errors"
	"fmt"
	"io/fs"
)

// Problem says what kept an entry of a tree from being read.
type Problem uint8

// The problems, from the worst for a backup to the least.
const (
	Unreadable  Problem = iota + 1 // it is there, and permissions or an I/O error are in the way
	Replaced                       // it is no longer the file that was looked at
	Missing                        // it is not, or no longer, there
	Unsupported                    // it is a socket, or something else that is not stored: a note, not a failure
)

// String returns the problem as an adjective.
func (p Problem) String() string {
	switch p {
	case Unreadable:
		return "unreadable"
	case Replaced:
		return "replaced"
	case Missing:
		return "missing"
	case Unsupported:
		return "unsupported"
	}
	return fmt.Sprintf("problem(%d)", uint8(p))
}

// EntryError reports one path of a tree that was left out. The rest of the tree can still be read.
type EntryError struct {
	Op      string // what was tried: "lstat", "open", "readdir", ...
	Path    string // absolute; may be longer than the system allows, and need not be UTF-8
	Problem Problem
	Err     error
}

// Error names the operation, the path and the cause.
func (e *EntryError) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// Causes that an EntryError may have besides those of the system.
var (
	// ErrType reports an entry of a type that is not stored, a socket for example.
	ErrType = errors.New("type is not stored")
	// ErrReplaced reports an entry that became another one between being looked at and being opened.
	ErrReplaced = errors.New("replaced by another file")
)

var errSocket = fmt.Errorf("socket: %w", ErrType)

// entryError wraps err, whose meaning decides the problem. Errors of a context and nil stay as they are.
func entryError(op, path string, err error) error {
	if err == nil || isContext(err) {
		return err
	}
	p := Unreadable
	switch {
	case errors.Is(err, ErrType):
		p = Unsupported
	case errors.Is(err, ErrReplaced), errors.Is(err, errNotDir), errors.Is(err, errLoop):
		p = Replaced
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errStale):
		p = Missing
	}
	return &EntryError{Op: op, Path: path, Problem: p, Err: bare(err)}
}

// bare returns an error of the system without the path: whoever reports it says that better, and in full.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// ChangedError reports a source that was written to while it was read.
type ChangedError struct {
	Path string
	Why  string
}

// Error names the path and what gave the change away.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s changed while it was read: %s", e.Path, e.Why)
}

// InUseError reports a device or an image that somebody may be writing to.
type InUseError struct {
	Path string
	Why  string
}

// Error names the path and who uses it.
func (e *InUseError) Error() string { return fmt.Sprintf("%s is in use: %s", e.Path, e.Why) }
