package index

import (
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/crypto"
)

// parts is how many locks guard lookups, and into how many parts chunks in memory are spread.
const parts = 64

// partOf returns the part that has ids with the prefix p. Runs are searched by hi, so this uses lo.
func partOf(p prefix) int { return int(p.lo % parts) }

// generation collects the packs that a session adds, until it becomes a run. Parts are guarded by the locks of the set; packs by its
// mutex, but that lookups read what was published.
type generation struct {
	packs     atomic.Pointer[[]*memoryPack]
	parts     [parts]memoryPart
	chunks    int
	uncovered map[Name]struct{} // packs that no index file of the set lists yet
}

// memoryPack is a pack of a generation. It does not change.
type memoryPack struct {
	packRecord
	keys []crypto.KeyEntry
	segs []segmentRecord
}

func newGeneration() *generation {
	g := &generation{uncovered: map[Name]struct{}{}}
	g.packs.Store(new([]*memoryPack))
	return g
}

// addPack publishes a pack and returns its chunks as entries. They are found once they were added to their parts.
func (g *generation) addPack(p *Pack) []entry {
	old := *g.packs.Load()
	m := &memoryPack{keys: p.Keys}
	var entries []entry
	m.packRecord, m.segs, entries = p.records(uint32(len(old)), make([]entry, 0, p.chunks()))
	list := append(old, m) // readers of the old list do not look behind its end
	g.packs.Store(&list)
	g.uncovered[p.Name] = struct{}{}
	g.chunks += len(entries)
	return entries
}

// memoryPart is a hash table of entries with linear probing: about 42 bytes for each.
type memoryPart struct {
	entries []entry
	index   []uint32 // number of an entry + 1, or 0; a power of two, at most three quarters full
}

func (m *memoryPart) add(e entry) {
	if len(m.index)*3/4 <= len(m.entries) {
		m.index = make([]uint32, max(64, 2*len(m.index)))
		for i := range m.entries {
			m.insert(uint32(i))
		}
	}
	m.entries = append(m.entries, e)
	m.insert(uint32(len(m.entries) - 1))
}

func (m *memoryPart) slot(p prefix) int { return int(p.hi) & (len(m.index) - 1) }

func (m *memoryPart) insert(n uint32) {
	i := m.slot(m.entries[n].prefix)
	for m.index[i] != 0 {
		i = (i + 1) & (len(m.index) - 1)
	}
	m.index[i] = n + 1
}

// find calls yield for each entry of the prefix p until it returns false.
func (m *memoryPart) find(p prefix, yield func(*entry) bool) {
	if len(m.index) == 0 {
		return
	}
	for i := m.slot(p); m.index[i] != 0; i = (i + 1) & (len(m.index) - 1) {
		if e := &m.entries[m.index[i]-1]; e.prefix == p && !yield(e) {
			return
		}
	}
}
