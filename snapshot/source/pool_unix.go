//go:build linux || darwin || freebsd

package source

import (
	"container/list"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// pool keeps the descriptors of folders below a limit, so that a tree may be deeper than a process may have files open.
// A folder whose descriptor was taken away is opened again by its name in its parent, and must be the same one then.
type pool struct {
	mu  sync.Mutex
	max int
	lru list.List // of *Dir that may lose their descriptors, the most recently used first
}

// handle is the pool's part of a Dir.
type handle struct {
	fd       int
	elem     *list.Element // nil: a folder where a walk starts, or without a descriptor
	pins     int           // calls that use fd now
	children int           // folders opened from here and not yet gone
	closed   bool          // by its owner; it goes when pins and children are 0
}

// insert takes over the descriptor of a new folder.
func (p *pool) insert(d *Dir, fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.handle.fd = fd
	if d.parent != nil {
		d.parent.handle.children++
		d.handle.elem = p.lru.PushFront(d)
	}
	p.evict()
}

// acquire returns the descriptor of d, which stays open until release.
func (p *pool) acquire(d *Dir) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.handle.closed {
		return -1, fs.ErrClosed
	}
	if err := p.reopen(d); err != nil {
		return -1, err
	}
	d.handle.pins++
	p.evict()
	return d.handle.fd, nil
}

func (p *pool) release(d *Dir) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d.handle.pins--
	p.drop(d)
}

// close gives the folder up. Calls that use it finish first.
func (p *pool) close(d *Dir) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.handle.closed {
		return fs.ErrClosed
	}
	d.handle.closed = true
	p.drop(d)
	return nil
}

// drop ends what nobody needs: the folder, and then perhaps the one above it.
func (p *pool) drop(d *Dir) {
	for d != nil && d.handle.closed && d.handle.pins == 0 && d.handle.children == 0 {
		p.park(d)
		if d = d.parent; d != nil {
			d.handle.children--
		}
	}
}

// park closes the descriptor of a folder.
func (p *pool) park(d *Dir) {
	if d.handle.elem != nil {
		p.lru.Remove(d.handle.elem)
		d.handle.elem = nil
	}
	if d.handle.fd >= 0 {
		_ = unix.Close(d.handle.fd) // nothing was written: there is no error that matters
		d.handle.fd = -1
	}
}

// evict parks the folders used least recently while there are too many; never the most recent one.
func (p *pool) evict() {
	for e := p.lru.Back(); e != nil && e != p.lru.Front() && p.lru.Len() > p.max; {
		d, before := e.Value.(*Dir), e.Prev()
		if d.handle.pins == 0 {
			p.park(d)
		}
		e = before
	}
}

// reopen makes sure that d has a descriptor, going down from the nearest folder above it that has one. The folders on
// the way stay open, for a walk that comes back up needs them next.
func (p *pool) reopen(d *Dir) error {
	var parked []*Dir
	for x := d; x.handle.fd < 0; x = x.parent {
		parked = append(parked, x)
	}
	for _, x := range slices.Backward(parked) {
		fd, id, err := sysOpenDir(location{fd: x.parent.handle.fd, path: x.parent.path}, x.name)
		if err != nil {
			return err
		}
		if id != x.id {
			_ = unix.Close(fd)
			return ErrReplaced
		}
		x.handle.fd = fd
		x.handle.elem = p.lru.PushFront(x)
		p.evict()
	}
	if d.handle.elem != nil {
		p.lru.MoveToFront(d.handle.elem)
	}
	return nil
}

// open opens the folder d.name at loc, and gives d its identity.
func (d *Dir) open(loc location) error {
	fd, id, err := sysOpenDir(loc, d.name)
	if err != nil {
		return err
	}
	d.id = id
	d.tree.pool.insert(d, fd)
	return nil
}

// at calls fn with the place of the folder, which stays open that long.
func (d *Dir) at(fn func(location) error) error {
	fd, err := d.tree.pool.acquire(d)
	if err != nil {
		return err
	}
	defer d.tree.pool.release(d)
	return fn(location{fd: fd, path: d.path})
}

// Close gives the folder up. It returns fs.ErrClosed if it was closed already, and no other error.
func (d *Dir) Close() error { return d.tree.pool.close(d) }
