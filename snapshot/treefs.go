package snapshot

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// FS returns the tree as a file system for the standard library: for [fs.WalkDir], os.CopyFS, http.FileServerFS, templates and the like.
// It implements [fs.ReadDirFS], [fs.StatFS], [fs.ReadFileFS] and [fs.ReadLinkFS], and is safe for concurrent use.
//
//   - Names that io/fs does not allow or its users do not expect are escaped as [EscapePath] says, in listings, paths and the targets of
//     symlinks, and unescaped when they are looked up. The raw name is in the [*tree.Node] that Sys of an [fs.FileInfo] returns.
//   - Open, Stat, ReadFile and ReadDir follow symlinks, inside the snapshot: the root of the snapshot is the root for absolute targets,
//     and ".." does not lead out of it. A symlink that leads to nothing in the snapshot is opened as itself, with [fs.ModeSymlink]
//     in its mode; reading it is an error. Lstat and ReadLink do not follow the last name.
//   - Files implement [io.ReaderAt] and [io.Seeker]; ReadAt may be called by many goroutines at once. What could not be read at the
//     backup is an [*UnreadError]. Images of disks are regular files; devices and FIFOs are shown as such, and read as empty.
//   - Directories are read as ReadDir(n) asks for them. A part of a directory that cannot be read gives an error beside the rest.
//
// All errors are a [*fs.PathError].
func (t *Tree) FS() fs.FS { return &treeFS{t} }

type treeFS struct{ tree *Tree }

var (
	_ fs.ReadDirFS  = (*treeFS)(nil)
	_ fs.StatFS     = (*treeFS)(nil)
	_ fs.ReadFileFS = (*treeFS)(nil)
	_ fs.ReadLinkFS = (*treeFS)(nil)

	errLinks = errors.New("too many levels of symbolic links")
	errIsDir = errors.New("is a directory")
)

// maxLinks is how many symlinks one path may lead through, as in Linux.
const maxLinks = 40

// Open implements [fs.FS].
func (f *treeFS) Open(name string) (fs.File, error) {
	info, err := f.find("open", name, true)
	if err != nil {
		return nil, err
	}
	switch n := info.node; {
	case n.Type == tree.Directory:
		return &openDir{path: name, info: info, entries: f.tree.entries(n)}, nil
	case n.Type == tree.Symlink:
		return &openLink{path: name, info: info}, nil
	case n.Type.HasContent():
		return &openFile{path: name, info: info, image: NewImage(f.tree.ctx, f.tree.repo, n)}, nil
	default:
		return &openFile{path: name, info: info}, nil
	}
}

// Stat implements [fs.StatFS].
func (f *treeFS) Stat(name string) (fs.FileInfo, error) { return f.info("stat", name, true) }

// Lstat implements [fs.ReadLinkFS].
func (f *treeFS) Lstat(name string) (fs.FileInfo, error) { return f.info("lstat", name, false) }

func (f *treeFS) info(op, name string, follow bool) (fs.FileInfo, error) {
	info, err := f.find(op, name, follow)
	if err != nil {
		return nil, err
	}
	return info, nil
}

// ReadLink implements [fs.ReadLinkFS].
func (f *treeFS) ReadLink(name string) (string, error) {
	info, err := f.find("readlink", name, false)
	if err != nil {
		return "", err
	}
	if info.node.Type != tree.Symlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return EscapePath(info.node.Target), nil
}

