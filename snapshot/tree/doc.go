// Package tree keeps directories and the nodes of a file system: names, attributes, and where their contents are.
//
// A directory is a Merkle tree over its entries in the order of the bytes of their names (docs/format.md, sections 10 and 11).
// Where its nodes end depends on the names, so one entry changed in a folder of millions rewrites a few nodes, and no folder is
// too large for memory. Beside each directory node (class META) stands its reference node (class MAP), which says without names
// what the entries need; both are named by a reftree.Pair.
//
// DirBuilder makes a directory; Dir, Walk, Resolve and Diff read; Check proves that reference nodes say what the directory nodes
// say. Names are raw bytes in Go strings, whatever their encoding; paths are names joined by "/", without one in front.
//
// What is read is checked against what the node above says of it, so no tree, however it was made, leads to unbounded memory; one
// made to have more paths than anybody can walk is left by its context. Nodes are read through a reftree.Loader, and whoever wants
// a cache puts it there. Functions may be called by many goroutines at once.
package tree

import (
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// Bounds of the format.
const (
	MaxName     = 4096     // bytes of a name
	MaxOwner    = 1024     // bytes of the name of a user or a group
	MaxTarget   = 64 << 10 // bytes of the target of a symlink
	MaxXattr    = 1024     // bytes of the name of an extended attribute
	MaxXattrs   = 16 << 20 // bytes of all extended attributes of a node, encoded
	MaxDepth    = 4096     // directories inside one another, the root being the first
	MaxPath     = 64 << 10 // bytes of the path of a directory
	inlineXattr = 4 << 10  // bytes of encoded extended attributes that are kept in the node
	xattrChunk  = 256 << 10
	maxNodeSize = 128 << 10 // bytes of entries after which a directory node ends
)

var (
	// ErrOrder reports names that are not in strictly ascending order.
	ErrOrder = errors.New("names are not in ascending order")
	// ErrFinished is returned by a DirBuilder after Finish.
	ErrFinished = errors.New("directory is finished")
	// ErrNotDirectory reports a path that goes through something that is not a directory.
	ErrNotDirectory = errors.New("not a directory")
	// ErrTooDeep reports more than MaxDepth directories inside one another, or one whose path is longer than MaxPath.
	ErrTooDeep = errors.New("directories are nested too deeply")
	// ErrReferences reports a reference node that does not say what the directory node beside it says.
	ErrReferences = errors.New("reference node does not match its directory node")
)

// Error reports a directory that cannot be read, or a path that cannot be resolved. Err is what the Loader returned, one of this
// package's errors, fs.ErrNotExist, or wraps reftree.ErrFormat if the tree is not a valid one.
type Error struct {
	Path string // of the directory; empty for the root
	Err  error
}

// Error describes the error.
func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("root directory: %v", e.Err)
	}
	return fmt.Sprintf("%q: %v", e.Path, e.Err)
}

// Unwrap returns the error itself.
func (e *Error) Unwrap() error { return e.Err }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", reftree.ErrFormat, fmt.Sprintf(format, args...))
}

func tooDeep(path string, depth int) bool { return depth > MaxDepth || len(path) > MaxPath }

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
