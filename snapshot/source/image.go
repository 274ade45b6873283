package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
)

// Image is a disk, a device or a file: bytes at offsets 0 to Size. ReadAt, Size, Extents and Changed may be called by
// any number of goroutines at once; Close waits for nobody and is called when they are done.
type Image interface {
	io.ReaderAt // past Size it gives io.EOF, also where the file has grown since
	// Size is the number of bytes when the image was opened. It never changes.
	Size() int64
	// Extents yields the kinds of the bytes off to off+n, in order, without gaps, neighbours of different kinds, cut
	// off at Size. It ends with the first error, which is that of the context.
	Extents(ctx context.Context, off, n int64) iter.Seq2[Extent, error]
	// Changed returns a *ChangedError if the image was written to since it was opened, nil if nothing shows that, or
	// the error that kept it from finding out.
	Changed() error
	Close() error
}

// Kind says what is known of an extent without reading it.
type Kind uint8

// The kinds of extents. Images tell data and holes apart; change maps have all three.
const (
	Data      Kind = iota // must be read; may well be zeros
	Hole                  // reads as zeros, says the file system
	Unchanged             // is what it was in an older snapshot
)

// String returns "data", "hole" or "unchanged".
func (k Kind) String() string {
	switch k {
	case Data:
		return "data"
	case Hole:
		return "hole"
	case Unchanged:
		return "unchanged"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Extent is a range of an image, in bytes. It is never empty.
type Extent struct {
	Off, Len int64
	Kind     Kind
}

// Range is a range of an image that could not be read, in bytes, and the first reason why.
type Range struct {
	Off, Len int64
	Err      error
}

// readStep is the unit in which unreadable data is told from readable: the sector of disks and the page of caches.
const readStep = 4096

// ReadFull fills p from offset off of r, reading all of it at once, and where that fails in steps of 4 KiB of the file.
// It returns the ranges that could not be read, sorted and apart from each other; p is zero there. Data missing at the
// end, since the source shrank, is such a range too, with io.ErrUnexpectedEOF. The error is not nil only if reading
// made no sense any more: the context ended, or r was closed.
func ReadFull(ctx context.Context, r io.ReaderAt, p []byte, off int64) ([]Range, error) {
	var bad []Range
	whole := true
	for pos, end := 0, len(p); pos < len(p); {
		if err := ctx.Err(); err != nil {
			return bad, err
		}
		n, err := r.ReadAt(p[pos:end], off+int64(pos))
		switch {
		case n == end-pos:
			pos = end
		case isContext(err) || errors.Is(err, fs.ErrClosed):
			return bad, err
		case err == io.EOF || isGone(err):
			return rest(bad, p, pos+n, off, err), nil
		case whole:
			pos = max(0, n-stepOffset(off, n)) // the step that failed is tried from its start
		default:
			clear(p[pos:end])
			bad = appendRange(bad, Range{off + int64(pos), int64(end - pos), cause(err)})
			pos = end
		}
		whole = false
		end = min(len(p), pos+readStep-stepOffset(off, pos))
	}
	return bad, nil
}

// stepOffset is how far p[pos] is into its step of the file.
func stepOffset(off int64, pos int) int { return int((off + int64(pos)) % readStep) }

// cause is err, or a reason for a reader that gave none.
func cause(err error) error {
	switch err {
	case nil:
		return io.ErrNoProgress
	case io.EOF:
		return io.ErrUnexpectedEOF
	}
	return bare(err)
}

// rest marks everything from p[pos] as unreadable.
func rest(bad []Range, p []byte, pos int, off int64, err error) []Range {
	clear(p[pos:])
	return appendRange(bad, Range{off + int64(pos), int64(len(p) - pos), cause(err)})
}

func appendRange(s []Range, r Range) []Range {
	if r.Len == 0 {
		return s
	}
	if n := len(s); n > 0 && s[n-1].Off+s[n-1].Len == r.Off {
		s[n-1].Len += r.Len
		return s
	}
	return append(s, r)
}
