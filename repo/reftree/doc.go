// Package reftree holds the nodes of class MAP: what a snapshot refers to, without a name or a byte of its contents.
//
// There are two kinds of node (docs/format.md, sections 9 and 10). A content map node describes a part of one file as spans, or
// as children that are nodes themselves. A reference node stands beside a directory node and lists what its entries need.
// References and Walk find all chunks that a snapshot needs from these alone, so that marking, rechecking and collecting
// neither know what a file is nor need the keys to names.
//
// Every structure has exactly one encoding, and decoders refuse any other: neighbours that should have been merged, a node
// that goes on past its end, sums that overflow, bytes left over. Decoders allocate in proportion to their input. All values
// are plain data; functions may be called by many goroutines at once.
package reftree

import (
	"context"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// ID names a chunk; see crypto.ID.
type ID = crypto.ID

// Class is the class of a chunk; see crypto.Class.
type Class = crypto.Class

// The classes of chunks.
const (
	Data = crypto.Data
	Meta = crypto.Meta
	Map  = crypto.Map
)

// Bounds of the format.
const (
	// MinEntries is how many entries a node has before one of them may end it.
	MinEntries = 8
	// MaxEntries is how many entries a node has at most.
	MaxEntries = 128
	// MaxLevel is the highest level of a node; nodes at level 0 have no children.
	MaxLevel = 16
	// MaxInline is how many spans a content has at most without a content map.
	MaxInline = 8
	// MaxChunk is the length of the longest chunk in bytes.
	MaxChunk = 16 << 20
	// MaxSize is the length in bytes of the longest content, and of the longest span.
	MaxSize = 1<<62 - 1
)

// ErrFormat is wrapped by every error about bytes that are not a valid encoding.
var ErrFormat = wire.ErrFormat

// Saver stores chunks: the writing side of a repository.
type Saver interface {
	// Save stores p as a chunk of the class, unless it is known already, and returns its id. It does not keep p.
	Save(ctx context.Context, class Class, p []byte) (ID, error)
}

// Loader reads chunks: the reading side of a repository. It is safe for concurrent use.
type Loader interface {
	// Load returns the chunk of that class, id and length in bytes, verified. Nobody changes the returned bytes afterwards.
	Load(ctx context.Context, class Class, id ID, length uint32) ([]byte, error)
}
