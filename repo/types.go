package repo

import (
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// ID names a chunk, a snapshot or an object: 32 bytes, printed as 64 hexadecimal digits.
type ID = crypto.ID

// Class says what a chunk holds, and so who can read it.
type Class = crypto.Class

// The classes of chunks.
const (
	// Data chunks hold the contents of files. Readers can open them.
	Data = crypto.Data
	// Meta chunks hold names and attributes. Readers can open them.
	Meta = crypto.Meta
	// Map chunks hold content maps and reference nodes: ids and lengths. Everybody but an auditor can open them.
	Map = crypto.Map
)

// Ref names a chunk and its length in bytes.
type Ref = reftree.Ref

// Pair is the root of a tree: a directory node (class META) and its reference node (class MAP).
type Pair = reftree.Pair

// ParseID parses 64 hexadecimal digits.
func ParseID(s string) (ID, error) { return crypto.ParseID(s) }
