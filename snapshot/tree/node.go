package tree

import (
	"fmt"
	"strings"

	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// Type says what a node of the file system is. The numbers are stored and never change meaning.
type Type uint8

// The types of nodes.
const (
	File        Type = 1
	Directory   Type = 2
	Symlink     Type = 3
	FIFO        Type = 4
	CharDevice  Type = 5
	BlockDevice Type = 6
	Image       Type = 7 // a disk or device, read as a file
)

// String returns a short name, such as "file" or "directory", or type(N).
func (t Type) String() string {
	names := [...]string{"", "file", "directory", "symlink", "fifo", "character device", "block device", "image"}
	if t >= File && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// HasContent reports whether nodes of the type have a Content: files and images.
func (t Type) HasContent() bool { return t == File || t == Image }

// Flags says how well a node was read.
type Flags uint8

// The flags of a node.
const (
	Incomplete Flags = 1 // a part could not be read, or it changed while it was read
	Racy       Flags = 2 // its times lie so close to the read that it must be read again next time
)

// Xattr is one extended attribute.
type Xattr struct {
	Name, Value string // any bytes
}

// Node is an entry of a directory. Which of the last fields count depends on Type.
type Node struct {
	Name       string
	Type       Type
	Flags      Flags
	Mode       uint32 // permission bits with setuid, setgid and sticky, as in st_mode & 07777
	UID, GID   uint32
	User       string // name of the owner; may be empty
	Group      string
	ModTime    int64 // ns since 1970, as the other times
	ChangeTime int64
	AccessTime int64
	Device     uint64 // as in stat, to recognise hard links
	Inode      uint64
	Links      uint32

	// Xattrs are the extended attributes, sorted by name. Of a node that was read they are empty if XattrChunks is not: the
	// attributes are kept apart then, and LoadXattrs reads them.
	Xattrs      []Xattr
	XattrChunks []reftree.Ref

	Content content.Content // of a file or an image
	Dir     reftree.Pair    // of a directory
	Target  string          // of a symlink
	Rdev    uint64          // of a device: major << 32 | minor
}

// Validate returns an error that wraps reftree.ErrFormat unless the node can be stored.
func (n *Node) Validate() error {
	if err := n.validateCommon(); err != nil {
		return err
	}
	switch n.Type {
	case File, Image:
		if err := n.Content.Validate(); err != nil {
			return fmt.Errorf("content of %q: %w", n.Name, err)
		}
	case Directory:
		if !validRef(n.Dir.Meta) || !validRef(n.Dir.Map) {
			return malformed("directory %q without nodes", n.Name)
		}
	case Symlink:
		if n.Target == "" || len(n.Target) > MaxTarget || strings.IndexByte(n.Target, 0) >= 0 {
			return malformed("symlink %q with a target of %d bytes", n.Name, len(n.Target))
		}
	}
	return nil
}

func (n *Node) validateCommon() error {
	switch {
	case !ValidName(n.Name):
		return malformed("name %.100q", n.Name)
	case n.Type < File || n.Type > Image:
		return malformed("%q is of %s", n.Name, n.Type)
	case n.Flags > Incomplete|Racy:
		return malformed("%q has flags %#x", n.Name, uint8(n.Flags))
	case n.Mode > 0o7777:
		return malformed("%q has mode %#o", n.Name, n.Mode)
	case len(n.User) > MaxOwner || len(n.Group) > MaxOwner:
		return malformed("owner of %q is longer than %d bytes", n.Name, MaxOwner)
	case len(n.XattrChunks) > 0 && len(n.Xattrs) > 0:
		return malformed("%q has extended attributes both kept apart and not", n.Name)
	}
	if err := validateXattrs(n.Xattrs); err != nil {
		return fmt.Errorf("%q: %w", n.Name, err)
	}
	if err := validateXattrChunks(n.XattrChunks); err != nil {
		return fmt.Errorf("%q: %w", n.Name, err)
	}
	return nil
}

// ValidName reports whether name can be that of an entry: 1 to MaxName bytes without "/" and NUL, and neither "." nor "..".
func ValidName(name string) bool {
	return name != "" && len(name) <= MaxName && name != "." && name != ".." &&
		strings.IndexByte(name, '/') < 0 && strings.IndexByte(name, 0) < 0
}

func validRef(r reftree.Ref) bool { return r.Length > 0 && r.Length <= reftree.MaxChunk }

// appendReferences appends what a reference node says of n.
func (n *Node) appendReferences(refs []reftree.Reference) []reftree.Reference {
	for _, r := range n.XattrChunks {
		refs = append(refs, reftree.Reference{Kind: reftree.RefMeta, Ref: r})
	}
	switch n.Type {
	case File, Image:
		return n.Content.AppendReferences(refs)
	case Directory:
		return append(refs, reftree.Reference{Kind: reftree.RefDirectory, Pair: n.Dir})
	}
	return refs
}
