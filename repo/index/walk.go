package index

import (
	"encoding/binary"
	"iter"

	"github.com/holdfast-backup/holdfast/crypto"
)

// PackInfo describes a live pack.
type PackInfo struct {
	Name
	File     Name // the index file that lists it; zero for a pack that was added without one
	Class    crypto.Class
	Size     uint32 // bytes
	Segments uint32
	Chunks   uint32
	Length   uint64 // of all chunks, in bytes
}

// Chunk is a chunk of a live pack.
type Chunk struct {
	Prefix [16]byte // of its id
	Location
}

// pin returns the view with references to its runs; unpin gives them back.
func (s *Set) pin() *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.view.runs {
		r.refs.Add(1)
	}
	return s.view
}

func (v *view) unpin() {
	for _, r := range v.runs {
		r.release() // munmap of a mapping that exists does not fail
	}
}

// Packs yields the live packs as they were when the loop began, each once, in no particular order. The loop may use the set.
func (s *Set) Packs() iter.Seq[PackInfo] {
	return func(yield func(PackInfo) bool) {
		v := s.pin()
		defer v.unpin()
		seen := map[[16]byte]struct{}{} // a pack may be listed by several files; its hash tells packs apart
		visit := func(rec *packRecord, file Name) bool {
			start := [16]byte(rec.name.Hash[:16])
			if _, again := seen[start]; again {
				return true
			}
			seen[start] = struct{}{}
			return yield(PackInfo{rec.name, file, rec.class, rec.size, rec.segments, rec.chunks, rec.length})
		}
		for _, r := range v.runs {
			live := r.live.Load()
			for i := range r.header.packs {
				rec := r.pack(i)
				var file Name
				if rec.file != noFile {
					file = r.files[rec.file]
				}
				if live.has(i) && !visit(&rec, file) {
					return
				}
			}
		}
		for _, m := range *v.memory.packs.Load() {
			if !visit(&m.packRecord, Name{}) {
				return
			}
		}
	}
}

// Chunks yields the chunks of all live packs as they were when the loop began, in no particular order; one that is in several packs
// is yielded for each. An error is a *RunError and ends the loop. The loop may use the set.
func (s *Set) Chunks() iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		v := s.pin()
		defer v.unpin()
		for _, r := range v.runs {
			if !r.each(yield) {
				return
			}
		}
		for i := range v.memory.parts {
			s.slots[i].RLock()
			entries := v.memory.parts[i].entries // grows at the end only
			s.slots[i].RUnlock()
			for j := range entries {
				if !yield(newChunk(&entries[j], v.memory.location(&entries[j])), nil) {
					return
				}
			}
		}
	}
}

// each yields the chunks of live packs; false to stop.
func (r *run) each(yield func(Chunk, error) bool) bool {
	live := r.live.Load()
	for n := range r.header.entries {
		e, err := r.at(n)
		var l Location
		ok := false
		if err == nil {
			l, ok, err = r.location(&e, live)
		}
		if err != nil {
			yield(Chunk{}, err)
			return false
		}
		if ok && !yield(newChunk(&e, l), nil) {
			return false
		}
	}
	return true
}

func newChunk(e *entry, l Location) Chunk {
	c := Chunk{Location: l}
	binary.BigEndian.PutUint64(c.Prefix[:], e.hi)
	binary.BigEndian.PutUint64(c.Prefix[8:], e.lo)
	return c
}

// Stats are sizes of a set.
type Stats struct {
	Packs        int    // live
	Chunks       uint64 // in live packs; one that is in several counts for each
	Length       uint64 // of these chunks, in bytes
	Runs         int
	RunBytes     uint64 // of all runs
	MemoryChunks int    // added and not in a run yet
	PrivateBytes uint64 // memory that is not mapped, about
	Damaged      int    // runs that were found damaged
}

// Stats counts. It takes some nanoseconds for each pack.
func (s *Set) Stats() Stats {
	var st Stats
	for p := range s.Packs() {
		st.Packs++
		st.Chunks += uint64(p.Chunks)
		st.Length += p.Length
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.view.runs {
		st.Runs++
		st.RunBytes += r.size
		st.PrivateBytes += r.private()
		if r.damaged.Load() {
			st.Damaged++
		}
	}
	g := s.view.memory
	st.MemoryChunks = g.chunks
	for i := range g.parts {
		s.slots[i].RLock()
		st.PrivateBytes += uint64(cap(g.parts[i].entries))*entrySize + uint64(len(g.parts[i].index))*4
		s.slots[i].RUnlock()
	}
	for _, m := range *g.packs.Load() {
		st.PrivateBytes += uint64(len(m.segs))*56 + 200
	}
	return st
}

// private returns how many bytes of memory the run takes beside its mapping.
func (r *run) private() uint64 {
	bits := uint64(len(r.seen)+len(r.seenSegs)+len(r.live.Load().packs)) * 8
	return bits + r.filters.used.Load() + uint64(len(r.shards))*shardMemory + uint64(len(r.keys))*8 + uint64(len(r.files))*nameSize
}
