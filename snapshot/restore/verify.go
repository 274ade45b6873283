package restore

import (
	"context"
	"errors"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// verify walks through the tree again and reads back what was put in place.
func (t *treeRun) verify(ctx context.Context) error {
	e, err := newEngine(ctx, t.repo, &t.opts.Options, &t.problems, &t.counters)
	if err != nil {
		return err
	}
	v := &verifier{run: t, engine: e, at: t.root}
	s := t.filter.root()
	_, err = t.begin(&walk{ctx: e.ctx, loader: t.repo, v: v}, &s)
	return e.finish(err)
}

// verifier is the visitor that reads back. It sees the same entries in the same order as the restorer.
type verifier struct {
	run    *treeRun
	engine *engine
	at     *folder
	index  int
}

func (v *verifier) enter(n *tree.Node, _ *selection, _ bool) (bool, error) {
	v.index++
	if !v.run.done.has(v.index) {
		return false, nil
	}
	v.at = newFolder(v.at, n.Name)
	return true, nil
}

func (v *verifier) leave(*selection, bool) error {
	if v.at.parent != nil {
		v.at = v.at.parent // its files may still be read
	}
	return nil
}

func (v *verifier) name(string)            {}
func (v *verifier) unreadable(error) error { return nil } // the restorer heard of it

func (v *verifier) entry(n *tree.Node) error {
	v.index++
	if !v.run.done.has(v.index) || !n.Type.HasContent() {
		return nil
	}
	f := &file{files: &v.run.files, folder: v.at, node: n, size: n.Content.Size, how: howRead}
	f.target = target{path: v.at.path() + n.Name, out: f, verify: true}
	f.settled = func() error { return f.close() }
	f.refused = func(err error) error { return v.run.refused("verify", f.path, err) }
	if err := f.ensure(); err != nil {
		if errors.Is(err, ErrMismatch) {
			v.run.problems.damage(f.path, 0, f.size, err)
			return nil
		}
		return f.refused(err)
	}
	return v.engine.fillWith(&f.target, &n.Content)
}
