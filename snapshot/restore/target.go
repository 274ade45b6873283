package restore

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/internal/zero"
)

// output is where the bytes of a target go. It is safe for concurrent use on ranges that do not overlap.
type output interface {
	io.WriterAt
	io.ReaderAt
	// zero makes a range read as zeros and returns how many bytes it wrote or gave up for that.
	zero(off, n int64) (int64, error)
	// zeroPrefix returns how many of the n bytes at off are known to be zeros without reading them.
	zeroPrefix(off, n int64) int64
}

// target is something that the engine fills.
type target struct {
	path    string
	number  int64 // in the order of beginning
	out     output
	fresh   bool // it reads as zeros wherever nothing was written
	sparse  bool // zeros may be left out where it reads as zeros
	compare bool // read it first, and leave what is right
	resized bool // it had another size before
	verify  bool // only read it, and report what is not right

	// refused hears of the first write that failed. What it returns ends the whole restore.
	refused func(error) error
	// settled is called once when all places are dealt with; it may be called by any goroutine.
	settled func() error

	pending atomic.Int64 // places not dealt with, and one until all are known
	dead    atomic.Bool  // writing failed
	damaged atomic.Bool
	written atomic.Int64 // bytes
}

// settle notes that n places are dealt with.
func (t *target) settle(n int64) error {
	if t.pending.Add(-n) == 0 && t.settled != nil {
		return t.settled()
	}
	return nil
}

// refuse notes that the target does not take its bytes.
func (t *target) refuse(err error) error {
	if t.dead.Swap(true) {
		return nil
	}
	return t.refused(err)
}

// page is the unit of holes in what is restored. File systems have none smaller.
const page = 4096

// write writes p at off. Where the target reads as zeros and may be sparse, pages of zeros are left out, and so are zeros at both ends of p, as
// what lies beyond may make the page a whole one.
func (t *target) write(p []byte, off int64, zeroed bool) (written int64, err error) {
	if !zeroed || !t.sparse {
		return t.writeAll(p, off)
	}
	start := 0 // bytes from start to pos are to be written
	for pos := 0; pos < len(p); {
		next := min(len(p), pos+page-int((off+int64(pos))&(page-1)))
		if zero.Is(p[pos:next]) {
			n, err := t.writeAll(p[start:pos], off+int64(start))
			if written += n; err != nil {
				return written, err
			}
			start = next
		}
		pos = next
	}
	n, err := t.writeAll(p[start:], off+int64(start))
	return written + n, err
}

func (t *target) writeAll(p []byte, off int64) (int64, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := t.out.WriteAt(p, off)
	t.written.Add(int64(n))
	if err != nil {
		return int64(n), fmt.Errorf("writing %d bytes at %d of %s: %w", len(p), off, t.path, err)
	}
	return int64(n), nil
}
