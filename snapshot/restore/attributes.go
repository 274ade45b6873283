package restore

import (
	"errors"
	"os"
	"os/user"
	"slices"
	"strconv"
	"sync"

	"github.com/pkg/xattr"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// attributes sets owners, permissions, times and extended attributes. It is safe for concurrent use.
type attributes struct {
	owner   bool // set owners
	xattrs  bool // set extended attributes
	byName  bool // owners by name, if this system knows the names
	root    bool
	failure func(path string, err error)
	note    func(path string, err error)

	mu     sync.Mutex
	users  map[string]int
	groups map[string]int
}

// set gives e the attributes of n, in the order in which none undoes another: owner, extended attributes, permissions, times.
func (a *attributes) set(path string, e *entry, n *tree.Node, list []tree.Xattr) {
	mode := n.Mode
	if !a.setOwner(path, e, n) {
		mode &^= 0o6000 // setuid and setgid mean nothing, or worse, with another owner
	}
	if a.xattrs {
		a.setXattrs(path, e, list, n.Type == tree.Symlink)
	}
	if n.Type != tree.Symlink {
		a.check(path, "chmod", e.chmod(mode))
	}
	access := n.AccessTime
	if access == 0 {
		access = n.ModTime // not kept
	}
	a.check(path, "utimes", e.setTimes(access, n.ModTime))
}

func (a *attributes) check(path, op string, err error) {
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		a.failure(path, pathError(op, path, err))
	}
}

// exposed reports whether somebody may have the file in the place of n open who may not open it once it is restored. He could go on
// reading and writing it, so it must not be filled.
func (a *attributes) exposed(n *tree.Node, st *stat) bool {
	const others = 0o077
	if st.mode&^n.Mode&others != 0 {
		return true
	}
	if !a.owner || !a.root {
		return false
	}
	uid, gid := a.ownerOf(n)
	return int(st.uid) != uid && int(st.uid) != os.Geteuid() || int(st.gid) != gid && st.mode&0o070 != 0
}

// setOwner reports whether the owner is the right one now. Not being allowed to is no failure unless root.
func (a *attributes) setOwner(path string, e *entry, n *tree.Node) bool {
	uid, gid := a.ownerOf(n)
	if !a.owner {
		return uid == os.Geteuid() && gid == os.Getegid()
	}
	err := e.chown(uid, gid)
	if err == nil {
		return true
	}
	if !a.root && isDenied(err) {
		_ = e.chown(keep, gid) // a group that we are in can be had
		return false
	}
	a.check(path, "chown", err)
	return false
}

// ownerOf returns who n belongs to on this system.
func (a *attributes) ownerOf(n *tree.Node) (uid, gid int) {
	uid, gid = int(n.UID), int(n.GID)
	if a.byName {
		uid, gid = a.idOf(&a.users, n.User, uid, lookupUser), a.idOf(&a.groups, n.Group, gid, lookupGroup)
	}
	return uid, gid
}

// idOf returns the id that a name has here, or else the one given.
func (a *attributes) idOf(known *map[string]int, name string, id int, lookup func(string) (string, error)) int {
	if name == "" {
		return id
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if found, ok := (*known)[name]; ok {
		if found < 0 {
			return id
		}
		return found
	}
	found := -1
	if s, err := lookup(name); err == nil {
		if v, err := strconv.ParseUint(s, 10, 31); err == nil {
			found = int(v)
		}
	}
	if *known == nil || len(*known) >= maxNames {
		*known = map[string]int{}
	}
	(*known)[name] = found
	if found < 0 {
		return id
	}
	return found
}

// maxNames bounds the memory for names in a tree with hostile owners.
const maxNames = 1 << 16

func lookupUser(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func lookupGroup(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// setXattrs gives e the extended attributes of the list, and takes those away that belong to what is restored and are not in it.
func (a *attributes) setXattrs(path string, e *entry, list []tree.Xattr, link bool) {
	if !xattr.XATTR_SUPPORTED || e.file == nil && e.xattrPath() == "" {
		if len(list) > 0 {
			a.note(path, pathError("setxattr", path, errors.ErrUnsupported))
		}
		return
	}
	have, err := e.listXattrs()
	if err != nil && len(list) == 0 {
		return // there are none on this file system
	}
	for _, name := range have {
		wanted := slices.ContainsFunc(list, func(x tree.Xattr) bool { return x.Name == name })
		if !wanted && ownXattr(name) {
			a.checkXattr(path, name, "removexattr", e.removeXattr(name))
		}
	}
	for i := range list {
		err := e.setXattr(list[i].Name, []byte(list[i].Value))
		if err != nil && link && isDenied(err) {
			err = nil // symlinks cannot have the user's attributes here
		}
		a.checkXattr(path, list[i].Name, "setxattr", err)
	}
}

// checkXattr takes what nobody can do here, or only root, as a note.
func (a *attributes) checkXattr(path, name, op string, err error) {
	switch {
	case err == nil:
	case errors.Is(err, errors.ErrUnsupported), !a.root && privilegedXattr(name) && isDenied(err):
		a.note(path, pathError(op+" "+strconv.Quote(name), path, err))
	default:
		a.failure(path, pathError(op+" "+strconv.Quote(name), path, err))
	}
}

func (e *entry) listXattrs() ([]string, error) {
	if e.file != nil {
		names, err := xattr.FList(e.file)
		return names, cause(err)
	}
	list := xattr.LList
	if e.path != "" {
		list = xattr.List
	}
	names, err := list(e.xattrPath())
	return names, cause(err)
}

func (e *entry) setXattr(name string, value []byte) error {
	if e.file != nil {
		return cause(xattr.FSet(e.file, name, value))
	}
	set := xattr.LSet
	if e.path != "" {
		set = xattr.Set
	}
	return cause(set(e.xattrPath(), name, value))
}

func (e *entry) removeXattr(name string) error {
	if e.file != nil {
		return cause(xattr.FRemove(e.file, name))
	}
	remove := xattr.LRemove
	if e.path != "" {
		remove = xattr.Remove
	}
	return cause(remove(e.xattrPath(), name))
}

// cause takes the path off an error, which is one that means nothing to anyone.
func cause(err error) error {
	if xe, ok := errors.AsType[*xattr.Error](err); ok {
		return xe.Err
	}
	return err
}
