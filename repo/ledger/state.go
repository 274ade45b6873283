package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// State is what a ledger says after a number of entries. Make one with NewState. It has one owner: it is not safe for concurrent
// use, not even for reading beside Apply. What its methods return stays as it was when later entries are applied.
type State struct {
	opener  Opener
	genesis Genesis
	first   crypto.ID // hash of entry 0
	next    uint64
	last    crypto.ID // hash of entry next-1

	// The records that these point to are never written again, only replaced, so that copies may share them.
	actors     map[crypto.ActorID]*Actor
	admitted   []crypto.ActorID
	keys       [][]byte // the valid KEY entries
	sessions   map[SessionID]*Session
	opened     []SessionID // in that order
	live       map[SessionID]struct{}
	index      []IndexFile // live; appended to, or replaced
	snapshots  []*Snapshot
	places     map[crypto.ID]int // of snapshots
	features   FeatureSets       // sets are replaced, never written
	collection collection
	checkpoint Checkpoints
	parts      [lists]parts
	void       []VoidEntry
	flaws      []Flaw
}

// NewState starts a replay from entry 0. GENESIS can only be checked against itself: compare GenesisHash with what a key slot
// or a remembered pin says before trusting anything. o opens sealed parts; with nil they stay empty. Errors are as Apply's.
func NewState(genesis []byte, o Opener) (*State, error) {
	e, err := decodeAt(genesis, 0)
	if err != nil {
		return nil, err
	}
	g, err := openGenesis(e)
	if err != nil {
		return nil, &CorruptError{N: 0, Err: fmt.Errorf("%w: %w", ErrGenesis, err)}
	}
	s := &State{
		opener:   o,
		genesis:  *g,
		first:    e.Hash(),
		next:     1,
		actors:   make(map[crypto.ActorID]*Actor),
		sessions: make(map[SessionID]*Session),
		live:     make(map[SessionID]struct{}),
		places:   make(map[crypto.ID]int),
		features: g.Features,
	}
	s.last = s.first
	s.admit(&Actor{Actor: g.Admin, ID: g.Admin.ID(), Role: crypto.Admin})
	return s, nil
}

func openGenesis(e *Entry) (*Genesis, error) {
	if e.Type != TypeGenesis || !e.Previous.IsZero() {
		return nil, fmt.Errorf("%v after %s", e.Type, e.Previous)
	}
	body, err := e.Body()
	if err != nil {
		return nil, err
	}
	g := body.(*Genesis)
	if e.Suite != g.Suite || e.Actor != g.Admin.ID() {
		return nil, errors.New("entry and body disagree about the suite or the admin")
	}
	return g, e.Verify(g.Admin)
}

func decodeAt(b []byte, n uint64) (*Entry, error) {
	e, err := Decode(b)
	switch {
	case errors.Is(err, wire.ErrVersion):
		return nil, fmt.Errorf("entry %d: %w", n, err)
	case err != nil:
		return nil, &CorruptError{N: n, Err: err}
	case e.N != n:
		return nil, &CorruptError{N: n, Err: fmt.Errorf("%w: it is entry %d", ErrNumber, e.N)}
	}
	return e, nil
}

// Apply replays the next entry. An entry that is void is no error. Errors are *CorruptError, *UnknownTypeError, or wrap
// wire.ErrVersion; after one the state is as it was. b is not kept.
func (s *State) Apply(b []byte) error { return s.apply(b, false) }

// ApplyTrusted is Apply without the check of the signature, for entries whose signatures were checked before and that come from
// a place where nobody else writes, such as a local cache. Number and hash chain are checked as ever, so the entries are those
// that were checked before if, after the last, Head's hash equals one that the caller remembers: it must compare.
func (s *State) ApplyTrusted(b []byte) error { return s.apply(b, true) }

