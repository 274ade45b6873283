package restore

import (
	"io/fs"
	"strings"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// identity tells a file from every other one on this machine. It is zero where the system has none.
type identity struct{ device, inode uint64 }

// stat is what is known of something in the target.
type stat struct {
	typ      tree.Type // 0 for what no snapshot holds, such as sockets
	mode     uint32    // st_mode & 07777
	uid, gid uint32
	size     int64
	modTime  int64 // ns since 1970
	id       identity
	links    uint64
}

// pathError names an operation and a path in the tree.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// validName reports whether a name leads into the folder it is looked up in, and nowhere else.
func validName(name string) bool {
	return tree.ValidName(name) && !strings.ContainsAny(name, forbiddenInNames) && isLocal(name)
}
