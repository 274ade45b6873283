package ledger

import (
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Skip goes on with entry n although entries before it are lost; previous is the hash that it gives for the one before it. What the lost ones said is unknown
// from then on, and nobody can prove that there were no more of them: such a state is good for reading what is left, and for nothing else.
func (s *State) Skip(n uint64, previous crypto.ID) {
	if n >= s.next {
		s.next, s.last = n, previous
	}
}

// Salvage adds snapshots that are known from elsewhere to those that the ledger tells of, and takes index files for the ones that are live.
func (s *State) Salvage(snapshots []Snapshot, files []IndexFile) {
	for i := range snapshots {
		if _, known := s.places[snapshots[i].ID]; !known {
			s.places[snapshots[i].ID] = len(s.snapshots)
			s.snapshots = append(s.snapshots, &snapshots[i])
		}
	}
	s.index = slices.Clone(files)
	s.parts = [lists]parts{}
	s.collection.pending = nil
	s.collection.indexed = s.next
}
