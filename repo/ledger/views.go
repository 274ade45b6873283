package ledger

import (
	"cmp"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Genesis returns what entry 0 says. Its slices are shared: read only.
func (s *State) Genesis() Genesis { return s.genesis }

// GenesisHash returns the hash of entry 0, which every key slot repeats.
func (s *State) GenesisHash() crypto.ID { return s.first }

// Features returns the feature sets that apply now. The slices are shared: read only.
func (s *State) Features() FeatureSets { return s.features }

// Actor returns an actor, removed or not, and whether it was ever admitted.
func (s *State) Actor(id crypto.ActorID) (Actor, bool) {
	a := s.actors[id]
	if a == nil {
		return Actor{}, false
	}
	return *a, true
}

// Actors returns every actor ever admitted, in that order.
func (s *State) Actors() []Actor {
	list := make([]Actor, len(s.admitted))
	for i, id := range s.admitted {
		list[i] = *s.actors[id]
	}
	return list
}

// Session returns a session, live or ended, and whether it was ever opened. Its Adopts is shared: read only.
func (s *State) Session(id SessionID) (Session, bool) {
	session := s.sessions[id]
	if session == nil {
		return Session{}, false
	}
	return *session, true
}

// Outcome returns the session that a session became part of by adoption, or the session itself, and whether it was ever opened.
func (s *State) Outcome(id SessionID) (Session, bool) {
	session, ok := s.Session(id)
	for session.End == Adopted { // by one that was opened later, so this ends
		session, ok = s.Session(session.Adopter)
	}
	return session, ok
}

// LiveSessions returns the sessions that have not ended, in the order of their OPEN.
func (s *State) LiveSessions() []Session {
	list := make([]Session, 0, len(s.live))
	for id := range s.live {
		list = append(list, *s.sessions[id])
	}
	slices.SortFunc(list, func(a, b Session) int { return cmp.Compare(a.OpenedAt, b.OpenedAt) })
	return list
}

// Adoptable returns the live sessions of an actor whose OPEN names the source, in the order of their OPEN. Which of them are dead
// the ledger cannot tell. Sessions whose OPEN was not unsealed are not among them, and a zero source has none.
func (s *State) Adoptable(actor crypto.ActorID, source crypto.ID) []Session {
	if source.IsZero() {
		return nil
	}
	return slices.DeleteFunc(s.LiveSessions(), func(o Session) bool {
		return o.Actor != actor || !o.Unsealed || o.Source != source
	})
}

// Covers returns the sessions in whose folders the COMMIT of a session may list index files: itself and all that it adopted,
// directly or through others. It is nil for an unknown session.
func (s *State) Covers(id SessionID) []SessionID {
	if s.sessions[id] == nil {
		return nil
	}
	list := []SessionID{id}
	for i := 0; i < len(list); i++ { // a session is adopted once at most, so this ends
		list = append(list, s.sessions[list[i]].Adopts...)
	}
	return list
}

// IndexFiles returns the live index files, in the order in which they became so. The slice is shared: read only. Later entries do not
// change it, so a session keeps what it got at its OPEN.
func (s *State) IndexFiles() []IndexFile { return slices.Clip(s.index) }

// Snapshot returns a snapshot, live or forgotten, and whether it was ever committed. Facts and Tags are shared: read only.
func (s *State) Snapshot(id crypto.ID) (Snapshot, bool) {
	place, ok := s.places[id]
	if !ok {
		return Snapshot{}, false
	}
	return *s.snapshots[place], true
}

// Snapshots returns the live snapshots in the order of their COMMITs. Facts and Tags are shared: read only. A live snapshot
// without Facts is one that this keyring cannot read or that is flawed: whoever collects must not take it for one that
// needs nothing.
func (s *State) Snapshots() []Snapshot {
	list := make([]Snapshot, 0, len(s.snapshots))
	for _, snap := range s.snapshots {
		if snap.ForgottenAt == 0 {
			list = append(list, *snap)
		}
	}
	return list
}

// Void returns the void entries so far. The slice is shared: read only.
func (s *State) Void() []VoidEntry { return slices.Clip(s.void) }

// Flaws returns the entries so far whose sealed part is nonsense. The slice is shared: read only. It is empty without an opener.
func (s *State) Flaws() []Flaw { return slices.Clip(s.flaws) }
