package ledger

import (
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Condemned is a CONDEMN that no DELETE has ended.
type Condemned struct {
	N       uint64 // number of the entry
	Session SessionID
	Marked  uint64
	Retired []IndexFile // read only
	Added   []IndexFile // read only
}

// collection is what a State knows of collecting. Its slices and maps are replaced, never written.
type collection struct {
	pending []*Condemned
	holds   map[SessionID][]crypto.ID // of open sessions
	sweeps  []Sweeping

	indexed   uint64 // entries up to the last that changed which index files are live or condemned
	collected uint64 // entries up to the last CONDEMN or DELETE
	needed    uint64 // entries up to the last after which more may be needed than before, or less is there
	deleted   uint64 // entries up to the last DELETE
}

func (s *State) collector(a *Actor, id SessionID) string {
	session, why := s.ownSession(a, id)
	if why == "" && session.Purpose == Writing {
		return fmt.Sprintf("session %s was not opened for collecting", id)
	}
	return why
}

func (s *State) judgeCondemn(a *Actor, c *Condemn) string {
	if why := s.collector(a, c.Session); why != "" {
		return why
	}
	if c.Marked < s.collection.collected || c.Marked > s.next {
		return fmt.Sprintf("marked after %d entries, another collection came with the first %d of %d", c.Marked, s.collection.collected, s.next)
	}
	live := set(s.index)
	for _, f := range c.Retired {
		if _, ok := live[f]; !ok {
			return fmt.Sprintf("index file %s is not live", f.Hash)
		}
	}
	return s.fresh(c.Added)
}

// fresh says whether index files were named before.
func (s *State) fresh(added []IndexFile) string {
	known := set(s.index)
	for _, p := range s.collection.pending {
		for _, f := range p.Retired {
			known[f] = struct{}{}
		}
	}
	for _, f := range added {
		if _, ok := known[f]; ok {
			return fmt.Sprintf("index file %s was added before", f.Hash)
		}
	}
	return ""
}

func (s *State) judgeDelete(a *Actor, x *Delete) string {
	if why := s.collector(a, x.Session); why != "" {
		return why
	}
	if !slices.ContainsFunc(s.collection.pending, func(p *Condemned) bool { return p.N == x.Condemned }) {
		return fmt.Sprintf("entry %d condemns nothing that is left", x.Condemned)
	}
	if x.Marked < s.collection.needed || x.Marked > s.next {
		return fmt.Sprintf("marked after %d entries, more may be needed since the first %d of %d", x.Marked, s.collection.needed, s.next)
	}
	if older := s.WritersBefore(x.Condemned); len(older) > 0 {
		return fmt.Sprintf("session %s was opened before entry %d and is live", older[0].ID, x.Condemned)
	}
	return s.fresh(x.Added)
}

func (s *State) judgeHold(a *Actor, h *Hold) string {
	if _, why := s.ownSession(a, h.Session); why != "" {
		return why
	}
	for _, id := range h.Snapshots {
		if why := s.liveSnapshot(id); why != "" {
			return why
		}
	}
	return ""
}

func (s *State) judgeUnforget(u *Unforget) string {
	for _, id := range u.Snapshots {
		place, known := s.places[id]
		if !known {
			return fmt.Sprintf("snapshot %s is unknown", id)
		}
		switch at := s.snapshots[place].ForgottenAt; {
		case at == 0:
			return fmt.Sprintf("snapshot %s is not forgotten", id)
		case at < s.collection.deleted:
			return fmt.Sprintf("entry %d let go what snapshot %s needed", s.collection.deleted-1, id)
		}
	}
	return ""
}

func (s *State) condemn(e *Entry, c *Condemn) {
	retired := set(c.Retired)
	left := make([]IndexFile, 0, len(s.index)+len(c.Added))
	for _, f := range s.index {
		if _, gone := retired[f]; !gone {
			left = append(left, f)
		}
	}
	s.index = append(left, c.Added...)
	s.parts[indexList] = nil
	k := &s.collection
	if len(c.Retired) > 0 {
		p := &Condemned{N: e.N, Session: c.Session, Marked: c.Marked, Retired: c.Retired, Added: c.Added}
		k.pending = append(slices.Clip(k.pending), p)
	}
	k.indexed, k.collected, k.needed = e.N+1, e.N+1, e.N+1
}

func (s *State) delete(e *Entry, x *Delete) {
	k := &s.collection
	k.pending = slices.DeleteFunc(slices.Clone(k.pending), func(p *Condemned) bool { return p.N == x.Condemned })
	s.changed(indexList, len(s.index))
	s.index = append(slices.Clip(s.index), x.Added...)
	k.indexed, k.collected, k.needed, k.deleted = e.N+1, e.N+1, e.N+1, e.N+1
	for i, snap := range s.snapshots {
		if snap.ForgottenAt != 0 && snap.commit != nil && !s.held(snap.ID) {
			gone := *snap
			gone.Facts, gone.commit, gone.tags = nil, nil, nil
			s.snapshots[i] = &gone
			s.changed(snapshotList, i)
		}
	}
}

func (s *State) held(id crypto.ID) bool {
	for session, list := range s.collection.holds {
		if _, live := s.live[session]; live && slices.Contains(list, id) {
			return true
		}
	}
	return false
}

func (s *State) hold(e *Entry, h *Hold) {
	holds := make(map[SessionID][]crypto.ID, len(s.collection.holds)+1)
	for id, list := range s.collection.holds {
		if _, live := s.live[id]; live {
			holds[id] = list
		}
	}
	held := slices.Clip(holds[h.Session])
	for _, id := range h.Snapshots {
		if !slices.Contains(held, id) {
			held = append(held, id)
		}
	}
	holds[h.Session] = held
	s.changed(sessionList, s.sessions[h.Session].place)
	s.collection.holds, s.collection.needed = holds, e.N+1
}

func (s *State) unforget(e *Entry, u *Unforget) {
	for _, id := range u.Snapshots {
		s.change(id, func(snap *Snapshot) { snap.ForgottenAt, snap.LiveSince = 0, e.N })
	}
	s.collection.needed = e.N + 1
}

// Condemned returns the CONDEMN entries that no DELETE has ended, in their order.
func (s *State) Condemned() []Condemned {
	list := make([]Condemned, len(s.collection.pending))
	for i, p := range s.collection.pending {
		list[i] = *p
	}
	return list
}

// CondemnedFiles returns the index files that were retired by CONDEMN entries that no DELETE has ended. What they list and no live file does is
// for reading only.
func (s *State) CondemnedFiles() (list []IndexFile) {
	for _, p := range s.collection.pending {
		list = append(list, p.Retired...)
	}
	return list
}

// NamedFiles returns the live index files, and then the condemned ones.
func (s *State) NamedFiles() []IndexFile { return append(s.IndexFiles(), s.CondemnedFiles()...) }

// Recoverable returns the snapshots that were forgotten and that an UNFORGET can make live again, in the order of their COMMITs.
func (s *State) Recoverable() (list []Snapshot) {
	for _, snap := range s.snapshots {
		if s.Forgotten(snap.ID) {
			list = append(list, *snap)
		}
	}
	return list
}

// Forgotten reports whether a snapshot was forgotten and an UNFORGET can make it live again.
func (s *State) Forgotten(id crypto.ID) bool {
	snap, ok := s.Snapshot(id)
	return ok && snap.ForgottenAt != 0 && snap.ForgottenAt >= s.collection.deleted
}

// Gone reports whether a snapshot was forgotten and cannot be made live again, so that its object is of no use.
func (s *State) Gone(id crypto.ID) bool {
	place, ok := s.places[id]
	return ok && s.gone(s.snapshots[place])
}

func (s *State) gone(snap *Snapshot) bool {
	return snap.ForgottenAt != 0 && snap.ForgottenAt < s.collection.deleted && !s.held(snap.ID)
}

// WritersBefore returns the live sessions that may commit and were opened before entry n, in the order of their OPEN. A DELETE of what
// entry n condemned waits for them.
func (s *State) WritersBefore(n uint64) []Session {
	return slices.DeleteFunc(s.LiveSessions(), func(o Session) bool { return o.Purpose != Writing || o.OpenedAt >= n })
}

// IndexedAt returns how many entries there were with the last that changed which index files are live or condemned.
func (s *State) IndexedAt() uint64 { return s.collection.indexed }

// CollectedAt returns how many entries there were with the last CONDEMN or DELETE: the least that Marked of a CONDEMN can be.
func (s *State) CollectedAt() uint64 { return s.collection.collected }

// NeededAt returns how many entries there were with the last after which more may be needed, or less is there, than before: the least
// that Marked of a DELETE can be.
func (s *State) NeededAt() uint64 { return s.collection.needed }

// Needed returns the snapshots whose contents must stay: the live ones, and those that a HOLD of a live session names.
func (s *State) Needed() []Snapshot {
	list := s.Snapshots()
	for session, held := range s.collection.holds {
		if _, live := s.live[session]; !live {
			continue
		}
		for _, id := range held {
			if snap, ok := s.Snapshot(id); ok && snap.ForgottenAt != 0 {
				list = append(list, snap)
			}
		}
	}
	return list
}

// Reusable reports whether a session that was opened by entry opened may take over, unread, what a snapshot refers to. It may not when something
// that the snapshot needs may be condemned: then only a lookup of each chunk tells what is there.
func (s *State) Reusable(id crypto.ID, opened uint64) bool {
	snap, ok := s.Snapshot(id)
	if !ok || snap.ForgottenAt != 0 || snap.LiveSince >= opened {
		return false
	}
	session := s.sessions[snap.Session]
	for _, p := range s.collection.pending {
		if p.N < opened && session.OpenedAt < p.N && snap.LiveSince >= p.Marked {
			return false
		}
	}
	return true
}
