package index

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/FastFilter/xorfilter"
)

// shard is a part of the id space with its filter.
type shard struct {
	shardRecord
	filter xorfilter.BinaryFuse[uint8] // fingerprints are in private memory once state is filterGood, in the file before
	state  atomic.Uint32
}

const shardMemory = uint64(unsafe.Sizeof(shard{}))

// States of a shard's filter.
const (
	filterUnknown = iota
	filterGood
	filterBad // or none: every id is searched for
)

// filterMemory holds the filters of a run while they are used: copies, in memory with large pages where the system has them. Asking a
// filter reads three bytes that are far apart, and in a mapped file the processor would have to find the page of each first.
type filterMemory struct {
	mu    sync.Mutex   // held while a filter is copied
	mem   []byte       // as long as the section; made for the first filter
	unmap func() error // of mem
	used  atomic.Uint64
}

func (m *filterMemory) free() error {
	if m.unmap == nil {
		return nil
	}
	return m.unmap()
}

// parseFilter checks the parameters of a filter, which looks up fingerprints without checking any more.
func (s *shard) parseFilter(section []byte) error {
	if s.filterLength == 0 {
		s.state.Store(filterBad)
		return nil
	}
	n, size := uint64(s.segmentLength), uint64(len(section))
	if n == 0 || n&(n-1) != 0 || n > 1<<20 || s.segmentCount == 0 || (uint64(s.segmentCount)+2)*n != s.filterLength ||
		s.filterOffset > size || s.filterLength > size-s.filterOffset {
		return fmt.Errorf("filter of %d bytes at %d", s.filterLength, s.filterOffset)
	}
	s.filter = xorfilter.BinaryFuse[uint8]{
		Seed: s.seed, SegmentLength: s.segmentLength, SegmentLengthMask: s.segmentLength - 1, SegmentCount: s.segmentCount,
		SegmentCountLength: s.segmentCount * s.segmentLength,
		Fingerprints:       section[s.filterOffset : s.filterOffset+s.filterLength],
	}
	return nil
}

// mayHave asks the filter for ids with the given start. false is certain.
func (r *run) mayHave(hi uint64) bool {
	s := r.shardOf(hi)
	if s.state.Load() == filterGood || r.loadFilter(s) {
		return s.filter.Contains(hi)
	}
	return s.count > 0
}

// loadFilter copies and checks a filter when it is used for the first time. It reports whether the filter is good.
func (r *run) loadFilter(s *shard) bool {
	if s.state.Load() == filterBad {
		return false
	}
	m := &r.filters
	m.mu.Lock()
	defer m.mu.Unlock()
	if state := s.state.Load(); state != filterUnknown {
		return state == filterGood
	}
	if m.mem == nil {
		m.mem, m.unmap = largePages(len(r.section[sectionFilters]))
	}
	mem := m.mem[s.filterOffset : s.filterOffset+s.filterLength]
	copy(mem, s.filter.Fingerprints)
	m.used.Add(s.filterLength)
	if r.sum.tag(mem) != s.tag {
		s.state.Store(filterBad) // harmless: only slower
		r.damaged.Store(true)
		return false
	}
	s.filter.Fingerprints = mem
	s.state.Store(filterGood)
	return true
}
