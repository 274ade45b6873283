package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Restore begins a replay at a CHECKPOINT. genesis is entry 0, entry the CHECKPOINT, and state what it stands for. All that others can be held to is verified: that entry 0 leads to
// the keys, that they signed the CHECKPOINT, the OPENs of live sessions, and the COMMITs and TAGS of snapshots. That nothing is left out or made up besides, such as the removal of a key,
// only a replay from entry 0 shows: until then one trusts the collector or admin who signed the CHECKPOINT.
//
// Void, Flaws and what was sealed in the OPEN of ended sessions are not known for what came before. Errors are as Apply's.
func Restore(genesis, entry, state []byte, o Opener) (*State, error) {
	e, err := Decode(entry)
	if err != nil {
		return nil, &CorruptError{Err: err}
	}
	s, err := NewState(genesis, o)
	if err != nil {
		return nil, err
	}
	r := &restorer{State: s}
	if err := r.named(e, state); err != nil {
		return nil, &CorruptError{N: e.N, Err: fmt.Errorf("the state of a checkpoint: %w", err)}
	}
	// Hashing it anew shows that it had its only form.
	if err := s.Apply(entry); err != nil {
		return nil, err
	}
	if len(s.void) > 0 {
		return nil, &CorruptError{N: e.N, Err: fmt.Errorf("the checkpoint is void: %s", s.void[0].Why)}
	}
	return s, nil
}

// Resume goes on with a state that Encode returned earlier and that was kept where nobody else writes: signatures are not verified again. Otherwise it is as Restore.
func Resume(genesis, state []byte, o Opener) (*State, error) {
	s, err := NewState(genesis, o)
	if err != nil {
		return nil, err
	}
	r := &restorer{State: s, trusted: true}
	if err := r.read(state, func() error { return nil }); err != nil {
		return nil, &CorruptError{N: r.next, Err: fmt.Errorf("a kept state: %w", err)}
	}
	return s, nil
}

// restorer reads an encoded state.
type restorer struct {
	*State
	trusted bool
	signed  []signedEntry
	files   map[IndexFile]struct{}
	refused error // what look said
}

// signedEntry is an entry whose signature is to be verified.
type signedEntry struct {
	entry *Entry
	actor crypto.Actor
}

// named reads the state that a CHECKPOINT names.
func (r *restorer) named(e *Entry, state []byte) error {
	body, err := e.Body()
	if err != nil {
		return err
	}
	c, ok := body.(*Checkpoint)
	hash, err := HashState(state)
	if !ok || err != nil || c.State != hash || c.Size != uint64(len(state)) {
		return errors.New("it is not what the entry names")
	}
	return r.read(state, func() error {
		// Only who may sign a CHECKPOINT can make somebody read more.
		actor := r.actors[e.Actor]
		switch {
		case r.next != e.N:
			return fmt.Errorf("it is the state after %d entries", r.next)
		case actor == nil || actor.RemovedAt != 0 || !e.Type.allows(actor.Role):
			return fmt.Errorf("%w: %s", ErrActor, e.Actor)
		}
		return e.Verify(actor.Actor)
	})
}

// read reads a state. look is called as soon as the keys are read.
func (r *restorer) read(state []byte, look func() error) error {
	d := wire.NewDecoder(state)
	var counts [lists]int
	readPart(d, func(d *wire.Decoder) { counts = r.head(d, look) })
	if err := d.Err(); err != nil {
		return cmp.Or(r.refused, err)
	}
	r.files = make(map[IndexFile]struct{})
	read := [lists]func(*wire.Decoder){sessionList: r.readSession, indexList: r.readIndexFile, snapshotList: r.readSnapshot}
	for i, l := range r.lists() {
		for at := 0; at < counts[i] && d.Err() == nil; at += l.inPart {
			readPart(d, func(d *wire.Decoder) {
				for range min(l.inPart, counts[i]-at) {
					if read[i](d); d.Err() != nil {
						return
					}
				}
			})
		}
		if i == sessionList && d.Err() == nil {
			r.linkAdopted(d)
		}
	}
	if err := d.Finish(); err != nil {
		return err
	}
	return r.verify()
}

// readPart reads one part of a state, all of it.
func readPart(d *wire.Decoder, read func(*wire.Decoder)) {
	p := wire.NewDecoder(d.Bytes(MaxState, "part of a state"))
	if d.Err() != nil {
		return
	}
	read(p)
	if err := p.Finish(); err != nil {
		d.Fail("%v", err)
	}
}

