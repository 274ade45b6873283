package snapshot

import (
	"slices"

	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// newNode makes the node of an entry, without its content. The numbers of types are those of the format in both.
func newNode(e *source.Entry, atime bool) *tree.Node {
	n := &tree.Node{
		Name: e.Name, Type: tree.Type(e.Type), Mode: e.Mode, UID: e.UID, GID: e.GID, User: e.User, Group: e.Group,
		ModTime: e.MTime, ChangeTime: e.CTime, Device: e.Device, Inode: e.Inode, Links: e.Links, Target: e.Target, Rdev: e.RDev,
	}
	if atime {
		n.AccessTime = e.ATime
	}
	for _, x := range e.Xattrs {
		n.Xattrs = append(n.Xattrs, tree.Xattr{Name: x.Name, Value: string(x.Value)})
	}
	return n
}

// sameAttributes reports whether two nodes have the same metadata. Large extended attributes are kept apart in one that was read, and
// are not compared: changing them changes the time of change.
func sameAttributes(a, b *tree.Node) bool {
	return a.Type == b.Type && a.Flags == b.Flags && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.User == b.User && a.Group == b.Group &&
		a.ModTime == b.ModTime && a.ChangeTime == b.ChangeTime && a.Inode == b.Inode && a.Links == b.Links &&
		(len(b.XattrChunks) > 0 || slices.Equal(a.Xattrs, b.Xattrs))
}
