package restore

import (
	"container/list"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// folder is a folder of the target. Files and folders in it are reached through its handle.
type folder struct {
	parent *folder // nil for the target itself
	name   string

	// The walk sets these.
	node     *tree.Node // what it gets its attributes from in the end; nil: it keeps them
	selected bool       // by the filter, itself
	made     bool       // it was not there before, so nothing is in it but what the walk put there
	ready    bool       // it is there, or in a dry run would be
	barred   bool       // it cannot be made, and that was reported
	mount    uint64     // that it is in, where names may be deleted
	mode     int64      // permissions to give back in the end, because they were in the way; -1 for none

	pending atomic.Int64 // what still happens in it, the walk through it being one

	// The pool guards these.
	known  bool // it was opened before, and had this identity
	id     identity
	handle dirHandle
	elem   *list.Element // nil without a handle, and for the target itself
	pins   int
}

func newFolder(parent *folder, name string) *folder {
	return &folder{parent: parent, name: name, mode: -1}
}

// path returns the folder's path in the tree, with "/" in the end.
func (f *folder) path() string {
	var names []string
	for ; f.parent != nil; f = f.parent {
		names = append(names, f.name)
	}
	if len(names) == 0 {
		return "/"
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/") + "/"
}

// folders keeps the handles of folders below a limit, so that a tree may be deeper than a process may have files open. A folder whose
// handle was taken away is opened again by its name in its parent, and must be the same one then. It is safe for concurrent use.
type folders struct {
	mu      sync.Mutex
	max     int
	lru     list.List            // of *folder, the one used last first
	systems map[uint64]dirHandle // a folder of each file system, by device
}

// with calls fn with the handle of f, which stays open that long.
func (p *folders) with(f *folder, fn func(dirHandle) error) error {
	p.mu.Lock()
	err := p.reopen(f)
	if err != nil {
		p.mu.Unlock()
		return err
	}
	f.pins++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		f.pins--
		p.mu.Unlock()
	}()
	return fn(f.handle)
}

func (p *folders) insert(f *folder, d dirHandle) {
	f.handle = d
	if f.parent != nil {
		f.elem = p.lru.PushFront(f)
	}
	for e := p.lru.Back(); e != nil && p.lru.Len() > p.max; {
		old, before := e.Value.(*folder), e.Prev()
		if old.pins == 0 && old != f {
			p.park(old)
		}
		e = before
	}
}

func (p *folders) park(f *folder) {
	if f.elem != nil {
		p.lru.Remove(f.elem)
		f.elem = nil
	}
	if f.handle != nil {
		_ = f.handle.Close() // nothing was written through it
		f.handle = nil
	}
}

// openRoot opens the target itself.
func (p *folders) openRoot(f *folder, path string) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.handle, err = openTarget(path); err != nil {
		return err
	}
	st, err := folderStat(f.handle)
	if err == nil {
		err = p.noteSystem(f.handle, &st)
	}
	return err
}

// noteSystem keeps a handle of each file system that the target reaches into, to flush it in the end.
func (p *folders) noteSystem(d dirHandle, st *stat) error {
	if p.systems[st.id.device] != nil {
		return nil
	}
	own, err := openFolder(d, ".")
	if err != nil {
		return err
	}
	if p.systems == nil {
		p.systems = map[uint64]dirHandle{}
	}
	p.systems[st.id.device] = own
	return nil
}

// sync makes all durable that was written to the target.
func (p *folders) sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.systems {
		if err := syncTree(d); err != nil {
			return err
		}
	}
	return nil
}

// reopen makes sure that f has a handle, going down from the nearest folder above it that has one.
func (p *folders) reopen(f *folder) error {
	var parked []*folder
	for x := f; x.handle == nil; x = x.parent {
		if x.parent == nil {
			return fs.ErrClosed
		}
		parked = append(parked, x)
	}
	for _, x := range slices.Backward(parked) {
		d, err := openFolder(x.parent.handle, x.name)
		if err != nil {
			return err
		}
		st, err := folderStat(d)
		if err == nil && x.known && st.id != x.id {
			err = ErrReplaced
		}
		if err == nil {
			err = p.noteSystem(d, &st)
		}
		if err != nil {
			_ = d.Close()
			return err
		}
		x.known, x.id = true, st.id
		p.insert(x, d)
	}
	if f.elem != nil {
		p.lru.MoveToFront(f.elem)
	}
	return nil
}

// close gives the handle of a folder up for good.
func (p *folders) close(f *folder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.park(f)
}

// closeAll gives up all handles, that of the target too.
func (p *folders) closeAll(root *folder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.lru.Front(); e != nil; e = p.lru.Front() {
		p.park(e.Value.(*folder))
	}
	p.park(root)
	for _, d := range p.systems {
		_ = d.Close()
	}
	p.systems = nil
}
