package ledger

import (
	"cmp"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

const (
	stateMagic   = "HFSTAT"
	stateVersion = 1
)

// The bits of how an ended session is encoded.
const (
	endBits       = 0x07
	endCollecting = 0x08
	endOpenHash   = 0x10 // the hash of its OPEN is there
)

// How a snapshot is encoded.
const (
	snapshotGone = 0
	snapshotKept = 1
)

// appendState encodes what decides about later entries, and what they and readers may ask for: all but void entries and flaws, and what is sealed only
// as it stands in the entries.
func (s *State) appendState(b []byte) []byte {
	b = wire.AppendU16(append(b, stateMagic...), stateVersion)
	b = wire.AppendU64(append(b, s.first[:]...), s.next)
	b = s.features.append(append(b, s.last[:]...))
	for _, mark := range s.collection.marks() {
		b = wire.AppendUvarint(b, *mark)
	}
	b = wire.AppendStrings(b, s.keys)
	b = s.appendSessions(b)
	b = appendIndexFiles(b, s.index)
	b = wire.AppendUvarint(b, uint64(len(s.collection.pending)))
	for _, p := range s.collection.pending {
		b = append(wire.AppendUvarint(b, p.N), p.Session[:]...)
		b = appendIndexFiles(appendIndexFiles(wire.AppendUvarint(b, p.Marked), p.Retired), p.Added)
	}
	b = wire.AppendUvarint(b, uint64(len(s.snapshots)))
	for _, snap := range s.snapshots {
		b = s.appendSnapshot(b, snap)
	}
	return b
}

func (k *collection) marks() []*uint64 {
	return []*uint64{&k.indexed, &k.collected, &k.needed, &k.deleted}
}

// appendSessions encodes the sessions that ended, and then the live ones, both in the order of their OPEN.
func (s *State) appendSessions(b []byte) []byte {
	actors := make(map[crypto.ActorID]uint64, len(s.admitted))
	for i, id := range s.admitted {
		actors[id] = uint64(i)
	}
	var ended, live []*Session
	for _, session := range s.sessions {
		if session.End == Live {
			live = append(live, session)
		} else {
			ended = append(ended, session)
		}
	}
	byOpen := func(a, b *Session) int { return cmp.Compare(a.OpenedAt, b.OpenedAt) }
	slices.SortFunc(ended, byOpen)
	slices.SortFunc(live, byOpen)
	b = wire.AppendUvarint(b, uint64(len(ended)))
	for _, session := range ended {
		b = s.appendEnded(b, session, actors[session.Actor])
	}
	b = wire.AppendUvarint(b, uint64(len(live)))
	for _, session := range live {
		b = wire.AppendBytes(b, session.entry)
		b = appendSnapshots(b, s.collection.holds[session.ID])
	}
	return b
}

func (s *State) appendEnded(b []byte, session *Session, actor uint64) []byte {
	flags := byte(session.End)
	if session.Purpose == Collecting {
		flags |= endCollecting
	}
	outcome, _ := s.Outcome(session.ID)
	covered := outcome.End == Live // whose progress records may be read still
	if covered {
		flags |= endOpenHash
	}
	b = append(append(b, session.ID[:]...), flags)
	b = wire.AppendUvarint(b, actor)
	b = wire.AppendUvarint(b, session.OpenedAt)
	b = wire.AppendUvarint(b, session.EndedAt)
	b = wire.AppendI64(b, session.Time)
	if covered {
		b = append(b, session.Open[:]...)
	}
	b = wire.AppendUvarint(b, uint64(len(session.Adopts)))
	for _, id := range session.Adopts {
		b = append(b, id[:]...)
	}
	return b
}

func (s *State) appendSnapshot(b []byte, snap *Snapshot) []byte {
	if s.gone(snap) {
		b = append(append(b, snapshotGone), snap.ID[:]...)
		return wire.AppendUvarint(wire.AppendUvarint(b, snap.CommittedAt), snap.ForgottenAt)
	}
	b = wire.AppendBytes(append(b, snapshotKept), snap.commit)
	b = wire.AppendUvarint(b, snap.LiveSince)
	b = wire.AppendUvarint(b, snap.ForgottenAt)
	b = wire.AppendUvarint(b, snap.ProtectedAt)
	return wire.AppendBytes(b, snap.tags)
}
