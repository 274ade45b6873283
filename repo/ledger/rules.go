package ledger

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
)

// judge says why an entry of this actor, who was not removed, is void; "" if it is valid. The package comment lists the rules.
func (s *State) judge(a *Actor, body Body) string {
	if t := body.Type(); !t.allows(a.Role) {
		return fmt.Sprintf("a %v may not write %v here", a.Role, t)
	}
	switch b := body.(type) {
	case *Open:
		return s.judgeOpen(a, b)
	case *Commit:
		return s.judgeCommit(a, b)
	case *Close:
		_, why := s.ownSession(a, b.Session)
		return why
	case *Revoke:
		_, why := s.liveSession(b.Session)
		return why
	case *Forget:
		return s.judgeProtected(b.Snapshots, false)
	case *Protect:
		return s.judgeProtected(b.Snapshots, false)
	case *Unprotect:
		return s.judgeProtected(b.Snapshots, true)
	case *Tags:
		return s.liveSnapshot(b.Snapshot)
	case *Condemn:
		return s.judgeCondemn(a, b)
	case *Delete:
		return s.judgeDelete(a, b)
	case *Sweep:
		return s.judgeSweep(a, b)
	case *Hold:
		return s.judgeHold(a, b)
	case *Unforget:
		return s.judgeUnforget(b)
	case *Key:
		return s.judgeKey(b)
	case *Checkpoint:
		return s.judgeCheckpoint(b)
	case *Features:
		return s.judgeFeatures(b)
	}
	return ""
}

func (s *State) liveSession(id SessionID) (*Session, string) {
	session := s.sessions[id]
	switch {
	case session == nil:
		return nil, fmt.Sprintf("session %s was never opened", id)
	case session.End != Live:
		return nil, fmt.Sprintf("session %s is %v since entry %d", id, session.End, session.EndedAt)
	}
	return session, ""
}

func (s *State) ownSession(a *Actor, id SessionID) (*Session, string) {
	session, why := s.liveSession(id)
	if why == "" && session.Actor != a.ID {
		return nil, fmt.Sprintf("session %s is another actor's", id)
	}
	return session, why
}

func (s *State) judgeOpen(a *Actor, o *Open) string {
	if s.sessions[o.Session] != nil {
		return fmt.Sprintf("session %s was opened before", o.Session)
	}
	if o.Purpose == Writing && a.Role == crypto.Collector || o.Purpose != Writing && a.Role == crypto.Writer {
		return fmt.Sprintf("a %v may not open a session for %v", a.Role, o.Purpose)
	}
	for _, id := range o.Adopts {
		adopted, why := s.ownSession(a, id)
		if why == "" && (o.Purpose != Writing || adopted.Purpose != Writing) {
			why = fmt.Sprintf("session %s adopts session %s, and not both are for writing", o.Session, id)
		}
		if why != "" {
			return why
		}
	}
	return ""
}

func (s *State) judgeCommit(a *Actor, c *Commit) string {
	session, why := s.ownSession(a, c.Session)
	if why != "" {
		return why
	}
	if session.Purpose != Writing {
		return fmt.Sprintf("session %s was not opened for writing", c.Session)
	}
	if _, known := s.places[c.Snapshot]; known {
		return fmt.Sprintf("snapshot %s was committed before", c.Snapshot)
	}
	var adopted map[SessionID]struct{} // made at need
	for _, f := range c.IndexFiles {
		if f.Session == c.Session {
			continue
		}
		if adopted == nil {
			adopted = set(s.Covers(session.ID))
		}
		if _, ok := adopted[f.Session]; !ok {
			return fmt.Sprintf("index file %s lies in the folder of session %s, which was not adopted", f.Hash, f.Session)
		}
	}
	return ""
}

func set[T comparable](list []T) map[T]struct{} {
	m := make(map[T]struct{}, len(list))
	for _, v := range list {
		m[v] = struct{}{}
	}
	return m
}

func (s *State) liveSnapshot(id crypto.ID) string {
	place, known := s.places[id]
	if !known {
		return fmt.Sprintf("snapshot %s is unknown", id)
	}
	if at := s.snapshots[place].ForgottenAt; at != 0 {
		return fmt.Sprintf("snapshot %s was forgotten by entry %d", id, at)
	}
	return ""
}

func (s *State) judgeKey(k *Key) string {
	id := k.Actor.ID()
	known := s.actors[id]
	if k.Op == Admit {
		if known != nil {
			return fmt.Sprintf("actor %s was admitted before", id)
		}
		return ""
	}
	switch {
	case known == nil || known.RemovedAt != 0 || known.Actor != k.Actor:
		return fmt.Sprintf("actor %s is not admitted", id)
	case known.Role != k.Role || known.Slot != k.Slot:
		return fmt.Sprintf("actor %s is %v of slot %s", id, known.Role, known.Slot)
	case known.Role == crypto.Admin && s.admins() == 1:
		return "it would remove the last admin"
	}
	return ""
}

func (s *State) admins() int {
	n := 0
	for _, a := range s.actors {
		if a.Role == crypto.Admin && a.RemovedAt == 0 {
			n++
		}
	}
	return n
}