// CheckSignature reports whether b is an entry with a good signature of an actor that was admitted so far. ApplyTrusted may be used for
// it then. Any number of goroutines may call it while nobody applies an entry.
func (s *State) CheckSignature(b []byte) bool {
	e, err := Decode(b)
	if err != nil {
		return false
	}
	actor := s.actors[e.Actor]
	return actor != nil && e.Verify(actor.Actor) == nil
}

func (s *State) apply(b []byte, trusted bool) error {
	e, err := decodeAt(b, s.next)
	if err != nil {
		return err
	}
	if e.Previous != s.last {
		return &CorruptError{N: s.next, Err: ErrPrevious}
	}
	actor := s.actors[e.Actor]
	if actor == nil {
		return &CorruptError{N: s.next, Err: fmt.Errorf("%w: %s", ErrActor, e.Actor)}
	}
	if !trusted {
		if err := e.Verify(actor.Actor); err != nil {
			return &CorruptError{N: s.next, Err: err}
		}
	}
	body, why, err := s.examine(e, actor)
	if err != nil {
		return err
	}
	if why != "" {
		s.void = append(s.void, VoidEntry{N: e.N, Type: e.Type, Actor: e.Actor, Why: why})
	} else {
		s.update(e, body)
	}
	s.last = e.Hash()
	s.next++
	return nil
}

// examine decodes the body and says why the entry is void, if it is.
func (s *State) examine(e *Entry, actor *Actor) (body Body, why string, err error) {
	if actor.RemovedAt != 0 {
		return nil, "its actor was removed", nil
	}
	body, err = e.Body()
	if unknown := (*UnknownTypeError)(nil); errors.As(err, &unknown) {
		return nil, "", err
	}
	switch {
	case err != nil:
		return nil, err.Error(), nil
	case e.Suite != s.genesis.Suite:
		return nil, fmt.Sprintf("its suite is %v", e.Suite), nil
	case e.Epoch > s.genesis.Keys.Epoch:
		return nil, fmt.Sprintf("epoch %d was not announced", e.Epoch), nil
	}
	return body, s.judge(actor, body), nil
}

// Check says whether an entry with this body, by this actor, would be valid if it were the next one: nil, or a *VoidError, or
// an error that wraps ErrInvalid, ErrTooLarge or ErrActor.
func (s *State) Check(actor crypto.ActorID, body Body) error {
	a := s.actors[actor]
	if a == nil {
		return fmt.Errorf("%w: %s", ErrActor, actor)
	}
	if _, _, err := encodeBody(body); err != nil {
		return err
	}
	why := "its actor was removed"
	if a.RemovedAt == 0 {
		why = s.judge(a, body)
	}
	if why != "" {
		return &VoidError{Type: body.Type(), Why: why}
	}
	return nil
}

// Next makes the next entry, signed by the actor of ring, after Check finds that it would be valid. It does not apply it. time
// is in unix nanoseconds. Errors are Check's and New's.
func (s *State) Next(ring *crypto.Keyring, body Body, time int64) ([]byte, error) {
	if err := s.Check(ring.Actor().ID(), body); err != nil {
		return nil, err
	}
	return New(ring, body, s.next, s.last, time)
}

// Clone returns a copy that can be moved on independently. Its cost grows with the number of records, not their size.
func (s *State) Clone() *State {
	c := *s
	c.actors = maps.Clone(s.actors)
	c.admitted = slices.Clone(s.admitted)
	c.keys = slices.Clip(s.keys)
	c.sessions = maps.Clone(s.sessions)
	c.opened = slices.Clip(s.opened)
	c.live = maps.Clone(s.live)
	for i := range c.parts {
		c.parts[i] = slices.Clone(s.parts[i])
	}
	c.index = slices.Clip(s.index)
	c.snapshots = slices.Clone(s.snapshots)
	c.places = maps.Clone(s.places)
	c.void = slices.Clip(s.void)
	c.flaws = slices.Clip(s.flaws)
	return &c
}

// Head returns the number that the next entry will have and the hash of the last one applied.
func (s *State) Head() (next uint64, last crypto.ID) { return s.next, s.last }