// ReadDir implements [fs.ReadDirFS]. The entries are sorted by their names as shown.
func (f *treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	info, err := f.find("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: tree.ErrNotDirectory}
	}
	d := &openDir{path: name, info: info, entries: f.tree.entries(info.node)}
	defer d.Close()
	list, err := d.ReadDir(-1)
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

// ReadFile implements [fs.ReadFileFS]. It takes memory as the data comes, so that a size alone costs nothing.
func (f *treeFS) ReadFile(name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if open, ok := file.(*openFile); ok {
		return open.readAll()
	}
	_, err = file.Read(nil) // of a directory or a symlink: an error
	return nil, err
}

// find returns what an operation's name leads to, without the last symlink if follow is false.
func (f *treeFS) find(op, name string, follow bool) (*fileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	raw, err := UnescapePath(name)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	n, err := f.tree.follow(raw, follow)
	if errors.Is(err, fs.ErrNotExist) {
		err = fs.ErrNotExist // the path is in the error already
	}
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return &fileInfo{name: path.Base(name), node: n}, nil
}

// follow returns the node at a path of raw bytes, through symlinks, as they were the system's if the tree was its root. The last name of
// the path is followed only if last is true, and only if that leads to something.
func (t *Tree) follow(path string, last bool) (*tree.Node, error) {
	w := linkWalk{tree: t, dirs: []*tree.Node{t.root()}, names: strings.Split(path, "/"), last: last}
	for len(w.names) > 0 {
		if err := w.step(); err != nil {
			if w.link != nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, tree.ErrNotDirectory) || errors.Is(err, errLinks)) {
				return w.link, nil
			}
			return nil, err
		}
	}
	return w.top(), nil
}

// linkWalk is a walk along a path with symlinks.
type linkWalk struct {
	tree  *Tree
	dirs  []*tree.Node // the root and those after it; the last may be anything
	names []string     // still to come
	last  bool         // whether a symlink at the end is followed
	links int
	link  *tree.Node // what the path's own last name is, if that is a symlink that is being followed
}

func (w *linkWalk) top() *tree.Node { return w.dirs[len(w.dirs)-1] }

// step takes one name.
func (w *linkWalk) step() error {
	name := w.names[0]
	w.names = w.names[1:]
	if w.top().Type != tree.Directory {
		return tree.ErrNotDirectory
	}
	switch name {
	case "", ".":
		return nil
	case "..":
		w.dirs = w.dirs[:max(1, len(w.dirs)-1)]
		return nil
	}
	n, err := tree.OpenDir(w.tree.repo, w.top().Dir).Lookup(w.tree.ctx, name)
	if err != nil {
		return err
	}
	if n.Type != tree.Symlink || len(w.names) == 0 && !w.last {
		w.dirs = append(w.dirs, n)
		return nil
	}
	if len(w.names) == 0 && w.link == nil {
		w.link = n
	}
	if w.links++; w.links > maxLinks {
		return errLinks
	}
	if strings.HasPrefix(n.Target, "/") {
		w.dirs = w.dirs[:1]
	}
	w.names = append(strings.Split(n.Target, "/"), w.names...)
	return nil
}

// fileInfo is a node as [fs.FileInfo], under the name that it was looked up by.
type fileInfo struct {
	name string // escaped
	node *tree.Node
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) IsDir() bool        { return i.node.Type == tree.Directory }
func (i *fileInfo) ModTime() time.Time { return time.Unix(0, i.node.ModTime).UTC() }
func (i *fileInfo) Sys() any           { return i.node }
func (i *fileInfo) String() string     { return fs.FormatFileInfo(i) }

// Size returns the length of a file in bytes, that of the target as shown of a symlink, and 0 for everything else.
func (i *fileInfo) Size() int64 {
	switch {
	case i.node.Type.HasContent():
		return i.node.Content.Size
	case i.node.Type == tree.Symlink:
		return int64(len(EscapePath(i.node.Target)))
	}
	return 0
}

// Mode translates the bits of st_mode.
func (i *fileInfo) Mode() fs.FileMode {
	n := i.node
	m := fs.FileMode(n.Mode & 0o777)
	for _, bit := range []struct {
		stored uint32
		mode   fs.FileMode
	}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}} {
		if n.Mode&bit.stored != 0 {
			m |= bit.mode
		}
	}
	switch n.Type {
	case tree.Directory:
		m |= fs.ModeDir
	case tree.Symlink:
		m |= fs.ModeSymlink
	case tree.FIFO:
		m |= fs.ModeNamedPipe
	case tree.CharDevice:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case tree.BlockDevice:
		m |= fs.ModeDevice
	}
	return m
}
