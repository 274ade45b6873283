package index

import (
	"errors"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// ErrNotFound is returned by lookups of chunks that no live pack has.
var ErrNotFound = errors.New("the chunk is in no pack")

// Location says where a chunk is and how to read it: get Segment.Stored bytes at SegmentOffset of the pack, open them with the
// session key in Key, decompress them, cut the chunk out, and recompute its id.
type Location struct {
	Pack          Name
	Class         crypto.Class
	PackSize      uint32           // bytes
	Key           *crypto.KeyEntry // shared: not to be changed
	SegmentOffset uint32           // of the sealed segment, in bytes from the start of the pack
	Segment       pack.Segment     // without Chunks
	Offset        uint32           // of the chunk, in bytes from the start of the segment's plaintext
	Length        uint32           // of the chunk
}

// Has reports whether a live pack has the chunk. What cannot be told because the cache is damaged counts as absent, so that the chunk is
// stored again.
func (s *Set) Has(id crypto.ID) bool {
	p := prefixOf(&id)
	k := partOf(p)
	slot := &s.slots[k]
	slot.RLock()
	defer slot.RUnlock()
	v := slot.view
	found := false
	v.memory.parts[k].find(p, func(*entry) bool { found = true; return false })
	for i := 0; i < len(v.runs) && !found; i++ {
		found = v.runs[i].mayHave(p.hi) && v.runs[i].has(p)
	}
	return found
}

// has reports whether a live pack of the run has a chunk of that prefix. The filter was asked.
func (r *run) has(p prefix) bool {
	n, err := r.seek(p)
	if err != nil {
		return false
	}
	live := r.live.Load()
	for ; n < r.header.entries; n++ {
		e, err := r.at(n)
		if err != nil || e.prefix != p {
			return false
		}
		if live.all {
			return true
		}
		if seg, err := r.segment(e.segment); err == nil && live.has(seg.pack) {
			return true
		}
	}
	return false
}

// Lookup returns where the chunk is, one place if there are several. The error wraps ErrNotFound; or it is a *RunError: the chunk may be there, but the cache
// is damaged. Then Sync tells which index files to add again.
func (s *Set) Lookup(id crypto.ID) (Location, error) {
	var one [1]Location
	list, err := s.lookup(one[:0], id, 1)
	if len(list) == 0 {
		return Location{}, err
	}
	return list[0], nil
}

// LookupAll returns every place where the chunk is. The error is as for Lookup, and comes with what was found.
func (s *Set) LookupAll(id crypto.ID) ([]Location, error) { return s.lookup(nil, id, 1<<30) }

// lookup appends up to limit locations.
func (s *Set) lookup(list []Location, id crypto.ID, limit int) ([]Location, error) {
	p := prefixOf(&id)
	k := partOf(p)
	slot := &s.slots[k]
	slot.RLock()
	defer slot.RUnlock()
	v := slot.view
	v.memory.parts[k].find(p, func(e *entry) bool {
		list = append(list, v.memory.location(e))
		return len(list) < limit
	})
	var damage error
	for i := 0; i < len(v.runs) && len(list) < limit; i++ {
		var err error
		if list, err = v.runs[i].lookup(list, p, limit); err != nil {
			damage = err
		}
	}
	if damage == nil && len(list) == 0 {
		return nil, ErrNotFound
	}
	return list, damage
}

func (r *run) lookup(list []Location, p prefix, limit int) ([]Location, error) {
	if !r.mayHave(p.hi) {
		return list, nil
	}
	n, err := r.seek(p)
	if err != nil {
		return list, err
	}
	live := r.live.Load()
	for ; n < r.header.entries && len(list) < limit; n++ {
		e, err := r.at(n)
		if err != nil {
			return list, err
		}
		if e.prefix != p {
			break
		}
		l, ok, err := r.location(&e, live)
		if err != nil {
			return list, err
		}
		if ok {
			list = append(list, l)
		}
	}
	return list, nil
}

// location completes an entry; ok is false if its pack is not live.
func (r *run) location(e *entry, live *liveSet) (l Location, ok bool, err error) {
	seg, err := r.segment(e.segment)
	if err != nil || !live.has(seg.pack) {
		return l, false, err
	}
	if uint64(e.offset)+uint64(e.length) > uint64(seg.length) {
		return l, false, r.fail("chunk of %d bytes at %d in a segment of %d", e.length, e.offset, seg.length)
	}
	key, err := r.key(seg.key)
	if err != nil {
		return l, false, err
	}
	rec := r.pack(seg.pack)
	return newLocation(&rec, &seg, key, e), true, nil
}

func (g *generation) location(e *entry) Location {
	m := (*g.packs.Load())[e.pack]
	seg := &m.segs[e.segment]
	return newLocation(&m.packRecord, seg, &m.keys[seg.key], e)
}

func newLocation(rec *packRecord, seg *segmentRecord, key *crypto.KeyEntry, e *entry) Location {
	return Location{
		Pack: rec.name, Class: rec.class, PackSize: rec.size, Key: key, SegmentOffset: seg.offset,
		Segment: pack.Segment{Codec: seg.codec, Stored: seg.stored, Length: seg.length, Salt: seg.salt},
		Offset:  e.offset, Length: e.length,
	}
}
