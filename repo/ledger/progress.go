package ledger

import (
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
)

// ProgressLog is the chain of progress records of one session: the session itself appends to it with Next and Apply, and one that
// wants to adopt the session reads it with Apply. It has one owner.
type ProgressLog struct {
	session SessionID
	actor   crypto.Actor
	next    uint64
	last    crypto.ID
	files   []IndexFile
	seen    map[crypto.ID]struct{}
}

// NewProgressLog starts the chain of a session that the state knows, live or ended. The error wraps ErrProgress.
func NewProgressLog(s *State, id SessionID) (*ProgressLog, error) {
	session := s.sessions[id]
	if session == nil {
		return nil, fmt.Errorf("%w: session %s was never opened", ErrProgress, id)
	}
	return &ProgressLog{
		session: id,
		actor:   s.actors[session.Actor].Actor,
		last:    session.Open,
		seen:    make(map[crypto.ID]struct{}),
	}, nil
}

// Next makes the next record, which names index files completed since the record before, signed by the actor of ring, which must
// be the session's. It does not apply it. time is in unix nanoseconds. Errors wrap ErrProgress, or are New's.
func (p *ProgressLog) Next(ring *crypto.Keyring, files []IndexFile, time int64) ([]byte, error) {
	if ring.Actor() != p.actor {
		return nil, fmt.Errorf("%w: session %s is another actor's", ErrProgress, p.session)
	}
	if err := p.fresh(files); err != nil {
		return nil, err
	}
	return New(ring, &Progress{Session: p.session, IndexFiles: files}, p.next, p.last, time)
}

// Apply verifies the next record and adds its index files. The error is a *CorruptError, or wraps wire.ErrVersion; the log is then
// as it was, and what came before still stands. b is not kept.
func (p *ProgressLog) Apply(b []byte) error {
	e, err := decodeAt(b, p.next)
	if err != nil {
		return fmt.Errorf("progress of session %s: %w", p.session, err)
	}
	files, err := p.examine(e)
	if err != nil {
		return fmt.Errorf("progress of session %s: %w", p.session, &CorruptError{N: p.next, Err: err})
	}
	for _, f := range files {
		p.seen[f.Hash] = struct{}{}
	}
	p.files = append(p.files, files...)
	p.last = e.Hash()
	p.next++
	return nil
}

func (p *ProgressLog) examine(e *Entry) ([]IndexFile, error) {
	if e.Previous != p.last {
		return nil, ErrPrevious
	}
	if e.Type != TypeProgress || e.Actor != p.actor.ID() {
		return nil, fmt.Errorf("%w: %v by %s", ErrProgress, e.Type, e.Actor)
	}
	if err := e.Verify(p.actor); err != nil {
		return nil, err
	}
	body, err := e.Body()
	if err != nil {
		return nil, err
	}
	record := body.(*Progress)
	if record.Session != p.session {
		return nil, fmt.Errorf("%w: it is of session %s", ErrProgress, record.Session)
	}
	return record.IndexFiles, p.fresh(record.IndexFiles)
}

func (p *ProgressLog) fresh(files []IndexFile) error {
	for _, f := range files {
		if _, twice := p.seen[f.Hash]; twice {
			return fmt.Errorf("%w: index file %s was recorded before", ErrProgress, f.Hash)
		}
	}
	return nil
}

// Head returns the number that the next record will have and the hash that it names as previous.
func (p *ProgressLog) Head() (next uint64, last crypto.ID) { return p.next, p.last }

// Files returns the index files recorded so far, in order. The slice is shared: read only.
func (p *ProgressLog) Files() []IndexFile { return slices.Clip(p.files) }
