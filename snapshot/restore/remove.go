package restore

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// unexpected gathers which of the names in a folder are not in the snapshot.
type unexpected struct {
	names   []string // in order; those not yet passed
	found   []string
	mounted bool // the folder is not on the file system of the one it is in
	any     bool // the snapshot has names
}

// list reads the names in a folder.
func (u *unexpected) list(d dirHandle) error {
	names, err := listFolder(d)
	if err != nil {
		return err
	}
	slices.Sort(names)
	u.names = names
	return nil
}

// seen notes the next name, in order, that is in the snapshot.
func (u *unexpected) seen(name string) {
	u.any = true
	for len(u.names) > 0 && u.names[0] < name {
		u.found = append(u.found, u.names[0])
		u.names = u.names[1:]
	}
	if len(u.names) > 0 && u.names[0] == name {
		u.names = u.names[1:]
	}
}

// rest returns the names that are not in the snapshot, when all that are were seen.
func (u *unexpected) rest() []string { return append(u.found, u.names...) }

// foreign reports whether the folder is where something is mounted of which the snapshot has nothing, so that nothing in it is unexpected: a
// backup that kept to one file system has an empty folder there.
func (u *unexpected) foreign() bool { return u.mounted && !u.any }

// removeAll removes what is selected of the names in a folder.
func (t *treeRun) removeAll(ctx context.Context, f *folder, names []string, s *selection) error {
	if len(names) == 0 {
		return nil
	}
	path := f.path()
	err := t.folders.with(f, func(d dirHandle) error {
		r := &remover{run: t, ctx: ctx}
		_, err := r.names(d, names, path, s, 1)
		return ends(err)
	})
	if fatal := (*fatalError)(nil); errors.As(err, &fatal) {
		return fatal.error
	}
	return t.refused("open", path, err)
}

// clear removes what is in the place of an entry that is no folder.
func (v *restorer) clear(d dirHandle, name string, st *stat) error {
	if st.typ != tree.Directory {
		return removeFile(d, name)
	}
	err := removeFolder(d, name)
	if err == nil || !isNotEmpty(err) {
		return err
	}
	if !v.run.opts.Delete {
		return errFolderInTheWay
	}
	r := &remover{run: v.run, ctx: v.engine.ctx}
	all := (&filter{}).root()
	gone, err := r.name(d, name, v.at.path(), &all, 1)
	if err != nil {
		return ends(err)
	}
	if !gone {
		return errFolderInTheWay
	}
	return nil
}

var (
	errFolderInTheWay = errors.New("a folder that is not empty is in the way")
	errMounted        = errors.New("something is mounted there: nothing in it is deleted")
)

// remover removes files and folders. Like everything here it follows no symlinks.
type remover struct {
	run *treeRun
	ctx context.Context
}

// names removes names from a folder, as far as they are selected, and reports whether all of them are gone. What cannot be removed is
// a failure; the error is that of the context.
func (r *remover) names(d dirHandle, names []string, path string, s *selection, depth int) (all bool, err error) {
	all = true
	for _, name := range names {
		if err := r.ctx.Err(); err != nil {
			return false, err
		}
		if !s.selected(name) {
			all = false
			continue
		}
		gone, err := r.name(d, name, path, s, depth)
		if err != nil {
			return false, err
		}
		all = all && gone
	}
	return all, nil
}

func (r *remover) name(d dirHandle, name, path string, s *selection, depth int) (gone bool, err error) {
	st, err := lstat(d, name)
	if err != nil {
		return r.failed("lstat", path+name, err)
	}
	if st.typ == tree.Directory {
		return r.folder(d, name, path+name+"/", s, depth)
	}
	if !r.run.opts.DryRun {
		if err := removeFile(d, name); err != nil {
			return r.failed("remove", path+name, err)
		}
	}
	r.gone(path + name)
	return true, nil
}

func (r *remover) folder(d dirHandle, name, path string, s *selection, depth int) (gone bool, err error) {
	if depth > tree.MaxDepth {
		return r.failed("remove", path, tree.ErrTooDeep)
	}
	sub, err := openFolder(d, name)
	if err != nil {
		return r.failed("open", path, err)
	}
	defer sub.Close()
	if mountOf(sub) != mountOf(d) {
		return r.failed("remove", path, errMounted)
	}
	names, err := listFolder(sub)
	if err != nil {
		return r.failed("readdir", path, err)
	}
	slices.Sort(names)
	below := s.enter(name)
	all, err := r.names(sub, names, path, &below, depth+1)
	if err != nil || !all {
		return false, err
	}
	if !r.run.opts.DryRun {
		if err := removeFolder(d, name); err != nil {
			return r.failed("remove", path, err)
		}
	}
	r.gone(path)
	return true, nil
}

func (r *remover) gone(path string) {
	r.run.counters.deleted.Add(1)
	r.run.opts.Report(Event{Kind: EventDeleted, Path: path})
}

// failed notes what cannot be removed. What is not there any more is removed.
func (r *remover) failed(op, path string, err error) (bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	r.run.problems.failure(path, pathError(op, path, cutPath(err)))
	return false, nil
}
