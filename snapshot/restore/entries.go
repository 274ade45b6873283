package restore

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

func (v *restorer) entry(n *tree.Node) error {
	v.index++
	if !validName(n.Name) {
		return v.run.refused("create", v.path(n.Name), fs.ErrInvalid)
	}
	if err := v.prepare(v.at, true); err != nil || !v.at.ready {
		return err
	}
	var err error
	place := func(d dirHandle) error { return v.put(d, n) }
	if v.run.opts.DryRun && v.at.made {
		err = place(nil)
	} else {
		err = v.run.folders.with(v.at, place)
	}
	if fatal := (*fatalError)(nil); errors.As(err, &fatal) {
		return fatal.error
	}
	return v.run.refused("create", v.path(n.Name), err)
}

// fatalError ends a restore. It sets errors of the engine apart from those of one entry.
type fatalError struct{ error }

func ends(err error) error {
	if err == nil {
		return nil
	}
	return &fatalError{err}
}

// put restores an entry into d.
func (v *restorer) put(d dirHandle, n *tree.Node) error {
	st, err := v.look(v.at, d, n.Name)
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if there && v.leaves(n, &st) {
		v.skip(v.path(n.Name), n.Content.Size)
		return nil
	}
	if g := v.links.of(n); g != nil {
		err := v.link(d, n, g, there, &st)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		v.run.note(v.path(n.Name), err)
		if there { // it may be gone by now
			st, err = lstat(d, n.Name)
			there = err == nil
		}
	}
	if n.Type.HasContent() {
		return v.file(d, n, there, &st)
	}
	return v.special(d, n, there, &st)
}

// leaves reports whether what is there stays as it is.
func (v *restorer) leaves(n *tree.Node, st *stat) bool {
	switch v.run.opts.Overwrite {
	case OverwriteNever:
		return true
	case OverwriteIfNewer:
		return st.modTime >= n.ModTime
	}
	return false
}

// file plans the content of a file.
func (v *restorer) file(d dirHandle, n *tree.Node, there bool, st *stat) error {
	f := v.newFile(n)
	if there {
		f.how = v.howFor(n, st)
		f.was = st.id
	}
	if v.run.opts.DryRun {
		v.pretend(n, there, f.how == howKeep)
		return nil
	}
	if there && f.how == howReplace && st.typ == tree.Directory {
		if err := v.clear(d, n.Name, st); err != nil {
			return err
		}
		f.how = howCreate
	}
	f.fresh = f.how == howCreate || f.how == howReplace
	f.compare = !f.fresh
	if n.Links > 1 {
		if f.how != howKeep { // it must be there before it gets other names
			if err := f.ensure(); err != nil {
				return err
			}
		}
		v.links.add(v, n)
	}
	v.at.pending.Add(1)
	if f.how != howKeep {
		return ends(v.engine.fillWith(&f.target, &n.Content))
	}
	v.run.counters.bytes.Add(f.size)
	v.run.counters.same.Add(f.size)
	return ends(v.run.completeFile(f))
}

// howFor decides how a file comes to be in the place of something.
func (v *restorer) howFor(n *tree.Node, st *stat) how {
	switch {
	case st.typ != tree.File, st.links > 1 && n.Links < 2: // its other names may be anywhere, and are none of our business
		return howReplace
	case v.run.opts.Overwrite == OverwriteIfChanged && st.size == n.Content.Size && st.modTime == n.ModTime:
		return howKeep
	case st.links > 1, v.run.attributes.exposed(n, st):
		return howReplace
	}
	return howUpdate
}

func (v *restorer) newFile(n *tree.Node) *file {
	f := &file{files: &v.run.files, folder: v.at, node: n, size: n.Content.Size, index: v.index, sync: v.run.opts.Sync}
	f.target = target{
		path: v.path(n.Name), out: f, sparse: !v.run.opts.NoSparse,
		refused: func(err error) error { return v.run.refused("restore", f.path, err) },
		settled: func() error { return v.run.completeFile(f) },
	}
	short := *n
	short.Content = content.Content{} // it may be long, and is planned when the file is not yet complete
	f.node = &short
	return f
}

