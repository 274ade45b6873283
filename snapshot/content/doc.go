// Package content keeps the map of one content, such as a file or a disk: which chunk, hole or unread range is where.
//
// A content of few spans is described in line. A larger one has a content map (docs/format.md, section 9): a Merkle tree whose
// nodes end where the ids themselves say so. Equal sequences of spans give equal trees, however they were put together, and
// sequences that differ in k places share all but O(k log n) nodes. A Builder makes a map, taking over whole subtrees of an older
// one where it can; a Map reads one at any offset; Diff finds where two may differ without reading what they share.
//
// Offsets and lengths are in bytes. What is read is checked against what the node above says of it, so that no map, however it
// was made, leads outside the size in its descriptor, into an endless loop or to unbounded memory.
package content

import "fmt"

// Error reports a content map that cannot be read. Err is what the Loader returned, or wraps reftree.ErrFormat if the map is
// not a valid one.
type Error struct {
	Offset int64 // in the content, where the node that is concerned starts
	Err    error
}

// Error describes the error.
func (e *Error) Error() string { return fmt.Sprintf("content map at offset %d: %v", e.Offset, e.Err) }

// Unwrap returns the error itself.
func (e *Error) Unwrap() error { return e.Err }
