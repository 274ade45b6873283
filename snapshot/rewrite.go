package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// RewriteOptions are the options of [Rewrite]; nil means all fields zero.
type RewriteOptions struct {
	// Filter says what is left out.
	Filter *source.Filter
	// Program describes who rewrites.
	Program string
	// DryRun stores nothing.
	DryRun bool
	// Report hears the path of each entry that is left out; a folder's stands for all below it.
	Report func(path string)
}

// Rewrite commits a new snapshot that has everything of an old one but what the filter leaves out, and returns it; nil if the filter leaves out nothing.
// Contents of files are neither read nor written. The new snapshot keeps the old one's times, host, tags, paths and class, so that policies treat it alike, and names it as
// Original. The old one stays until it is forgotten; what only it has is deleted by a collection after that.
//
// Errors: [ErrNothing] when nothing would be left, [repo.ErrNotFound], [repo.ErrNotAllowed] for a key that cannot read directories and write,
// those of [repo.Session.Commit].
func Rewrite(ctx context.Context, r *repo.Repository, old *Manifest, opts *RewriteOptions) (*Manifest, error) {
	w := &rewriting{repo: r, old: old, kind: "rewrite"}
	if opts != nil {
		w.opts = *opts
	}
	if w.opts.Report == nil {
		w.opts.Report = func(string) {}
	}
	return w.start(ctx)
}

// start does the work in a session of its own.
func (w *rewriting) start(ctx context.Context) (m *Manifest, err error) {
	w.session, err = w.repo.Begin(ctx, &repo.SessionOptions{Kind: w.kind, Host: w.old.Host, Program: w.opts.Program, DryRun: w.opts.DryRun})
	if err != nil {
		return nil, err
	}
	m, err = w.run(ctx)
	reason := "nothing to " + w.kind
	if err != nil {
		reason = "failed"
		m = nil
	}
	return m, errors.Join(err, w.session.Close(ctx, reason)) // after a commit there is nothing to close
}

// rewriting is one run of Rewrite or Mend.
type rewriting struct {
	kind    string
	mending *mending // nil for Rewrite
	lossy   bool     // something is lost
	repo    *repo.Repository
	session *repo.Session
	opts    RewriteOptions
	old     *Manifest
	left    Stats // what is left
	gone    int   // entries that are left out, each with all below it, or things that are lost
}

func (w *rewriting) run(ctx context.Context) (*Manifest, error) {
	if !w.session.Reusable(w.old.ID) {
		return nil, fmt.Errorf("snapshot %s was forgotten, or packs that it needs are being collected: try again when that is done", w.old.ShortID())
	}
	root, err := w.dir(ctx, "/", w.old.Root)
	if err != nil || w.gone == 0 {
		return nil, err
	}
	m := w.manifest()
	if len(m.Paths) == 0 || w.left.FilesUnmodified+w.left.DirsUnmodified == 0 {
		return nil, fmt.Errorf("snapshot %s: %w: forget it instead", w.old.ShortID(), ErrNothing)
	}
	m.Root = root
	if w.opts.DryRun {
		return m, nil
	}
	if m.ID, err = w.session.Commit(ctx, root, m.encode()); err != nil {
		return nil, err
	}
	return m, nil
}

// dir stores a folder without what is left out.
func (w *rewriting) dir(ctx context.Context, path string, pair repo.Pair) (repo.Pair, error) {
	b := tree.NewDirBuilder(w.session)
	for n, err := range tree.OpenDir(w.repo, pair).Entries(ctx) {
		if err != nil {
			if err := w.mending.folder(path, err); err != nil {
				return pair, err
			}
			w.lossy = true
			break
		}
		below := join(path, n.Name)
		if !w.opts.Filter.Keep(below, rewrittenEntry(n)) {
			w.gone++
			w.opts.Report(below)
			continue
		}
		if n.Type == tree.Directory {
			if n.Dir, err = w.dir(ctx, below, n.Dir); err != nil {
				return pair, err
			}
			w.left.DirsUnmodified++
		} else {
			lost, err := w.mending.node(ctx, w.session, below, n)
			if err != nil {
				return pair, err
			}
			w.lossy = w.lossy || lost
			w.left.FilesUnmodified++
			w.left.BytesProcessed += uint64(n.Content.Size)
		}
		if err := b.Add(ctx, n); err != nil {
			return pair, err
		}
	}
	return b.Finish(ctx)
}

// rewrittenEntry is what a filter looks at.
func rewrittenEntry(n *tree.Node) *source.Entry {
	e := &source.Entry{Name: n.Name, Type: source.Type(n.Type)}
	if n.Type.HasContent() {
		e.Type, e.Size = source.TypeFile, n.Content.Size
	}
	return e
}

// manifest describes the new snapshot.
func (w *rewriting) manifest() *Manifest {
	m := *w.old
	m.Original = w.old.ID
	m.Program = w.opts.Program
	m.Complete = m.Complete && !w.lossy
	m.Paths = slices.DeleteFunc(slices.Clone(w.old.Paths), func(p string) bool { return !w.opts.Filter.Keep(p, &source.Entry{Type: source.TypeDirectory}) })
	m.Deltas = slices.DeleteFunc(slices.Clone(w.old.Deltas), func(d Delta) bool { return !w.keptBelow(d.Path) })
	w.left.Errors, w.left.HoleBytes = w.old.Stats.Errors, w.old.Stats.HoleBytes
	m.Stats = w.left
	return &m
}

// keptBelow reports whether the filter keeps a path and all folders on the way.
func (w *rewriting) keptBelow(path string) bool {
	for i := 1; i <= len(path); i++ {
		if (i == len(path) || path[i] == '/') && !w.opts.Filter.Keep(strings.TrimSuffix(path[:i], "/"), &source.Entry{Type: source.TypeDirectory}) {
			return false
		}
	}
	return true
}
