package restore

import (
	"context"
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/zero"
	"github.com/holdfast-backup/holdfast/repo"
)

// judge reads targets and compares what is there with what belongs there. It belongs to one goroutine.
type judge struct {
	hasher *repo.Hasher
	more   []place // what differs in the middle of a run of equal chunks

	stretch []place // neighbouring places about to be looked at
	target  *target // whose bytes are in the buffer
	off     int64
	have    []byte
	buf     []byte
}

// readSize is how much of a target is read at once, unless a chunk is larger.
const readSize = 1 << 20

func (j *judge) begin(stretch []place) { j.stretch, j.target, j.have = stretch, nil, nil }

// at returns n bytes of a target at off, which the i-th place of the stretch covers. With an error, the bytes before it.
func (j *judge) at(i int, off int64, n int) ([]byte, error) {
	t := j.stretch[i].target
	if from := off - j.off; t == j.target && from >= 0 && from+int64(n) <= int64(len(j.have)) {
		return j.have[from : from+int64(n)], nil
	}
	want := max(n, j.ahead(i, off))
	if cap(j.buf) < want {
		j.buf = make([]byte, max(want, readSize))
	}
	got, err := t.out.ReadAt(j.buf[:want], off)
	j.target, j.off, j.have = t, off, j.buf[:got]
	if got >= n {
		return j.have[:n], nil
	}
	if err == nil {
		err = fmt.Errorf("%d bytes instead of %d", got, n)
	}
	return j.have, err
}

// ahead returns how many bytes from off on will be looked at, without a gap, up to readSize.
func (j *judge) ahead(i int, off int64) int {
	p := &j.stretch[i]
	end := p.off
	if !p.zeros {
		end = off + (p.end()-off)/int64(p.length)*int64(p.length)
	} else {
		return int(min(p.end()-off, readSize))
	}
	for i++; i < len(j.stretch) && end-off < readSize; i++ {
		q := &j.stretch[i]
		if q.target != p.target || q.off != end || q.zeros || end+int64(q.length)-off > readSize {
			break
		}
		end = q.off + min(q.count, max(1, (readSize-(end-off))/int64(q.length)))*int64(q.length)
	}
	return int(min(end-off, readSize))
}

// same reports whether the chunk of the i-th place is at off, and whether only zeros are.
func (j *judge) same(i int, off int64) (same, zeroed bool, err error) {
	p := &j.stretch[i]
	b, err := j.at(i, off, int(p.length))
	if err != nil {
		return false, false, err
	}
	return j.hasher.Sum(b) == p.id, zero.Is(b), nil
}

// compare leaves of the i-th place p of the stretch what differs, with a count of 0 for nothing, and returns how many bytes do not.
// Further runs that differ are left in more. What cannot be read differs.
func (j *judge) compare(p *place, i int) (equal int64) {
	all := *p
	p.count = 0
	n := int64(all.length)
	var open *place // a run of differing chunks that may go on
	for k := range all.count {
		off := all.off + k*n
		same, zeroed, _ := j.same(i, off)
		if same {
			equal += n
			open = nil
			continue
		}
		if open != nil && open.zeroed == zeroed {
			open.count++
			continue
		}
		run := all
		run.off, run.count, run.zeroed = off, 1, zeroed
		if p.count == 0 {
			*p = run
			open = p
			continue
		}
		run.target.pending.Add(1)
		j.more = append(j.more, run)
		open = &j.more[len(j.more)-1]
	}
	return equal
}

// verify looks whether a place is as it should be, and reports what is not.
func (e *engine) verify(ctx context.Context, j *judge, p *place, i int) error {
	n := int64(p.length)
	if p.zeros {
		n = readSize
	}
	for off := p.off; off < p.end(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := min(n, p.end()-off)
		if p.zeros {
			if known := p.target.out.zeroPrefix(off, p.end()-off); known > 0 {
				e.counters.verified.Add(known)
				off += known
				continue
			}
		}
		good, err := j.right(p, i, off, int(size))
		switch {
		case good:
			e.counters.verified.Add(size)
		case !e.problems.listed(p.target.path, off, size):
			if err == nil {
				err = ErrMismatch
			}
			e.lost(p.target, off, size, err)
		}
		off += size
	}
	return p.target.settle(1)
}

// right reports whether size bytes of the i-th place are as they should be.
func (j *judge) right(p *place, i int, off int64, size int) (bool, error) {
	if !p.zeros {
		same, _, err := j.same(i, off)
		return same, err
	}
	b, err := j.at(i, off, size)
	return err == nil && zero.Is(b), err
}
