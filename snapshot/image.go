package snapshot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// UnreadError reports a range of a file that could not be read when it was backed up, so that the snapshot does not have it.
type UnreadError struct {
	// Offset and Length are the range in bytes; a Length of 0 is everything from Offset on, however much that is.
	Offset, Length int64
	// Err is why, when the backup is running; nil later.
	Err error
}

// Error names the range.
func (e *UnreadError) Error() string {
	if e.Err != nil && e.Length == 0 {
		return fmt.Sprintf("what follows offset %d cannot be read: %v", e.Offset, e.Err)
	}
	if e.Err != nil {
		return fmt.Sprintf("%d bytes at offset %d cannot be read: %v", e.Length, e.Offset, e.Err)
	}
	return fmt.Sprintf("%d bytes at offset %d could not be read when this was backed up", e.Length, e.Offset)
}

// Unwrap returns the cause.
func (e *UnreadError) Unwrap() error { return e.Err }

// Image is a file of a snapshot as bytes at offsets. It is safe for concurrent use.
type Image struct {
	ctx  context.Context
	repo *repo.Repository
	node *tree.Node
	m    *content.Map
	last atomic.Pointer[loaded]
}

// loaded is a chunk that was verified: small reads in a row need it again and again.
type loaded struct {
	id    repo.ID
	bytes []byte
}

// OpenImage opens the file of a snapshot at a path, whose leading slash may be missing. With an empty path the snapshot must hold one
// file only, which is opened. ctx bounds every read. Errors wrap [io/fs.ErrNotExist], [ErrNotFile] or those of the repository.
func OpenImage(ctx context.Context, r *repo.Repository, id repo.ID, path string) (*Image, error) {
	m, err := Find(ctx, r, id.String(), nil)
	if err != nil {
		return nil, err
	}
	var n *tree.Node
	if path == "" {
		path, n, err = OnlyFile(ctx, r, m)
	} else {
		n, err = tree.Resolve(ctx, r, m.Root, path)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", m.ShortID(), err)
	}
	if !n.Type.HasContent() {
		return nil, fmt.Errorf("snapshot %s: %s is a %s: %w", m.ShortID(), path, n.Type, ErrNotFile)
	}
	return NewImage(ctx, r, n), nil
}

// ErrNotFile is returned when a path of a snapshot names something without contents.
var ErrNotFile = errors.New("not a file")

// NewImage opens the content of a node, which must have one.
func NewImage(ctx context.Context, r *repo.Repository, n *tree.Node) *Image {
	return &Image{ctx: ctx, repo: r, node: n, m: content.NewMap(r, n.Content)}
}

// Size returns the number of bytes.
func (im *Image) Size() int64 { return im.node.Content.Size }

// Node describes the file. It must not be changed.
func (im *Image) Node() *tree.Node { return im.node }

// ReadAt implements [io.ReaderAt]. Holes read as zeros; what could not be read at the backup is an [*UnreadError].
func (im *Image) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading at negative offset %d", off)
	}
	left := max(0, im.Size()-off)
	short := int64(len(p)) > left
	if short {
		p = p[:left]
	}
	end := off + int64(len(p))
	for s, err := range im.m.Spans(im.ctx, off, int64(len(p))) {
		if err == nil {
			err = im.fill(p, off, end, &s)
		}
		if err != nil {
			return int(max(s.Offset, off) - off), err
		}
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// fill copies what a span has of [off, end) to p, which starts at off.
func (im *Image) fill(p []byte, off, end int64, s *content.Placed) error {
	from, to := max(s.Offset, off), min(s.End(), end)
	switch s.Kind {
	case reftree.Hole:
		clear(p[from-off : to-off])
		return nil
	case reftree.Unread:
		return &UnreadError{Offset: s.Offset, Length: s.Length}
	}
	chunk, err := im.chunk(s.ID, uint32(s.Length))
	if err != nil {
		return err
	}
	for at := from; at < to; {
		at += int64(copy(p[at-off:to-off], chunk[(at-s.Offset)%s.Length:]))
	}
	return nil
}

func (im *Image) chunk(id repo.ID, length uint32) ([]byte, error) {
	if l := im.last.Load(); l != nil && l.id == id {
		return l.bytes, nil
	}
	b, err := im.repo.Load(im.ctx, repo.Data, id, length)
	if err == nil {
		im.last.Store(&loaded{id, b})
	}
	return b, err
}

// OnlyFile returns the path and node of the one file that a snapshot holds. If there are none or several the error wraps [ErrNotFile].
func OnlyFile(ctx context.Context, r *repo.Repository, m *Manifest) (string, *tree.Node, error) {
	var path string
	var node *tree.Node
	err := tree.Walk(ctx, r, m.Root, func(p string, n *tree.Node, err error) error {
		switch {
		case err != nil:
			return err
		case n.Type == tree.Directory:
			return nil
		case node != nil:
			return fmt.Errorf("%w: it holds /%s, /%s and perhaps more: say which", ErrNotFile, path, p)
		}
		path, node = p, n
		return nil
	})
	if err == nil && node == nil {
		err = fmt.Errorf("%w: it holds none", ErrNotFile)
	}
	return path, node, err
}

// SplitPath splits "ID:path" into the name of a snapshot and a path in it, which is empty if there is none.
func SplitPath(s string) (name, path string) {
	name, path, _ = strings.Cut(s, ":")
	return name, path
}
