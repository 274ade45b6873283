package tree

import (
	"context"
	"iter"
	"slices"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// ChangeKind says what became of an entry.
type ChangeKind uint8

// The kinds of changes.
const (
	Added    ChangeKind = 1
	Removed  ChangeKind = 2
	Modified ChangeKind = 3
)

// String returns "added", "removed" or "modified".
func (k ChangeKind) String() string {
	return [...]string{"", "added", "removed", "modified"}[min(k, Modified)]
}

// Aspect is a set of ways in which two nodes differ.
type Aspect uint8

// The aspects of a modified entry.
const (
	TypeChanged     Aspect = 1 << iota // a file became a directory, for instance
	ContentChanged                     // content, target or device number; contents cut by different chunkers count as different
	MetadataChanged                    // mode, owner, modification time, extended attributes
	StatusChanged                      // change and access time, device, inode, links, flags
)

// Change is a difference between two trees at one path.
type Change struct {
	Path   string
	Kind   ChangeKind
	Aspect Aspect // of a modified entry
	A, B   *Node  // before and after; nil if there is none
}

// Diff returns what must change in the tree a to make it b, in the order in which Walk visits. A directory that was added or removed
// is followed by all its contents; one whose contents alone changed is not there itself. Directories and parts of directories that
// both share are not read. After an error, which is an *Error or that of ctx, the sequence ends.
func Diff(ctx context.Context, l reftree.Loader, a, b reftree.Pair) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		d := differ{loader: l, yield: yield}
		d.dirs(ctx, "", &a, &b, 1)
	}
}

type differ struct {
	loader reftree.Loader
	yield  func(Change, error) bool
}

func (d *differ) fail(path string, err error) bool {
	d.yield(Change{}, &Error{Path: path, Err: err})
	return false
}

// dirs compares two directories, of which one may be nil, and reports whether to go on.
func (d *differ) dirs(ctx context.Context, path string, a, b *reftree.Pair, depth int) bool {
	if a != nil && b != nil && *a == *b {
		return true
	}
	if tooDeep(path, depth) {
		return d.fail(path, ErrTooDeep)
	}
	ca, err := newDirCursor(ctx, d.loader, a)
	if err != nil {
		return d.fail(path, err)
	}
	cb, err := newDirCursor(ctx, d.loader, b)
	if err != nil {
		return d.fail(path, err)
	}
	for !ca.done() || !cb.done() {
		a, b, err := step(ctx, ca, cb)
		if err != nil {
			return d.fail(path, err)
		}
		if (a != nil || b != nil) && !d.entries(ctx, path, a, b, depth) {
			return false
		}
	}
	return true
}

// entries compares two entries of one name, of which one may be nil.
func (d *differ) entries(ctx context.Context, dir string, a, b *Node, depth int) bool {
	c := Change{A: a, B: b}
	switch {
	case a == nil:
		c.Path, c.Kind = join(dir, b.Name), Added
	case b == nil:
		c.Path, c.Kind = join(dir, a.Name), Removed
	default:
		c.Path, c.Kind = join(dir, a.Name), Modified
		c.Aspect = compare(a, b)
	}
	if (c.Kind != Modified || c.Aspect != 0) && !d.yield(c, nil) {
		return false
	}
	var pa, pb *reftree.Pair
	if a != nil && a.Type == Directory {
		pa = &a.Dir
	}
	if b != nil && b.Type == Directory {
		pb = &b.Dir
	}
	return pa == nil && pb == nil || d.dirs(ctx, c.Path, pa, pb, depth+1)
}

func compare(a, b *Node) (c Aspect) {
	if a.Type != b.Type {
		c |= TypeChanged
	}
	if !a.Content.Equal(&b.Content) || a.Target != b.Target || a.Rdev != b.Rdev {
		c |= ContentChanged
	}
	if a.Mode != b.Mode || a.UID != b.UID || a.GID != b.GID || a.User != b.User || a.Group != b.Group || a.ModTime != b.ModTime ||
		!slices.Equal(a.Xattrs, b.Xattrs) || !slices.Equal(a.XattrChunks, b.XattrChunks) {
		c |= MetadataChanged
	}
	if a.ChangeTime != b.ChangeTime || a.AccessTime != b.AccessTime || a.Device != b.Device || a.Inode != b.Inode ||
		a.Links != b.Links || a.Flags != b.Flags {
		c |= StatusChanged
	}
	return c
}

// step moves both cursors on to what differs: it returns the next entry of either side, or of both if they have the same name. It
// returns neither if it has skipped what both share, or entered a node.
func step(ctx context.Context, a, b *dirCursor) (*Node, *Node, error) {
	ea, ca := a.front()
	eb, cb := b.front()
	switch {
	case ca != nil && cb != nil && ca.pair == cb.pair:
		a.next()
		b.next()
		return nil, nil, nil
	case ea != nil && eb != nil && ea.Name == eb.Name:
		a.next()
		b.next()
		return ea, eb, nil
	case ea != nil && (b.done() || eb != nil && ea.Name < eb.Name || cb != nil && ea.Name <= b.after()):
		a.next()
		return ea, nil, nil
	case eb != nil && (a.done() || ea != nil || ca != nil && eb.Name <= a.after()):
		b.next()
		return nil, eb, nil
	case ca != nil && (cb == nil || ca.last <= b.after() || a.level() >= b.level() && cb.last > a.after()):
		return nil, nil, a.enter(ctx)
	default:
		return nil, nil, b.enter(ctx)
	}
}

// dirCursor is a place in a directory: an entry, or a node that holds the next entries.
type dirCursor struct {
	loader reftree.Loader
	frames []dirFrame
}

type dirFrame struct {
	node  *dirNode
	known expected // of the node
	i     int
}

// newDirCursor returns a cursor at the beginning of a directory; of none if p is nil.
func newDirCursor(ctx context.Context, l reftree.Loader, p *reftree.Pair) (*dirCursor, error) {
	c := &dirCursor{loader: l}
	if p == nil {
		return c, nil
	}
	return c, c.push(ctx, expected{ref: p.Meta, root: true})
}

func (c *dirCursor) push(ctx context.Context, e expected) error {
	n, err := loadDirNode(ctx, c.loader, &e)
	if err == nil && n.len() > 0 {
		c.frames = append(c.frames, dirFrame{node: n, known: e})
	}
	return err
}

func (c *dirCursor) done() bool { return len(c.frames) == 0 }

func (c *dirCursor) top() *dirFrame { return &c.frames[len(c.frames)-1] }

// front returns the entry or the child under the cursor; neither at the end.
func (c *dirCursor) front() (*Node, *child) {
	if c.done() {
		return nil, nil
	}
	t := c.top()
	if t.node.level == 0 {
		return t.node.nodes[t.i], nil
	}
	return nil, &t.node.children[t.i]
}

// level returns the level of the node that the child under the cursor is in.
func (c *dirCursor) level() uint8 { return c.top().node.level }

// after returns a name that all names from the cursor on come after.
func (c *dirCursor) after() string {
	t := c.top()
	if t.i > 0 {
		return t.node.name(t.i - 1)
	}
	return t.known.after
}

// enter goes into the child under the cursor.
func (c *dirCursor) enter(ctx context.Context) error {
	t := c.top()
	return c.push(ctx, t.known.below(t.node, t.i))
}

// next moves the cursor past what is under it.
func (c *dirCursor) next() {
	for len(c.frames) > 0 {
		t := c.top()
		if t.i++; t.i < t.node.len() {
			return
		}
		c.frames = c.frames[:len(c.frames)-1]
	}
}
