package restore

import (
	"context"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// visitor is shown a tree by walk, in order. An error of one of its methods ends the walk.
type visitor interface {
	// enter is shown a folder, and whether it is selected itself or only on the way to something that may be. It reports whether to go in;
	// if so, leave is called when all that is in it was shown, with false if some of it could not be read.
	enter(n *tree.Node, s *selection, selected bool) (bool, error)
	leave(s *selection, whole bool) error
	// name is shown every name in a folder, selected or not, before what it names.
	name(name string)
	// entry is shown everything else that is selected.
	entry(n *tree.Node) error
	// unreadable is told what kept a part of the folder from being read.
	unreadable(err error) error
}

// walk shows v what a filter selects of a tree. The same tree and filter are shown in the same order every time.
type walk struct {
	ctx    context.Context
	loader reftree.Loader
	v      visitor
}

// folder shows what is in a folder, at a depth counted from 1.
func (w *walk) folder(p repo.Pair, s *selection, depth int) (whole bool, err error) {
	if depth > tree.MaxDepth {
		return false, w.v.unreadable(tree.ErrTooDeep)
	}
	whole = true
	for n, err := range tree.OpenDir(w.loader, p).Entries(w.ctx) {
		if cerr := w.ctx.Err(); cerr != nil {
			return false, context.Cause(w.ctx)
		}
		if err != nil {
			whole = false
			if fatal(w.ctx, err) {
				return false, err
			}
			if err := w.v.unreadable(err); err != nil {
				return false, err
			}
			continue
		}
		if err := w.node(n, s, depth); err != nil {
			return false, err
		}
	}
	return whole, nil
}

// node shows an entry of a folder.
func (w *walk) node(n *tree.Node, s *selection, depth int) error {
	w.v.name(n.Name)
	selected := s.selected(n.Name)
	if n.Type != tree.Directory {
		if !selected {
			return nil
		}
		return w.v.entry(n)
	}
	if !selected && !s.leads(n.Name) {
		return nil
	}
	below := s.enter(n.Name)
	in, err := w.v.enter(n, &below, selected)
	if !in || err != nil {
		return err
	}
	whole, err := w.folder(n.Dir, &below, depth+1)
	if err != nil {
		return err
	}
	return w.v.leave(&below, whole)
}
