package restore

import (
	"container/list"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// how says how a file comes to be.
type how uint8

const (
	howCreate  how = iota // nothing is in its place
	howReplace            // what is in its place is removed first
	howUpdate             // the file in its place gets its content, where it differs
	howKeep               // the file in its place has its content
	howRead               // it is only read
)

// file is a file of the target. It is the output of the target that stands for it.
type file struct {
	target
	files  *files
	folder *folder
	node   *tree.Node
	size   int64
	index  int // in the walk
	sync   bool
	how    how
	was    identity // of what is in its place, to update or to keep

	mu     sync.Mutex
	handle *os.File
	opened bool // it was opened before, and had this identity
	id     identity
	made   bool  // it is a new file
	broken error // why it could not be opened; it is not tried again
	users  int
	elem   *list.Element // guarded by files
}

// with calls fn with the open file.
func (f *file) with(fn func(*os.File) error) error {
	f.mu.Lock()
	if err := f.open(); err != nil {
		f.mu.Unlock()
		return err
	}
	f.users++
	h := f.handle
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.users--
		f.mu.Unlock()
	}()
	return fn(h)
}

// withKept calls fn with the file in d that keeps its content, if it is still the same one. Who may not open it, and so is not root, gives
// it attributes by its name: fn is called with nil.
func (f *file) withKept(d dirHandle, fn func(*os.File) error) error {
	h, err := openFile(d, f.node.Name, false)
	if isDenied(err) {
		return fn(nil)
	}
	if err != nil {
		return err
	}
	st, err := fstat(h)
	if err == nil && st.id != f.was {
		err = ErrReplaced
	}
	if err == nil {
		err = fn(h)
	}
	return errors.Join(err, h.Close())
}

// ensure makes sure that the file is there.
func (f *file) ensure() error { return f.with(func(*os.File) error { return nil }) }

// open makes sure that the file is open. The caller holds mu.
func (f *file) open() error {
	switch {
	case f.broken != nil:
		return f.broken
	case f.handle != nil:
		f.files.touch(f)
		return nil
	}
	err := f.files.folders.with(f.folder, func(d dirHandle) error {
		if f.opened {
			return f.openAgain(d)
		}
		return f.openFirst(d)
	})
	if err == nil {
		f.files.insert(f)
	} else {
		f.broken = err
	}
	return err
}

func (f *file) openAgain(d dirHandle) error {
	h, err := openFile(d, f.node.Name, f.how != howRead)
	if err != nil {
		return err
	}
	if st, err := fstat(h); err != nil || st.id != f.id {
		return errors.Join(ErrReplaced, err, h.Close())
	}
	f.handle = h
	return nil
}

// openFirst brings the file into being, or opens what is there, and gives it its size.
func (f *file) openFirst(d dirHandle) error {
	name := f.node.Name
	switch f.how {
	case howUpdate, howRead:
		h, err := openFile(d, name, f.how == howUpdate)
		if isDenied(err) && f.how == howUpdate && (&entry{dir: d, name: name}).chmod(0o600) == nil {
			h, err = openFile(d, name, true) // it gets its own permissions in the end
		}
		if err == nil {
			return f.took(h)
		}
		if f.how == howRead || !isDenied(err) && !isExecuting(err) {
			return err
		}
		fallthrough // it is ours to remove, but not to write
	case howReplace:
		if err := removeFile(d, name); err != nil {
			return fmt.Errorf("removing what is in its place: %w", err)
		}
	}
	h, err := createFile(d, name)
	if err != nil {
		return err
	}
	f.made = true
	return f.took(h)
}

func (f *file) took(h *os.File) error {
	st, err := fstat(h)
	switch {
	case err != nil:
	case st.typ != tree.File, f.how == howUpdate && !f.made && st.id != f.was:
		err = ErrReplaced
	case st.size == f.size:
	case f.how == howRead:
		err = fmt.Errorf("%w: it has %d bytes instead of %d", ErrMismatch, st.size, f.size)
	default:
		f.written.Add(1)
		err = f.resize(h)
	}
	if err != nil {
		return errors.Join(err, h.Close())
	}
	if f.how == howRead {
		dropFileCache(h)
	}
	f.handle, f.opened, f.id = h, true, st.id
	return nil
}

func (f *file) resize(h *os.File) error {
	if f.made && !f.sparse {
		if err := allocate(h, f.size); err != nil {
			return err
		}
	}
	return h.Truncate(f.size)
}

// WriteAt implements output.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.with(func(h *os.File) error {
		n, err = h.WriteAt(p, off)
		if f.sync {
			startFlush(h, off, int64(n))
		}
		return err
	})
	return n, cutPath(err)
}

// ReadAt implements output.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.with(func(h *os.File) error {
		n, err = h.ReadAt(p, off)
		return err
	})
	return n, cutPath(err)
}

func (f *file) zero(off, n int64) (written int64, err error) {
	err = f.with(func(h *os.File) error {
		written, err = zeroFile(h, off, n, f.sparse, f.fresh)
		return err
	})
	return written, cutPath(err)
}

func (f *file) zeroPrefix(off, n int64) (k int64) {
	_ = f.with(func(h *os.File) error {
		k = holeAt(h, off, n)
		return nil
	}) // whoever reads it next hears of the error
	return k
}

// cutPath takes the path off an error of an open file, which has the last name only.
func cutPath(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok && err == error(pe) {
		return pe.Err
	}
	return err
}

// close closes the file for good.
func (f *file) close() error {
	f.files.forget(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handle == nil {
		return nil
	}
	err := f.handle.Close()
	f.handle = nil
	return err
}

// files keeps open files below a limit. It is safe for concurrent use.
type files struct {
	folders *folders
	max     int

	mu  sync.Mutex
	lru list.List // of *file, the one used last first
}

func (p *files) touch(f *file) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.elem != nil {
		p.lru.MoveToFront(f.elem)
	}
}

// insert notes a file that was opened, and closes others if there are too many. The caller holds the lock of f; those of others are only
// tried.
func (p *files) insert(f *file) {
	p.mu.Lock()
	f.elem = p.lru.PushFront(f)
	failed := map[*file]error{}
	for e := p.lru.Back(); e != nil && p.lru.Len() > p.max; {
		old, before := e.Value.(*file), e.Prev()
		if old != f && old.mu.TryLock() {
			if old.users == 0 {
				p.lru.Remove(e)
				old.elem = nil
				if err := old.handle.Close(); err != nil {
					failed[old] = err
				}
				old.handle = nil
			}
			old.mu.Unlock()
		}
		e = before
	}
	p.mu.Unlock()
	for old, err := range failed {
		_ = old.refuse(pathError("close", old.path, cutPath(err))) // whether the disk is full, others will hear too
	}
}

func (p *files) forget(f *file) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.elem != nil {
		p.lru.Remove(f.elem)
		f.elem = nil
	}
}

// closeAll closes what a restore that failed has left open.
func (p *files) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.lru.Front(); e != nil; e = p.lru.Front() {
		f := p.lru.Remove(e).(*file)
		f.elem = nil
		_ = f.handle.Close()
		f.handle = nil
	}
}