// pretend reports what would be done about an entry.
func (v *restorer) pretend(n *tree.Node, there, same bool) {
	c := &v.run.counters
	if n.Type.HasContent() {
		c.files.Add(1)
		c.bytes.Add(n.Content.Size)
	} else {
		c.others.Add(1)
	}
	kind := EventRestored
	switch {
	case same:
		kind = EventUnchanged
	case there:
		kind = EventUpdated
	}
	v.run.opts.Report(Event{Kind: kind, Path: v.path(n.Name), Size: n.Content.Size})
}

// completeFile gives a file its attributes when its content is there, and closes it.
func (t *treeRun) completeFile(f *file) error {
	defer t.settle(f.folder)
	if f.dead.Load() {
		_ = f.close() // it failed before
		return nil
	}
	if err := t.setFile(f); err != nil {
		_ = f.close()
		return t.refused("restore", f.path, err)
	}
	if err := f.close(); err != nil {
		return t.refused("close", f.path, err)
	}
	t.counters.files.Add(1)
	kind := EventUpdated
	switch {
	case f.made && f.how == howCreate:
		kind = EventRestored
	case !f.made && f.written.Load() == 0 && !f.damaged.Load():
		kind = EventUnchanged
		t.counters.unchanged.Add(1)
	}
	t.done.set(f.index)
	t.opts.Report(Event{Kind: kind, Path: f.path, Size: f.size})
	return nil
}

func (t *treeRun) setFile(f *file) error {
	list, n := t.xattrs(f.node, f.path), f.node
	if f.damaged.Load() { // with its time it would pass for whole the next time
		n.ModTime, n.AccessTime = time.Now().UnixNano(), 0
	}
	return t.folders.with(f.folder, func(d dirHandle) error {
		set := func(h *os.File) error {
			t.attributes.set(f.path, &entry{dir: d, name: n.Name, file: h}, n, list)
			return nil
		}
		if f.how == howKeep {
			return f.withKept(d, set)
		}
		return f.with(set)
	})
}

// special restores a symlink, a fifo or a device.
func (v *restorer) special(d dirHandle, n *tree.Node, there bool, st *stat) error {
	path := v.path(n.Name)
	same := there && v.same(d, n, st)
	if v.run.opts.DryRun {
		v.pretend(n, there, same)
		return nil
	}
	if !same {
		if err := v.make(d, n, there, st); err != nil {
			if n.Type != tree.Symlink && (errors.Is(err, errors.ErrUnsupported) || !v.run.attributes.root && isDenied(err)) {
				v.run.counters.skipped.Add(1)
				v.run.note(path, pathError("mknod", path, err))
				return nil
			}
			return err
		}
	}
	if n.Links > 1 {
		v.links.add(v, n)
	}
	list := v.run.xattrs(n, path)
	err := holding(d, n, func(e *entry) { v.run.attributes.set(path, e, n, list) })
	if err != nil {
		return err
	}
	v.run.counters.others.Add(1)
	kind := EventRestored
	switch {
	case same:
		kind = EventUnchanged
	case there:
		kind = EventUpdated
	}
	v.run.done.set(v.index)
	v.run.opts.Report(Event{Kind: kind, Path: path})
	return nil
}

// same reports whether what is there is what is wanted, attributes excepted. Devices are always made anew.
func (v *restorer) same(d dirHandle, n *tree.Node, st *stat) bool {
	if st.typ != n.Type || st.links > 1 {
		return false
	}
	switch n.Type {
	case tree.FIFO:
		return true
	case tree.Symlink:
		target, err := readSymlink(d, n.Name)
		return err == nil && target == n.Target
	}
	return false
}

func (v *restorer) make(d dirHandle, n *tree.Node, there bool, st *stat) error {
	if there {
		if err := v.clear(d, n.Name, st); err != nil {
			return err
		}
	}
	if n.Type == tree.Symlink {
		return makeSymlink(n.Target, d, n.Name)
	}
	return makeSpecial(d, n)
}