func (r *restorer) head(d *wire.Decoder, look func() error) (counts [lists]int) {
	d.Magic(stateMagic, stateVersion)
	var first crypto.ID
	if d.Copy(first[:]); first != r.first {
		d.Fail("it is of another repository")
	}
	r.next = d.U64()
	d.Copy(r.last[:])
	r.features.decode(d)
	for _, mark := range r.collection.marks() {
		*mark = d.UvarintMax(r.next, "entries")
	}
	r.checkpoint.N = d.UvarintMax(r.next, "entries")
	r.checkpoint.Before = d.UvarintMax(r.checkpoint.N, "entries")
	if r.readKeys(d); d.Err() != nil {
		return counts
	}
	if r.refused = look(); r.refused != nil {
		d.Fail("%v", r.refused)
		return counts
	}
	r.readCondemned(d)
	r.readSweeps(d)
	for i := range counts {
		counts[i] = int(d.UvarintMax(MaxState, "items"))
	}
	return counts
}

// entry decodes an entry that stands in the state, by an actor who may write it.
func (r *restorer) entry(d *wire.Decoder, raw []byte) (*Entry, Body) {
	if d.Err() != nil {
		return nil, nil
	}
	e, err := Decode(raw)
	if err != nil {
		d.Fail("an entry: %v", err)
		return nil, nil
	}
	actor := r.actors[e.Actor]
	body, err := e.Body()
	switch {
	case err != nil:
		d.Fail("an entry: %v", err)
	case e.N == 0 || e.N >= r.next:
		d.Fail("entry %d of %d", e.N, r.next)
	case actor == nil || !e.Type.allows(actor.Role):
		d.Fail("entry %d is a %v of actor %s", e.N, e.Type, e.Actor)
	case actor.RemovedAt != 0 && e.N > actor.RemovedAt:
		d.Fail("entry %d is by actor %s, who was removed before", e.N, e.Actor)
	default:
		r.signed = append(r.signed, signedEntry{e, actor.Actor})
		return e, body
	}
	return nil, nil
}

// readKeys replays the KEY entries. Each is verified before the next one, which may be by an actor that it admitted.
func (r *restorer) readKeys(d *wire.Decoder) {
	for range d.Count(1, "keys") {
		e, body := r.entry(d, d.Bytes(MaxEntry, "entry"))
		k, ok := body.(*Key)
		if d.Err() != nil || !ok {
			d.Fail("not a KEY entry")
			return
		}
		why := r.judgeKey(k)
		if err := r.verify(); err != nil {
			d.Fail("entry %d: %v", e.N, err)
			return
		}
		if r.actors[e.Actor].RemovedAt != 0 {
			why = "its actor was removed"
		}
		if why != "" {
			d.Fail("entry %d: %s", e.N, why)
			return
		}
		r.key(e, k)
	}
}

func (r *restorer) readSession(d *wire.Decoder) {
	var s *Session
	if flags := d.U8(); flags == byte(Live) {
		s = r.readLive(d)
	} else {
		s = r.readEnded(d, flags)
	}
	if d.Err() != nil {
		return
	}
	if n := len(r.opened); n > 0 && r.sessions[r.opened[n-1]].OpenedAt >= s.OpenedAt || r.sessions[s.ID] != nil {
		d.Fail("session %s is not the next one", s.ID)
		return
	}
	s.place = len(r.opened)
	r.sessions[s.ID], r.opened = s, append(r.opened, s.ID)
}

func (r *restorer) readIndexFile(d *wire.Decoder) {
	f := decodeIndexFile(d)
	if _, twice := r.files[f]; twice {
		d.Fail("index file %s is listed twice", f.Hash)
	}
	r.files[f] = struct{}{}
	r.index = append(r.index, f)
}

// linkAdopted makes sure that who follows adoptions, in either direction, comes to an end.
func (r *restorer) linkAdopted(d *wire.Decoder) {
	for _, session := range r.sessions {
		for _, id := range session.Adopts {
			adopted := r.sessions[id]
			if adopted == nil || adopted.End != Adopted || adopted.OpenedAt >= session.OpenedAt || adopted.Adopter != (SessionID{}) {
				d.Fail("session %s cannot have adopted session %s", session.ID, id)
				return
			}
			adopted.Adopter = session.ID
		}
	}
	for id, session := range r.sessions {
		if session.End == Adopted && session.Adopter == (SessionID{}) {
			d.Fail("nobody adopted session %s", id)
		}
	}
}

