package ledger

import (
	"github.com/holdfast-backup/holdfast/internal/wire"
)

const (
	stateMagic   = "HFSTAT"
	stateVersion = 1
)

// The bits of how a session is encoded.
const (
	endBits     = 0x07
	endPurpose  = 3    // place of its purpose
	endPurposes = 0x18 // bits of that
	endOpenHash = 0x20 // the hash of its OPEN is there
)

// How a snapshot is encoded.
const (
	snapshotGone = 0
	snapshotKept = 1
)

// appendHead encodes what is in no list, and how long these are. The state is all that decides about later entries, and that they and readers may ask for: all but void
// entries and flaws, and what is sealed only as it stands in the entries.
func (s *State) appendHead(b []byte) []byte {
	b = wire.AppendU16(append(b, stateMagic...), stateVersion)
	b = wire.AppendU64(append(b, s.first[:]...), s.next)
	b = s.features.append(append(b, s.last[:]...))
	for _, mark := range s.collection.marks() {
		b = wire.AppendUvarint(b, *mark)
	}
	b = wire.AppendUvarint(wire.AppendUvarint(b, s.checkpoint.N), s.checkpoint.Before)
	b = wire.AppendStrings(b, s.keys)
	b = wire.AppendUvarint(b, uint64(len(s.collection.pending)))
	for _, p := range s.collection.pending {
		b = append(wire.AppendUvarint(b, p.N), p.Session[:]...)
		b = appendIndexFiles(appendIndexFiles(wire.AppendUvarint(b, p.Marked), p.Retired), p.Added)
	}
	b = s.appendSweeps(b)
	for _, l := range s.lists() {
		b = wire.AppendUvarint(b, uint64(l.items))
	}
	return b
}

func (k *collection) marks() []*uint64 {
	return []*uint64{&k.indexed, &k.collected, &k.needed, &k.deleted}
}

func (s *State) appendSession(b []byte, session *Session) []byte {
	if session.End == Live {
		b = wire.AppendBytes(append(b, 0), session.entry)
		return appendSnapshots(b, s.collection.holds[session.ID])
	}
	flags := byte(session.End) | byte(session.Purpose)<<endPurpose
	outcome, _ := s.Outcome(session.ID)
	covered := outcome.End == Live // whose progress records may be read still
	if covered {
		flags |= endOpenHash
	}
	b = append(append(b, flags), session.ID[:]...)
	b = wire.AppendUvarint(b, s.actors[session.Actor].place)
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
