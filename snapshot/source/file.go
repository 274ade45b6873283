package source

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
)

// File is an open regular file, or the inside of a Disk. It implements Image.
type File struct {
	f      *os.File
	path   string
	size   int64
	before Entry // metadata when it was opened
	drop   bool  // keep nothing of what is read in the page cache
}

var _ Image = (*File)(nil)

// bigFile is the size from which it pays to ask the file system for holes and to announce sequential reading.
const bigFile = 1 << 20

// openFile opens name at loc. If e is not nil, it must describe the file, and gets what changed since.
func openFile(loc location, name, path string, e *Entry) (*File, error) {
	if e != nil && e.Type != TypeFile {
		return nil, ErrType
	}
	f, err := sysOpen(loc, name)
	if err != nil {
		return nil, err
	}
	s := &File{f: f, path: path}
	if err := s.accept(e); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if s.size >= bigFile {
		adviseSequential(f)
	}
	return s, nil
}

func (f *File) accept(e *Entry) error {
	if err := sysFstat(f.f, &f.before); err != nil {
		return err
	}
	f.size = f.before.Size
	if e == nil {
		if f.before.Type != TypeFile {
			return ErrType
		}
		return nil
	}
	if f.before.identity() != e.identity() {
		return ErrReplaced
	}
	e.Mode, e.UID, e.GID, e.Links = f.before.Mode, f.before.UID, f.before.GID, f.before.Links
	e.Size, e.MTime, e.CTime, e.ATime = f.before.Size, f.before.MTime, f.before.CTime, f.before.ATime
	return nil
}

// Size returns the size when the file was opened, in bytes.
func (f *File) Size() int64 { return f.size }

// ReadAt fills p from offset off, as io.ReaderAt asks; past Size it gives io.EOF.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.size && off >= 0 {
		return 0, io.EOF
	}
	short := int64(len(p)) > f.size-off && off >= 0
	if short {
		p = p[:f.size-off]
	}
	n, err := f.f.ReadAt(p, off)
	if f.drop && n > 0 {
		adviseDrop(f.f, off, int64(n))
	}
	if short && err == nil {
		err = io.EOF
	}
	return n, err
}

// ReadPast is ReadAt for a file whose size says nothing, and ends where the system does. Kernels, and some file systems in user space,
// give the size 0 to files that they make up when they are read.
func (f *File) ReadPast(p []byte, off int64) (int, error) {
	n, err := f.f.ReadAt(p, off)
	return n, bare(err)
}

// MadeUp reports whether the file lies on a file system that may make up what is read: one in user space, or one without a capacity, as
// /proc and /sys. Sizes and times need not mean anything there. It is false where the system does not tell.
func (f *File) MadeUp() bool { return madeUp(f.f) }

// Prefetch asks the system to read a range soon, without waiting for it. It is a hint, and does nothing where there is
// no such call.
func (f *File) Prefetch(off, n int64) { advisePrefetch(f.f, off, n) }

// Extents yields where the file has data and holes; see Image.
func (f *File) Extents(ctx context.Context, off, n int64) iter.Seq2[Extent, error] {
	return func(yield func(Extent, error) bool) {
		pos := max(off, 0)
		end := f.size
		if n < end-pos {
			end = pos + n
		}
		find := f.f.Seek
		if f.size < bigFile {
			find = nil
		}
		for pos < end {
			if err := ctx.Err(); err != nil {
				yield(Extent{}, err)
				return
			}
			x := f.extent(find, pos, end)
			if !yield(x, nil) {
				return
			}
			pos += x.Len
		}
	}
}

// extent returns the extent that starts at pos. Any doubt makes it data.
func (f *File) extent(find func(int64, int) (int64, error), pos, end int64) Extent {
	all := Extent{pos, end - pos, Data}
	if find == nil || seekData < 0 {
		return all
	}
	data, err := find(pos, seekData)
	if isNoData(err) {
		// Only holes up to the end of the file, wherever that is by now: what it lost must be found missing.
		data, err = find(0, io.SeekEnd)
		data = min(data, f.size)
		if err == nil && data >= f.size {
			return Extent{pos, end - pos, Hole}
		}
	}
	if err != nil || data < pos {
		return all
	}
	if data > pos {
		return Extent{pos, min(data, end) - pos, Hole}
	}
	hole, err := find(pos, seekHole)
	if err != nil || hole <= pos {
		return all
	}
	return Extent{pos, min(hole, end) - pos, Data}
}

// Changed returns a *ChangedError if size or times of the file differ from when it was opened. Writes through a memory
// mapping may show up only after the system has written them back.
func (f *File) Changed() error {
	var now Entry
	if err := sysFstat(f.f, &now); err != nil {
		return entryError("stat", f.path, err)
	}
	switch {
	case now.Size != f.before.Size:
		return &ChangedError{f.path, "its size differs"}
	case now.MTime != f.before.MTime:
		return &ChangedError{f.path, "its modification time differs"}
	case now.CTime != f.before.CTime:
		return &ChangedError{f.path, "its status change time differs"}
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.f.Close() }
