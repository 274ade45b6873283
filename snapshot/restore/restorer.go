package restore

import (
	"errors"
	"io/fs"

	"github.com/holdfast-backup/holdfast/internal/fsx"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// restorer is the visitor that restores. It makes folders and all that has no content at once, and plans the contents of files. Files and folders
// are completed by whoever does the last thing that they wait for. In a dry run it only looks.
type restorer struct {
	run    *treeRun
	engine *engine
	at     *folder
	stack  []*unexpected // for each folder down to at
	links  links
	index  int // of the entry shown last
}

// path returns the path of an entry of the folder.
func (v *restorer) path(name string) string { return v.at.path() + name }

// refused notes that something was not restored, and returns an error if nothing else can be either.
func (t *treeRun) refused(op, path string, err error) error {
	if err == nil {
		return nil
	}
	err = pathError(op, path, cutPath(err))
	if fsx.IsFull(err) || isReadOnly(err) {
		return err
	}
	t.problems.failure(path, err)
	return nil
}

func (v *restorer) enterRoot() error {
	v.at.pending.Add(1)
	return v.push()
}

// push begins a folder. Its names are needed if those not in the snapshot are to be deleted.
func (v *restorer) push() error {
	u := &unexpected{}
	v.stack = append(v.stack, u)
	if !v.run.opts.Delete || !v.at.ready || v.at.made {
		return nil
	}
	err := v.run.folders.with(v.at, func(d dirHandle) error {
		if v.at.parent != nil {
			u.mounted = mountOf(d) != v.at.parent.mount
		}
		v.at.mount = mountOf(d)
		return u.list(d)
	})
	return v.run.refused("readdir", v.at.path(), err)
}

func (v *restorer) enter(n *tree.Node, _ *selection, selected bool) (bool, error) {
	v.index++
	index := v.index
	if !validName(n.Name) {
		return false, v.run.refused("mkdir", v.path(n.Name), fs.ErrInvalid)
	}
	f := newFolder(v.at, n.Name)
	f.node, f.selected = n, selected
	if selected || v.run.opts.Delete {
		if err := v.prepare(f, selected); err != nil || f.barred {
			return false, err
		}
	}
	f.pending.Add(1)
	v.run.done.set(index)
	v.at = f
	return true, v.push()
}

// prepare makes a folder and those above it, or takes the ones that are there; without create only those. It bars what cannot be had.
func (v *restorer) prepare(f *folder, create bool) error {
	if f.ready || f.barred {
		return nil
	}
	if err := v.prepare(f.parent, create); err != nil {
		return err
	}
	if !f.parent.ready {
		f.barred = f.parent.barred
		return nil
	}
	var err error
	if f.parent.made && v.run.opts.DryRun {
		f.made, f.ready = create, create
	} else {
		err = v.run.folders.with(f.parent, func(d dirHandle) error { return v.take(d, f, create) })
	}
	if err != nil {
		f.barred = true
		return v.run.refused("mkdir", f.path(), err)
	}
	if f.ready {
		f.parent.pending.Add(1)
	}
	return nil
}

// take makes a folder in d, or takes the one that is there.
func (v *restorer) take(d dirHandle, f *folder, create bool) error {
	st, err := v.look(f.parent, d, f.name)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && st.typ == tree.Directory:
		v.keepAttributes(f, &st)
		v.open(d, f, &st)
		f.ready = true
		return nil
	case !create:
		return nil
	case err == nil && v.run.opts.Overwrite == OverwriteNever:
		f.barred = true
		v.skip(f.path(), 0)
		return nil
	case v.run.opts.DryRun:
		f.made, f.ready = true, true
		return nil
	case err == nil:
		if err := removeFile(d, f.name); err != nil {
			return err
		}
	}
	if err := makeFolder(d, f.name); err != nil {
		return err
	}
	f.made, f.ready = true, true
	return nil
}

