package restore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/holdfast-backup/holdfast/internal/zero"
)

// zeros is written where nothing better is there. Nobody changes it.
var zeros [256 << 10]byte

// writeZeros makes n bytes at off read as zeros by writing, and returns how many it wrote. With r not nil it leaves pages alone that are.
func writeZeros(w io.WriterAt, r io.ReaderAt, off, n int64) (written int64, err error) {
	var buf []byte
	if r != nil {
		buf = make([]byte, min(n, int64(len(zeros))))
	}
	for end := off + n; off < end; {
		step := min(end-off, int64(len(zeros)))
		from, to := int64(0), step
		if r != nil {
			if got, _ := r.ReadAt(buf[:step], off); int64(got) == step {
				from, to = otherThanZeros(buf[:step])
			}
		}
		if from < to {
			k, err := w.WriteAt(zeros[from:to], off+from)
			if written += int64(k); err != nil {
				return written, err
			}
		}
		off += step
	}
	return written, nil
}

// otherThanZeros returns where the pages of p begin and end that are not all zeros.
func otherThanZeros(p []byte) (from, to int64) {
	for len(p) > int(from) && zero.Is(p[from:min(from+page, int64(len(p)))]) {
		from += page
	}
	for to = int64(len(p)); to > from && zero.Is(p[max(to-page, from):to]); {
		to = max(to-page, from)
	}
	return min(from, to), to
}

// fileOutput is a regular file.
type fileOutput struct {
	*os.File
	sparse bool // holes may be made
	fresh  bool // it reads as zeros where nothing was written
	sync   bool // it is flushed in the end
}

// WriteAt implements output.
func (f *fileOutput) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if f.sync {
		startFlush(f.File, off, int64(n))
	}
	return n, err
}

func (f *fileOutput) zero(off, n int64) (int64, error) {
	return zeroFile(f.File, off, n, f.sparse, f.fresh)
}

// zeroFile makes a range of a regular file read as zeros, by a hole if it may be sparse, and returns how many bytes that may have changed.
func zeroFile(f *os.File, off, n int64, sparse, fresh bool) (int64, error) {
	switch {
	case fresh && sparse:
		return 0, nil
	case fresh:
		return writeZeros(f, nil, off, n)
	case sparse:
		return punchData(f, off, n)
	}
	return writeZeros(f, f, off, n)
}

// punchData makes holes where a range of a file has data that is not zeros.
func punchData(f *os.File, off, n int64) (changed int64, err error) {
	for end := off + n; ; {
		if off += zerosAt(f, off, end-off); off == end {
			return changed, nil
		}
		data := dataAt(f, off, end-off)
		err := punch(f, off, data)
		if errors.Is(err, errors.ErrUnsupported) {
			written, err := writeZeros(f, f, off, end-off)
			return changed + written, err
		}
		if err != nil {
			return changed, err
		}
		off += data
		changed += data
	}
}

// zerosAt returns how many of the n bytes at off of a file are zeros, at least those before the first block that has others.
func zerosAt(f *os.File, off, n int64) int64 {
	buf := make([]byte, min(n, int64(len(zeros))))
	end := off + n
	for start := off; ; {
		off += holeAt(f, off, end-off)
		b := buf[:min(int64(len(buf)), end-off)]
		if got, _ := f.ReadAt(b, off); len(b) == 0 || got < len(b) || !zero.Is(b) {
			return off - start
		}
		off += int64(len(b))
	}
}

func (f *fileOutput) zeroPrefix(off, n int64) int64 { return holeAt(f.File, off, n) }

// deviceOutput is a block device.
type deviceOutput struct {
	*os.File
	zeroed  bool // it reads as zeros where nothing was written
	compare bool // what is zero already is found by reading
}

// zero lets the device do it if it can, so that thin ones give the space back.
func (d *deviceOutput) zero(off, n int64) (int64, error) {
	if d.zeroed {
		return 0, nil
	}
	if !d.compare {
		if err := zeroDevice(d.File, off, n); !errors.Is(err, errors.ErrUnsupported) {
			return n, err
		}
	}
	return writeZeros(d.File, d.File, off, n)
}

func (d *deviceOutput) zeroPrefix(int64, int64) int64 { return 0 }

// plainOutput is anything that can be written at offsets. It can be read if that was asked for.
type plainOutput struct {
	io.WriterAt
	io.ReaderAt
	zeroed bool
}

func (p *plainOutput) zero(off, n int64) (int64, error) {
	if p.zeroed {
		return 0, nil
	}
	return writeZeros(p.WriterAt, p.ReaderAt, off, n)
}

func (p *plainOutput) zeroPrefix(int64, int64) int64 { return 0 }

// openOutput makes out ready to take a content of size bytes.
func openOutput(out io.WriterAt, size int64, o *ImageOptions) (*target, error) {
	t := &target{path: o.Path, fresh: o.Zeroed, sparse: !o.NoSparse, compare: o.InPlace}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		switch mode := info.Mode(); {
		case mode.IsRegular():
			return t, prepareFile(t, f, info.Size(), size, o)
		case mode.Type() == fs.ModeDevice:
			return t, prepareDevice(t, f, size, o)
		}
	}
	r, readable := out.(io.ReaderAt)
	if (o.InPlace || o.Verify) && !readable {
		return nil, fmt.Errorf("%s cannot be read: %w", t.path, errors.ErrUnsupported)
	}
	if !o.InPlace && !o.Verify {
		r = nil // written in full
	}
	t.out = &plainOutput{WriterAt: out, ReaderAt: r, zeroed: o.Zeroed}
	return t, nil
}

// prepareFile gives a regular file its size, and makes sure that what is not compared is empty.
func prepareFile(t *target, f *os.File, have, size int64, o *ImageOptions) error {
	if !o.InPlace && have > 0 {
		if err := f.Truncate(0); err != nil {
			return err
		}
		have = 0
	}
	if have == 0 {
		t.fresh, t.compare = true, false
	}
	t.out = &fileOutput{File: f, sparse: t.sparse, fresh: t.fresh, sync: o.Sync}
	if !t.sparse && t.fresh {
		if err := allocate(f, size); err != nil {
			return fmt.Errorf("reserving %d bytes for %s: %w", size, t.path, err)
		}
	}
	if t.resized = have != size; !t.resized {
		return nil
	}
	return f.Truncate(size)
}

func prepareDevice(t *target, f *os.File, size int64, o *ImageOptions) error {
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("measuring %s: %w", t.path, err)
	}
	if have == 0 && size > 0 {
		if have, err = deviceSize(f); err != nil {
			return fmt.Errorf("measuring %s: %w", t.path, err)
		}
	}
	if have < size {
		return &SizeError{Path: t.path, Have: have, Need: size}
	}
	t.out = &deviceOutput{File: f, zeroed: o.Zeroed, compare: o.InPlace}
	return nil
}
