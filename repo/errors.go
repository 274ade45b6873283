package repo

import (
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

var (
	// ErrNoRepository is returned when the place holds no repository.
	ErrNoRepository = errors.New("no repository here")
	// ErrRepositoryExists is returned by Init when there is a repository already.
	ErrRepositoryExists = errors.New("there is a repository here already")
	// ErrWrongCredential is returned when no key slot opens with the credential given.
	ErrWrongCredential = errors.New("wrong password or key")
	// ErrNoSlot is returned when the repository has no key slot of the credential's kind.
	ErrNoSlot = errors.New("no key slot takes this kind of key")
	// ErrNotFound is returned for chunks and snapshots that the repository does not have.
	ErrNotFound = errors.New("not in the repository")
	// ErrDeleted is returned when a forgotten snapshot cannot be taken back.
	ErrDeleted = errors.New("what only forgotten snapshots needed was deleted since")
	// ErrProtected is returned when a snapshot is protected, so that it cannot be forgotten.
	ErrProtected = errors.New("it is protected; 'holdfast unprotect' ends that")
	// ErrNotProtected is returned when a snapshot is to be unprotected that is not protected.
	ErrNotProtected = errors.New("it is not protected")
	// ErrAmbiguous is returned when a prefix names more than one thing.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrSessionEnded is returned when a session was closed or revoked by somebody else, or has failed.
	ErrSessionEnded = errors.New("the session has ended")
	// ErrLedgerLost is wrapped when an entry of the ledger is lost, and is in no cache or copy that could prove to have it.
	ErrLedgerLost = errors.New("it was found nowhere else")
	// ErrRolledBack is returned when the ledger is older than, or differs from, what this client has seen before.
	ErrRolledBack = errors.New("the repository is older than when it was last seen here")
	// ErrNotAllowed is returned when the opened key slot's role may not do what was asked.
	ErrNotAllowed = errors.New("not allowed for this key")
	// ErrSingleWriter is returned when a store cannot keep several writers apart as the repository demands.
	ErrSingleWriter = errors.New("the store cannot create objects atomically")
	// ErrVersion is wrapped when an object is of a format version that this program does not know.
	ErrVersion = wire.ErrVersion
)

// CorruptError reports stored bytes that are not what was written, are missing, or, if it wraps [ErrVersion], are of a version of the format that
// this program does not know.
type CorruptError struct {
	// Key is the object's key.
	Key string
	// Offset is where in the object the damaged part starts, in bytes, or -1 for the object as a whole.
	Offset int64
	// Chunk is the chunk that was wanted; zero if none in particular.
	Chunk ID
	// Err is the cause.
	Err error
}

// Error names the object, the place and the chunk.
func (e *CorruptError) Error() string {
	where := e.Key
	if e.Offset >= 0 {
		where = fmt.Sprintf("%s at byte %d", where, e.Offset)
	}
	if !e.Chunk.IsZero() {
		where = fmt.Sprintf("%s (chunk %s)", where, e.Chunk)
	}
	if errors.Is(e.Err, ErrVersion) {
		return fmt.Sprintf("%s cannot be read: %v", where, e.Err)
	}
	return fmt.Sprintf("%s is damaged: %v", where, e.Err)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// FeatureError reports features that this program does not know.
type FeatureError struct {
	// Use is what was refused: "reading", "writing" or "collecting".
	Use string
	// Features are the unknown ones.
	Features []string
}

// Error names the features.
func (e *FeatureError) Error() string {
	return fmt.Sprintf("%s needs features that this program does not know: %v; use a newer version", e.Use, e.Features)
}
