package restore

import (
	"container/list"
	"context"
	"sync"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/index"
)

// segments keeps decoded segments that are in use, and some that were, so that a content that jumps between segments does not decode each
// of them over and over. A segment wanted by several at once is decoded once. It is safe for concurrent use.
type segments struct {
	idle int // how many are kept that nobody uses

	mu    sync.Mutex
	known map[segmentName]*decoded
	lru   list.List     // of *decoded that nobody uses, the one used last first
	spare [][]byte      // buffers
	fresh func() []byte // makes one
}

// decoded is a segment's plaintext. The fields but plain and err belong to segments.
type decoded struct {
	plain []byte
	err   error

	buf   []byte // memory for a segment
	name  segmentName
	ready chan struct{} // closed when plain or err is there
	users int
	elem  *list.Element // in lru
}

// segmentName names a segment.
type segmentName struct {
	pack   index.Name
	offset uint32
}

func nameOf(loc *repo.Location) segmentName { return segmentName{loc.Pack, loc.SegmentOffset} }

// newSegments keeps a number of segments beyond those in use for each worker.
func newSegments(workers int, fresh func() []byte) *segments {
	return &segments{idle: 2*workers + 4, known: map[segmentName]*decoded{}, fresh: fresh}
}

// get returns the segment of loc, which must be released unless there is an error. rd reads it if it is not there.
func (s *segments) get(ctx context.Context, rd *repo.Reader, loc *repo.Location) (*decoded, error) {
	s.mu.Lock()
	d := s.known[nameOf(loc)]
	if d != nil {
		d.users++
		if d.elem != nil {
			s.lru.Remove(d.elem)
			d.elem = nil
		}
		s.mu.Unlock()
		<-d.ready
		if d.err != nil {
			s.release(d)
			return nil, d.err
		}
		return d, nil
	}
	d = &decoded{name: nameOf(loc), ready: make(chan struct{}), users: 1}
	s.known[d.name] = d
	if n := len(s.spare); n > 0 {
		d.buf, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		d.buf = s.fresh()
	}
	s.mu.Unlock()

	d.plain, d.err = rd.SegmentInto(ctx, d.buf, loc)
	close(d.ready)
	if d.err != nil {
		s.release(d)
		return nil, d.err
	}
	return d, nil
}

// release gives a segment up.
func (s *segments) release(d *decoded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.users--; d.users > 0 {
		return
	}
	if d.err != nil {
		s.spare = append(s.spare, d.buf)
		if s.known[d.name] == d { // another attempt may be under way
			delete(s.known, d.name)
		}
		return
	}
	d.elem = s.lru.PushFront(d)
	if s.lru.Len() > s.idle {
		old := s.lru.Remove(s.lru.Back()).(*decoded)
		old.elem = nil
		delete(s.known, old.name)
		s.spare = append(s.spare, old.buf)
	}
}
