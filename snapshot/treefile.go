package snapshot

import (
	"io"
	"io/fs"
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// openFile is a file of a [treeFS].
type openFile struct {
	path   string
	info   *fileInfo
	image  *Image // nil: there is no content
	closed atomic.Bool

	mu    sync.Mutex
	off   int64  // of the next Read
	ahead []byte // what was read at aheadAt
	start int64
}

var (
	_ io.ReaderAt = (*openFile)(nil)
	_ io.Seeker   = (*openFile)(nil)
)

// readAhead is how much a small Read reads. Whole chunks are fetched and hashed whatever is wanted of them, so it is a few chunks.
const readAhead = 256 << 10

func (f *openFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

// check fails if the file was closed.
func (f *openFile) check(op string) error {
	if f.closed.Load() {
		return f.fail(op, fs.ErrClosed)
	}
	return nil
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, f.check("stat") }

// Close may be called while others read.
func (f *openFile) Close() error {
	if f.closed.Swap(true) {
		return f.fail("close", fs.ErrClosed)
	}
	return nil
}

// Read implements [io.Reader].
func (f *openFile) Read(p []byte) (int, error) {
	if err := f.check("read"); err != nil || len(p) == 0 {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var n int
	var err error
	if len(p) >= readAhead {
		n, err = f.readAt(p, f.off)
	} else {
		n, err = f.readBuffered(p)
	}
	f.off += int64(n)
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

func (f *openFile) readBuffered(p []byte) (int, error) {
	if f.off < f.start || f.off >= f.start+int64(len(f.ahead)) {
		want := max(0, min(readAhead, f.info.Size()-f.off))
		f.ahead = slices.Grow(f.ahead[:0], int(want))[:want]
		n, err := f.readAt(f.ahead, f.off)
		f.ahead, f.start = f.ahead[:n], f.off
		if n == 0 {
			return 0, err
		}
	}
	return copy(p, f.ahead[f.off-f.start:]), nil
}

func (f *openFile) readAt(p []byte, off int64) (int, error) {
	left := f.info.Size() - off
	if left <= 0 {
		return 0, io.EOF
	}
	n, err := f.image.ReadAt(p[:min(int64(len(p)), left)], off)
	if err == nil && n < len(p) {
		return n, io.EOF
	}
	if err != nil {
		err = f.fail("read", err)
	}
	return n, err
}

// ReadAt implements [io.ReaderAt].
func (f *openFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, f.fail("read", fs.ErrInvalid)
	}
	if len(p) == 0 {
		return 0, nil
	}
	return f.readAt(p, off)
}

// Seek implements [io.Seeker].
func (f *openFile) Seek(offset int64, whence int) (int64, error) {
	if err := f.check("seek"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += f.off
	case io.SeekEnd:
		offset += f.info.Size()
	default:
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, f.fail("seek", fs.ErrInvalid)
	}
	f.off = offset
	return offset, nil
}

// readAll returns the whole content.
func (f *openFile) readAll() ([]byte, error) {
	const step = 1 << 20
	size := f.info.Size()
	b := make([]byte, 0, min(step, size))
	for int64(len(b)) < size {
		if len(b) == cap(b) {
			b = slices.Grow(b, int(min(step, size-int64(len(b)))))
		}
		free := min(int64(cap(b)-len(b)), size-int64(len(b)))
		n, err := f.readAt(b[len(b):len(b)+int(free)], int64(len(b)))
		b = b[:len(b)+n]
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// openLink is a symlink that leads to nothing.
type openLink struct {
	path string
	info *fileInfo
}

func (l *openLink) Stat() (fs.FileInfo, error) { return l.info, nil }
func (l *openLink) Close() error               { return nil }
func (l *openLink) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: l.path, Err: fs.ErrNotExist}
}

// openDir is a directory of a [treeFS]. Until it is closed or read to its end it keeps the place in the sequence of entries.
type openDir struct {
	path    string
	info    *fileInfo
	entries iter.Seq2[*tree.Node, error]

	mu     sync.Mutex
	closed bool
	next   func() (*tree.Node, error, bool)
	stop   func()
}

func (d *openDir) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: d.path, Err: err}
}

func (d *openDir) Stat() (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, d.fail("stat", fs.ErrClosed)
	}
	return d.info, nil
}

func (d *openDir) Read([]byte) (int, error) { return 0, d.fail("read", errIsDir) }

// Close ends the reading of entries.
func (d *openDir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return d.fail("close", fs.ErrClosed)
	}
	d.closed = true
	if d.stop != nil {
		d.stop()
	}
	return nil
}

// ReadDir implements [fs.ReadDirFile]: the entries are in the order of the raw bytes of their names. If a part of the directory cannot be
// read, ReadDir(-1) returns the rest and the first error; ReadDir(n) returns the error with what came before it, and the next call goes on.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, d.fail("readdir", fs.ErrClosed)
	}
	if d.next == nil {
		d.next, d.stop = iter.Pull2(d.entries)
	}
	var list []fs.DirEntry
	var first error
	for n <= 0 || len(list) < n {
		node, err, ok := d.next()
		switch {
		case !ok && n > 0 && len(list) == 0:
			return nil, io.EOF
		case !ok:
			return list, first
		case err == nil:
			list = append(list, fs.FileInfoToDirEntry(&fileInfo{name: EscapePath(node.Name), node: node}))
			continue
		case n > 0:
			return list, d.fail("readdir", err)
		case first == nil:
			first = d.fail("readdir", err)
		}
	}
	return list, nil
}
