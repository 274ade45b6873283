package ledger

import (
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// How many items of a list make a part of the encoded state.
const (
	sessionsInPart   = 64
	indexFilesInPart = 64
	snapshotsInPart  = 16

	leastPart = 512 // bytes of a full one at least
)

// The lists of the encoded state, in their order.
const (
	sessionList = iota
	indexList
	snapshotList
	lists
)

// part is what is known of a part of the encoded state; zero: nothing.
type part struct {
	hash crypto.ID
	size int
}

// parts are those of one list. An entry changes few of them, so that the others need not be encoded again for the next CHECKPOINT.
type parts []part

// changed forgets the part that has an item.
func (p *parts) changed(item, inPart int) {
	if i := item / inPart; i < len(*p) {
		(*p)[i] = part{}
	}
}

// changed says that an item of a list is another, or new.
func (s *State) changed(list, item int) {
	s.parts[list].changed(item, [lists]int{sessionsInPart, indexFilesInPart, snapshotsInPart}[list])
}

// list is a list of the state that is encoded in parts.
type list struct {
	known  *parts
	items  int
	inPart int
	append func(b []byte, item int) []byte
}

func (s *State) lists() [lists]list {
	return [lists]list{
		sessionList:  {&s.parts[sessionList], len(s.opened), sessionsInPart, func(b []byte, i int) []byte { return s.appendSession(b, s.sessions[s.opened[i]]) }},
		indexList:    {&s.parts[indexList], len(s.index), indexFilesInPart, func(b []byte, i int) []byte { return appendIndexFile(b, &s.index[i]) }},
		snapshotList: {&s.parts[snapshotList], len(s.snapshots), snapshotsInPart, func(b []byte, i int) []byte { return s.appendSnapshot(b, s.snapshots[i]) }},
	}
}

func (l *list) count() int { return (l.items + l.inPart - 1) / l.inPart }

// encode appends part i.
func (l *list) encode(b []byte, i int) []byte {
	for item := i * l.inPart; item < min((i+1)*l.inPart, l.items); item++ {
		b = l.append(b, item)
	}
	return b
}

// part returns the hash and size of part i.
func (l *list) part(i int, buf *[]byte) part {
	for len(*l.known) <= i {
		*l.known = append(*l.known, part{})
	}
	p := &(*l.known)[i]
	if p.size == 0 {
		*buf = l.encode((*buf)[:0], i)
		*p = part{crypto.Hash(*buf), len(*buf)}
	}
	return *p
}

// Encode returns the state as it is now, as a CHECKPOINT that comes next would stand for it. Everybody encodes it alike, with keys or without.
func (s *State) Encode() []byte {
	b := wire.AppendBytes(nil, s.appendHead(nil))
	var buf []byte
	for _, l := range s.lists() {
		for i := range l.count() {
			buf = l.encode(buf[:0], i)
			b = wire.AppendBytes(b, buf)
		}
	}
	return b
}

// NextCheckpoint returns the CHECKPOINT that would be valid as the next entry. It costs as much as what changed since it was asked for the last time.
func (s *State) NextCheckpoint() *Checkpoint {
	buf := s.appendHead(nil)
	size := sizeWithLength(len(buf))
	hash := crypto.Hash(buf)
	hashes := append([]byte(nil), hash[:]...)
	for _, l := range s.lists() {
		*l.known = (*l.known)[:min(len(*l.known), l.count())]
		for i := range l.count() {
			p := l.part(i, &buf)
			size += sizeWithLength(p.size)
			hashes = append(hashes, p.hash[:]...)
		}
	}
	return &Checkpoint{State: crypto.Hash(hashes), Size: uint64(size)}
}

func sizeWithLength(n int) int { return len(wire.AppendUvarint(nil, uint64(n))) + n }

// HashState returns the hash by which a CHECKPOINT names an encoded state. The error wraps wire.ErrFormat.
func HashState(state []byte) (crypto.ID, error) {
	d := wire.NewDecoder(state)
	all := crypto.NewHash()
	// All parts but the head and the last of each list are full.
	for n := 0; d.Err() == nil && d.Len() > 0; n++ {
		b := d.Bytes(len(state), "part of a state")
		if len(b) == 0 || n > 1+lists+len(state)/leastPart {
			d.Fail("a part of %d bytes", len(b))
		}
		hash := crypto.Hash(b)
		all.Write(hash[:])
	}
	return crypto.ID(all.Sum(nil)), d.Finish()
}
