package local

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/holdfast-backup/holdfast/internal/fsx"
)

// maxOpenFolders is how many folders stay open for the next Put into them.
const maxOpenFolders = 16

// folders hands out open folders to write into. A folder that is handed out is known to be reachable after a loss of
// power: its entry and those of the folders above it have been flushed since it was opened. It stays known as long as
// it stays open, because an open folder that is removed refuses new entries, even if another one takes its path.
type folders struct {
	top *fsx.Dir // the store's own folder

	mu     sync.Mutex
	open   map[string]*folder
	recent []string // keys of open, the longest unused first
	closed bool
}

type folder struct {
	dir  *fsx.Dir
	uses int // how many callers have it; one more while it is in folders.open
}

// use calls do with the folder at name, as hold does, and releases it.
func (c *folders) use(name string, do func(*fsx.Dir) error) error {
	f, err := c.hold(name, do)
	if err == nil {
		c.release(f)
	}
	return err
}

// hold calls do with the folder at name (slashes between its parts; "." is the top), made durably where it is missing,
// and returns that folder for use until release. When do finds the folder removed (fs.ErrNotExist), hold makes it anew
// and calls do again, within reason.
func (c *folders) hold(name string, do func(*fsx.Dir) error) (*folder, error) {
	var err error
	for range 100 {
		var f *folder
		if f, err = c.acquire(name); err == nil {
			if err = do(f.dir); err == nil {
				return f, nil
			}
			if errors.Is(err, fs.ErrNotExist) {
				c.forget(name, f)
			}
			c.release(f)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return nil, err
}

// acquire returns the folder at name for use until release. It fails with fs.ErrNotExist when a folder above it was
// removed meanwhile; the next call starts afresh.
func (c *folders) acquire(name string) (*folder, error) {
	if f, err := c.cached(name); f != nil || err != nil {
		return f, err
	}
	if name == "." {
		return &folder{dir: c.top, uses: 2}, nil // never reaches zero: top stays open
	}
	parent, err := c.acquire(path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer c.release(parent)
	dir, err := openDurably(parent.dir, path.Base(name))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			c.forget(path.Dir(name), parent)
		}
		return nil, err
	}
	return c.add(name, dir), nil
}

// openDurably opens the folder called name in parent, made if missing, and makes its entry durable. The entry is
// flushed even when the folder was there, since another process may have made it a moment ago.
func openDurably(parent *fsx.Dir, name string) (*fsx.Dir, error) {
	dir, err := parent.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := parent.Mkdir(name, folderPerm); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		dir, err = parent.Open(name)
	}
	if err != nil {
		return nil, err
	}
	if err := parent.Sync(); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return dir, nil
}

func (c *folders) cached(name string) (*folder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fs.ErrClosed
	}
	f := c.open[name]
	if f == nil {
		return nil, nil
	}
	f.uses++
	i := slices.Index(c.recent, name)
	c.recent = append(slices.Delete(c.recent, i, i+1), name)
	return f, nil
}

// add keeps dir for later users and returns it for this one. Of two users who opened the same folder the later wins.
func (c *folders) add(name string, dir *fsx.Dir) *folder {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &folder{dir: dir, uses: 1}
	if c.closed {
		return f
	}
	c.drop(name)
	f.uses++
	c.open[name] = f
	c.recent = append(c.recent, name)
	if len(c.recent) > maxOpenFolders {
		c.drop(c.recent[0])
	}
	return f
}

// forget keeps f from being handed out again.
func (c *folders) forget(name string, f *folder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[name] == f {
		c.drop(name)
	}
}

// drop removes name from the folders kept, if it is there; the caller holds mu.
func (c *folders) drop(name string) {
	f := c.open[name]
	if f == nil {
		return
	}
	delete(c.open, name)
	c.recent = slices.DeleteFunc(c.recent, func(n string) bool { return n == name })
	c.unuse(f)
}

func (c *folders) release(f *folder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unuse(f)
}

func (c *folders) unuse(f *folder) {
	if f.uses--; f.uses == 0 {
		_ = f.dir.Close() // nothing was written through it that was not flushed
	}
}

func (c *folders) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for name := range c.open {
		c.drop(name)
	}
	return c.top.Close()
}
