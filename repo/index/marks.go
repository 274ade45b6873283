package index

import (
	"sync"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Marks is a set of chunks, for walks that visit each chunk once. It takes one bit of memory for each chunk of the index as it was
// when the marks were made, and some 30 bytes for each marked chunk that the index did not have. Its methods are safe for concurrent use, except that
// Close comes last; its owner must call it.
type Marks struct {
	view *view
	bits []bitmap // for each run: its entries
	n    atomic.Uint64

	mu   sync.Mutex
	rest map[prefix]struct{} // what is in no run
}

// NewMarks returns an empty set of marks.
func (s *Set) NewMarks() *Marks {
	m := &Marks{view: s.pin(), rest: map[prefix]struct{}{}}
	for _, r := range m.view.runs {
		m.bits = append(m.bits, newBitmap(r.header.entries))
	}
	return m
}

// Mark marks a chunk, and reports whether it was marked before. Where a run is damaged it may report false again.
func (m *Marks) Mark(id crypto.ID) (before bool) { return m.mark(prefixOf(&id)) }

func (m *Marks) mark(p prefix) (before bool) {
	for i, r := range m.view.runs {
		n, ok := r.find(p)
		if !ok {
			continue
		}
		if before = m.bits[i].set(n); !before {
			m.n.Add(1)
		}
		return before
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, before = m.rest[p]; !before {
		m.rest[p] = struct{}{}
		m.n.Add(1)
	}
	return before
}

// Has reports whether a chunk is marked.
func (m *Marks) Has(id crypto.ID) bool { return m.has(prefixOf(&id)) }

func (m *Marks) has(p prefix) bool {
	for i, r := range m.view.runs {
		if n, ok := r.find(p); ok {
			return m.bits[i].has(n)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.rest[p]
	return ok
}

// Len returns how many chunks are marked.
func (m *Marks) Len() uint64 { return m.n.Load() }

// Close lets go of the index.
func (m *Marks) Close() { m.view.unpin() }

// find returns the number of the first entry of a chunk, live or not.
func (r *run) find(p prefix) (n uint64, ok bool) {
	if !r.mayHave(p.hi) {
		return 0, false
	}
	n, err := r.seek(p)
	if err != nil || n >= r.header.entries {
		return 0, false
	}
	e, err := r.at(n)
	return n, err == nil && e.prefix == p
}