func (r *restorer) readEnded(d *wire.Decoder, flags byte) *Session {
	s := &Session{ID: decodeSession(d), End: End(flags & endBits), Purpose: Purpose(flags & endPurposes >> endPurpose)}
	actor := d.UvarintMax(uint64(len(r.admitted)-1), "actor")
	s.OpenedAt = d.UvarintMax(r.next, "entries")
	s.EndedAt = d.UvarintMax(r.next, "entries")
	s.Time = d.I64()
	if flags&endOpenHash != 0 {
		d.Copy(s.Open[:])
	}
	s.Adopts = decodeDistinct(d, "adopted sessions", func(id *SessionID) []byte { return id[:] })
	if s.End == Live || s.End > Removed || s.Purpose > Repairing || flags > endBits|endPurposes|endOpenHash {
		d.Fail("session %s did not end", s.ID)
	}
	if d.Err() == nil {
		s.Actor = r.admitted[actor]
	}
	return s
}

func (r *restorer) readLive(d *wire.Decoder) *Session {
	e, body := r.entry(d, d.Bytes(MaxEntry, "entry"))
	held := decodeDistinct(d, "held snapshots", func(id *crypto.ID) []byte { return id[:] })
	o, ok := body.(*Open)
	if d.Err() != nil || !ok {
		d.Fail("not an OPEN entry")
		return nil
	}
	if len(held) > 0 {
		if r.collection.holds == nil {
			r.collection.holds = map[SessionID][]crypto.ID{}
		}
		r.collection.holds[o.Session] = held
	}
	r.live[o.Session] = struct{}{}
	return newSession(e, o, r.unseal(e, o))
}

func (r *restorer) readCondemned(d *wire.Decoder) {
	for range d.Count(1+16+3, "condemned") {
		p := &Condemned{N: d.UvarintMax(r.next, "entries")}
		p.Session = decodeSession(d)
		p.Marked = d.UvarintMax(r.next, "entries")
		p.Retired, p.Added = decodeIndexFiles(d), decodeIndexFiles(d)
		if d.Err() != nil {
			return
		}
		r.collection.pending = append(r.collection.pending, p)
	}
}

func (r *restorer) readSnapshot(d *wire.Decoder) {
	var snap *Snapshot
	if d.U8() == snapshotGone {
		snap = new(Snapshot)
		d.Copy(snap.ID[:])
		snap.CommittedAt = d.UvarintMax(r.next, "entries")
		snap.ForgottenAt = d.UvarintMax(r.next, "entries")
	} else {
		snap = r.readKept(d)
	}
	if d.Err() != nil {
		return
	}
	if _, twice := r.places[snap.ID]; twice {
		d.Fail("snapshot %s is listed twice", snap.ID)
		return
	}
	r.places[snap.ID] = len(r.snapshots)
	r.snapshots = append(r.snapshots, snap)
}

func (r *restorer) readKept(d *wire.Decoder) *Snapshot {
	e, body := r.entry(d, d.Bytes(MaxEntry, "entry"))
	c, ok := body.(*Commit)
	if d.Err() != nil || !ok || c.Snapshot.IsZero() {
		d.Fail("not a COMMIT of a snapshot")
		return nil
	}
	if session := r.sessions[c.Session]; session == nil || session.Actor != e.Actor {
		d.Fail("entry %d commits a session that is not its actor's", e.N)
		return nil
	}
	r.unseal(e, c)
	snap := newSnapshot(e, c)
	snap.LiveSince = d.UvarintMax(r.next, "entries")
	snap.ForgottenAt = d.UvarintMax(r.next, "entries")
	snap.ProtectedAt = d.UvarintMax(r.next, "entries")
	tags := d.Bytes(MaxEntry, "entry")
	if d.Err() != nil || len(tags) == 0 {
		return snap
	}
	e, body = r.entry(d, tags)
	t, ok := body.(*Tags)
	if d.Err() != nil || !ok || t.Snapshot != snap.ID {
		d.Fail("not the TAGS of snapshot %s", snap.ID)
		return nil
	}
	snap.setTags(e, t, r.unseal(e, t))
	return snap
}

// verify verifies the signatures of the entries met so far.
func (r *restorer) verify() error {
	list := r.signed
	r.signed = nil
	if r.trusted {
		return nil
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, s := range list {
		g.Go(func() error {
			if err := s.entry.Verify(s.actor); err != nil {
				return fmt.Errorf("entry %d: %w", s.entry.N, err)
			}
			return nil
		})
	}
	return g.Wait()
}
