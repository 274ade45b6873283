package ledger

import (
	"bytes"
	"errors"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
)

// update applies a valid entry. It cannot fail: a sealed part that does not open leaves its fields empty.
func (s *State) update(e *Entry, body Body) {
	switch b := body.(type) {
	case *Open:
		s.open(e, b)
	case *Commit:
		s.commit(e, b)
	case *Close:
		s.end(b.Session, Closed, e.N)
	case *Revoke:
		s.end(b.Session, Revoked, e.N)
	case *Forget:
		for _, id := range b.Snapshots {
			s.change(id, func(snap *Snapshot) { snap.ForgottenAt = e.N })
		}
	case *Tags:
		opened := s.unseal(e, b)
		s.change(b.Snapshot, func(snap *Snapshot) { snap.setTags(e, b, opened) })
	case *Key:
		s.key(e, b)
	case *Condemn:
		s.condemn(e, b)
	case *Delete:
		s.delete(e, b)
	case *Sweep:
		s.sweep(e, b)
	case *Hold:
		s.hold(e, b)
	case *Protect:
		s.protect(b.Snapshots, e.N)
	case *Unprotect:
		s.protect(b.Snapshots, 0)
	case *Unforget:
		s.unforget(e, b)
	case *Checkpoint:
		s.checkpoint = Checkpoints{N: e.N, Before: s.checkpoint.N}
	case *Features:
		s.features = s.features.with(&b.Add)
	}
}

// unseal fills the sealed fields of body if the key is held, and notes the entry as flawed if they are not what they should be.
func (s *State) unseal(e *Entry, body Body) bool {
	err := e.Unseal(s.opener, body)
	if err != nil && !errors.Is(err, ErrNoKey) {
		s.flaws = append(s.flaws, Flaw{N: e.N, Err: err})
	}
	return err == nil
}

func (s *State) open(e *Entry, o *Open) {
	opened := s.unseal(e, o)
	for _, id := range o.Adopts {
		s.end(id, Adopted, e.N)
		s.sessions[id].Adopter = o.Session // the record is new and not shared yet
	}
	session := newSession(e, o, opened)
	session.place = len(s.opened)
	s.changed(sessionList, session.place)
	s.sessions[o.Session], s.opened = session, append(s.opened, o.Session)
	s.live[o.Session] = struct{}{}
}

func newSession(e *Entry, o *Open, opened bool) *Session {
	return &Session{
		ID: o.Session, Actor: e.Actor, OpenedAt: e.N, Open: e.Hash(), Time: e.Time, Purpose: o.Purpose, Adopts: o.Adopts,
		Unsealed: opened, Kind: o.Kind, Host: o.Host, Source: o.Source, Program: o.Program, entry: bytes.Clone(e.raw),
	}
}

func (s *State) commit(e *Entry, c *Commit) {
	s.end(c.Session, Committed, e.N)
	if len(c.IndexFiles) > 0 {
		s.changed(indexList, len(s.index))
		s.index = append(s.index, c.IndexFiles...)
		s.collection.indexed = e.N + 1
	}
	s.collection.needed = e.N + 1
	if c.Snapshot.IsZero() {
		return
	}
	s.unseal(e, c)
	s.changed(snapshotList, len(s.snapshots))
	s.places[c.Snapshot] = len(s.snapshots)
	s.snapshots = append(s.snapshots, newSnapshot(e, c))
}

func newSnapshot(e *Entry, c *Commit) *Snapshot {
	return &Snapshot{
		ID: c.Snapshot, CommittedAt: e.N, LiveSince: e.N, Session: c.Session, Actor: e.Actor, Time: e.Time, Facts: c.Facts, commit: bytes.Clone(e.raw),
	}
}

func (snap *Snapshot) setTags(e *Entry, t *Tags, opened bool) {
	snap.TagsAt, snap.Tags, snap.TagsOpened, snap.tags = e.N, t.Tags, opened, bytes.Clone(e.raw)
}

func (s *State) end(id SessionID, how End, n uint64) {
	session := *s.sessions[id]
	session.End, session.EndedAt, session.entry = how, n, nil
	s.sessions[id] = &session
	delete(s.live, id)
	for _, covered := range s.Covers(id) {
		s.changed(sessionList, s.sessions[covered].place)
	}
	for _, held := range s.collection.holds[id] {
		s.changed(snapshotList, s.places[held])
	}
}

func (s *State) change(id crypto.ID, f func(*Snapshot)) {
	place := s.places[id]
	s.changed(snapshotList, place)
	snap := *s.snapshots[place]
	f(&snap)
	s.snapshots[place] = &snap
}

func (s *State) key(e *Entry, k *Key) {
	s.unseal(e, k)
	s.keys = append(s.keys, bytes.Clone(e.raw))
	id := k.Actor.ID()
	if k.Op == Admit {
		s.admit(&Actor{Actor: k.Actor, ID: id, Role: k.Role, Slot: k.Slot, Label: k.Label, AdmittedAt: e.N})
		return
	}
	actor := *s.actors[id]
	actor.RemovedAt = e.N
	s.actors[id] = &actor
	for session := range s.live {
		if s.sessions[session].Actor == id {
			s.end(session, Removed, e.N)
		}
	}
}

func (s *State) admit(a *Actor) {
	a.place = uint64(len(s.admitted))
	s.actors[a.ID] = a
	s.admitted = append(s.admitted, a.ID)
}

// union returns the ascending union of two ascending sets, in new memory.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