// look tells what is in the place of an entry.
func (v *restorer) look(parent *folder, d dirHandle, name string) (stat, error) {
	if parent.made {
		return stat{}, fs.ErrNotExist
	}
	return lstat(d, name)
}

// keepAttributes decides whether a folder that is there keeps its attributes. One that only leads to others does.
func (v *restorer) keepAttributes(f *folder, st *stat) {
	o := v.run.opts.Overwrite
	if !f.selected || o == OverwriteNever || o == OverwriteIfNewer && st.modTime >= f.node.ModTime {
		f.node = nil
	}
}

// open gives a folder of ours whose permissions are in the way others until it is complete.
func (v *restorer) open(d dirHandle, f *folder, st *stat) {
	const need = 0o700
	if v.run.attributes.root || v.run.opts.DryRun || st.mode&need == need {
		return
	}
	if err := (&entry{dir: d, name: f.name}).chmod(st.mode | need); err == nil {
		f.mode = int64(st.mode)
	} // else whatever it is needed for will fail
}

func (v *restorer) name(name string) { v.stack[len(v.stack)-1].seen(name) }

func (v *restorer) unreadable(err error) error {
	v.run.problems.damage(v.at.path(), 0, 0, err)
	return nil
}

func (v *restorer) leave(s *selection, whole bool) error {
	f, u := v.at, v.stack[len(v.stack)-1]
	v.stack = v.stack[:len(v.stack)-1]
	if f.parent != nil {
		v.at = f.parent
	}
	if !f.ready {
		return nil // nothing below it was restored
	}
	if rest := u.rest(); whole && len(rest) > 0 && u.foreign() {
		v.run.note(f.path(), errMounted)
	} else if whole {
		if err := v.run.removeAll(v.engine.ctx, f, rest, s); err != nil {
			return err
		}
	}
	v.run.settle(f)
	return nil
}

// skip notes that something stays as it is.
func (v *restorer) skip(path string, size int64) {
	v.run.counters.skipped.Add(1)
	v.run.counters.bytesTotal.Add(-size)
	v.run.opts.Report(Event{Kind: EventSkipped, Path: path, Size: size})
}

// settle notes that something that a folder waited for is done, and completes it with the last.
func (t *treeRun) settle(f *folder) {
	for f.pending.Add(-1) == 0 && f.parent != nil {
		t.complete(f)
		f = f.parent
	}
}

// complete gives a folder its attributes.
func (t *treeRun) complete(f *folder) {
	path := f.path()
	if !t.opts.DryRun {
		t.setFolder(f, path)
		t.folders.close(f)
	}
	if f.node == nil && !f.made {
		return
	}
	t.counters.folders.Add(1)
	kind := EventUpdated
	if f.made {
		kind = EventRestored
	}
	t.opts.Report(Event{Kind: kind, Path: path})
}

func (t *treeRun) setFolder(f *folder, path string) {
	var list []tree.Xattr
	var err error
	switch {
	case f.node != nil:
		list = t.xattrs(f.node, path)
		err = t.folders.with(f, func(own dirHandle) error {
			return t.folders.with(f.parent, func(d dirHandle) error {
				t.attributes.set(path, folderEntry(d, own, f.name), f.node, list)
				return nil
			})
		})
	case f.mode >= 0:
		err = t.folders.with(f.parent, func(d dirHandle) error {
			return (&entry{dir: d, name: f.name}).chmod(uint32(f.mode))
		})
	}
	if err != nil {
		t.problems.failure(path, pathError("open", path, cutPath(err)))
	}
}

// xattrs returns the extended attributes of a node. Those that cannot be read are damage.
func (t *treeRun) xattrs(n *tree.Node, path string) []tree.Xattr {
	if t.opts.NoXattrs {
		return nil
	}
	list, err := tree.LoadXattrs(t.ctx, t.repo, n)
	if err != nil && t.ctx.Err() == nil {
		t.problems.damage(path, 0, 0, err)
	}
	return list
}
