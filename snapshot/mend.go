package snapshot

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// Lost is something of a snapshot that the repository does not have any more.
type Lost struct {
	// Path is the entry's; of a folder that cannot be read whole, it is the folder's.
	Path string
	// Range is what is lost of a file's contents, in bytes. With Length 0 it is something else: attributes of a file, or entries of a folder.
	Offset, Length int64
	// Err says why.
	Err error
}

// MendOptions are the options of [Mend]; nil means all fields zero.
type MendOptions struct {
	// Program describes who mends.
	Program string
	// DryRun stores nothing.
	DryRun bool
	// Report hears what is lost.
	Report func(Lost)
}

// Mend commits a new snapshot of what an old one has and the repository still holds, and returns it; nil if nothing is lost. Lost ranges of files are as those that could not be
// read when they were backed up, and the snapshot is incomplete. It keeps the old one's times, host, tags, paths and class and names it as Original; the old one
// stays until it is forgotten, and is whole again should what is lost be stored again. Contents of files are not read: that a chunk is in the index is
// enough, so repair packs first.
//
// Errors: [ErrNothing] when nothing can be read, [repo.ErrNotAllowed], those of [repo.Session.Commit].
func Mend(ctx context.Context, r *repo.Repository, old *Manifest, opts *MendOptions) (*Manifest, error) {
	var o MendOptions
	if opts != nil {
		o = *opts
	}
	if o.Report == nil {
		o.Report = func(Lost) {}
	}
	w := &rewriting{repo: r, old: old, opts: RewriteOptions{Program: o.Program, DryRun: o.DryRun}, kind: "repair"}
	w.mending = &mending{repo: r, report: func(l Lost) { w.gone++; o.Report(l) }}
	w.opts.Report = func(string) {}
	return w.start(ctx)
}

// mending looks for what is lost. A nil one takes everything for there.
type mending struct {
	repo   *repo.Repository
	report func(Lost)
}

// folder decides about a folder that could not be read whole: the error ends everything unless it is damage.
func (m *mending) folder(path string, err error) error {
	if m == nil || !isDamage(err) {
		return err
	}
	m.report(Lost{Path: path, Err: err})
	return nil
}

func isDamage(err error) bool {
	var bad *repo.CorruptError
	var wrong *tree.Error
	return errors.As(err, &bad) || errors.As(err, &wrong) || errors.Is(err, repo.ErrNotFound) || errors.Is(err, reftree.ErrFormat)
}

// node takes out of an entry what is lost of it, and reports whether anything is.
func (m *mending) node(ctx context.Context, saver reftree.Saver, path string, n *tree.Node) (lost bool, err error) {
	if m == nil {
		return false, nil
	}
	for _, x := range n.XattrChunks {
		there, err := m.there(ctx, repo.Meta, x.ID, x.Length)
		if err != nil {
			return false, err
		}
		if !there {
			m.report(Lost{Path: path, Err: fmt.Errorf("its attributes: %w", repo.ErrNotFound)})
			n.XattrChunks, n.Flags = nil, n.Flags|tree.Incomplete
			lost = true
			break
		}
	}
	if !n.Type.HasContent() {
		return lost, nil
	}
	holed, err := m.content(ctx, saver, path, n)
	return lost || holed, err
}

func (m *mending) there(ctx context.Context, class repo.Class, id repo.ID, length uint32) (bool, error) {
	loc, found, err := m.repo.Locate(ctx, class, id)
	if err != nil && !isDamage(err) {
		return false, err
	}
	return found && loc.Length == length, nil
}

// content puts unread ranges in the place of chunks that are lost, and of what a lost node of the content map said.
func (m *mending) content(ctx context.Context, saver reftree.Saver, path string, n *tree.Node) (lost bool, err error) {
	b := content.NewBuilder(saver, n.Content.Chunker)
	unread := func(off, length int64, why error) error {
		lost = true
		m.report(Lost{path, off, length, why})
		return b.Add(ctx, reftree.Span{Kind: reftree.Unread, Length: length, Count: 1})
	}
	for p, err := range content.NewMap(m.repo, n.Content).Spans(ctx, 0, n.Content.Size) {
		if err != nil {
			if !isDamage(err) {
				return false, err
			}
			if err := unread(b.Size(), n.Content.Size-b.Size(), err); err != nil {
				return false, err
			}
			break
		}
		there := true
		if p.Kind == reftree.Chunk {
			if there, err = m.there(ctx, repo.Data, p.ID, uint32(p.Length)); err != nil {
				return false, err
			}
		}
		if there {
			err = b.Add(ctx, p.Span)
		} else {
			err = unread(p.Offset, p.Size(), fmt.Errorf("chunk %s: %w", p.ID, repo.ErrNotFound))
		}
		if err != nil {
			return false, err
		}
	}
	if !lost {
		return false, nil
	}
	if n.Content, err = b.Finish(ctx); err != nil {
		return false, err
	}
	n.Flags |= tree.Incomplete
	return true, nil
}
