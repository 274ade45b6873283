package restore

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/index"
)

// limits bound a window: it is worked on when one of them is reached.
type limits struct {
	places, targets int
	bytes           int64
}

func defaultLimits() limits { return limits{places: 64 << 10, targets: 16 << 10, bytes: 4 << 30} }

// place is a range of a target and what belongs there: a run of equal chunks, or zeros.
type place struct {
	target *target
	off    int64
	count  int64 // how many times the chunk follows itself, or bytes of zeros
	id     repo.ID
	length uint32 // bytes of the chunk, 1 for zeros
	at     uint32 // of the chunk in the plaintext of its segment
	seg    int32  // in the window's list, or noSegment
	zeros  bool   // zeros belong there
	zeroed bool   // the target reads as zeros there
}

const noSegment = -1 // dealt with, or never in a segment

func (p *place) size() int64 { return p.count * int64(p.length) }
func (p *place) end() int64  { return p.off + p.size() }

// segment is a stored segment and which places need it: order[from:to] of its window.
type segment struct {
	loc      repo.Location
	first    int32 // the first place that needs it
	from, to int32
}

// window is a list of places and the segments they need.
type window struct {
	places  []place
	targets int
	bytes   int64

	mu       sync.Mutex // while it is prepared
	known    map[segmentName]int32
	segments []segment
	order    []int32      // places by segment
	queue    []int32      // segments in the order in which they are fetched
	left     atomic.Int32 // segments not yet done
	last     *target      // of the last place
}

func newWindow() *window { return &window{known: map[segmentName]int32{}} }

func (w *window) reset() {
	clear(w.places) // lets go of targets
	w.places, w.segments, w.order, w.queue = w.places[:0], w.segments[:0], w.order[:0], w.queue[:0]
	w.targets, w.bytes, w.last = 0, 0, nil
	clear(w.known)
}

func (w *window) full(l *limits) bool {
	return len(w.places) >= l.places || w.targets >= l.targets || w.bytes >= l.bytes
}

func (w *window) add(p place) {
	if p.target != w.last {
		w.last = p.target
		w.targets++
	}
	w.places = append(w.places, p)
	w.bytes += p.size()
}

// locate notes that the i-th place needs the segment of loc. It is safe for concurrent use with different places.
func (w *window) locate(i int, loc *repo.Location) {
	p := &w.places[i]
	name := nameOf(loc)
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.known[name]
	if !ok {
		n = int32(len(w.segments))
		w.known[name] = n
		w.segments = append(w.segments, segment{loc: *loc, first: int32(i)})
	}
	s := &w.segments[n]
	s.first = min(s.first, int32(i))
	s.to++
	p.seg, p.at = n, loc.Offset
}

// arrange sorts the places by segment, and the segments by pack: the packs in the order in which the targets need them, which is often that in
// which they were written, and the segments of a pack in theirs.
func (w *window) arrange() {
	total := int32(0)
	packs := map[index.Name]int32{}
	for i := range w.segments {
		s := &w.segments[i]
		n := s.to
		s.from, s.to = total, total
		total += n
		if first, ok := packs[s.loc.Pack]; !ok || s.first < first {
			packs[s.loc.Pack] = s.first
		}
		w.queue = append(w.queue, int32(i))
	}
	w.order = slices.Grow(w.order, int(total))[:total]
	for i := range w.places {
		if seg := w.places[i].seg; seg != noSegment {
			s := &w.segments[seg]
			w.order[s.to] = int32(i)
			s.to++
		}
	}
	slices.SortFunc(w.queue, func(a, b int32) int {
		x, y := &w.segments[a].loc, &w.segments[b].loc
		return cmp.Or(cmp.Compare(packs[x.Pack], packs[y.Pack]), cmp.Compare(x.SegmentOffset, y.SegmentOffset))
	})
	w.left.Store(int32(len(w.queue)))
}
