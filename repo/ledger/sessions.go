package ledger

import (
	"bytes"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Purpose says what a session may do. It is not sealed: whether a DELETE must wait for a session is decided without a key.
type Purpose uint8

// The purposes. A session for writing may COMMIT; one for collecting may CONDEMN, DELETE and SWEEP; one for repairing may CONDEMN and DELETE, and as long as it
// is open no SWEEP may announce packs.
const (
	Writing    Purpose = 0
	Collecting Purpose = 1
	Repairing  Purpose = 2
)

// String returns the purpose in a word.
func (p Purpose) String() string {
	switch p {
	case Writing:
		return "writing"
	case Collecting:
		return "collecting"
	case Repairing:
		return "repairing"
	}
	return "unknown"
}

// Open (OPEN) starts a session.
type Open struct {
	Session SessionID
	Purpose Purpose
	// Adopts are open sessions of the same actor, which the entry ends; index files in their folders become the session's.
	Adopts []SessionID

	Kind    string    // sealed; what the session is for
	Host    string    // sealed
	Source  crypto.ID // sealed; crypto.Keyring.SourceID of what is backed up, zero when there is none
	Program string    // sealed; name and version of the writer
}

// Type returns TypeOpen.
func (*Open) Type() Type { return TypeOpen }

func (o *Open) appendClear(b []byte) []byte {
	b = append(append(b, o.Session[:]...), byte(o.Purpose))
	b = wire.AppendUvarint(b, uint64(len(o.Adopts)))
	for _, id := range o.Adopts {
		b = append(b, id[:]...)
	}
	return b
}

func (o *Open) decodeClear(d *wire.Decoder) {
	o.Session = decodeSession(d)
	if o.Purpose = Purpose(d.U8()); o.Purpose > Repairing {
		d.Fail("purpose of a session is %d", o.Purpose)
	}
	o.Adopts = decodeDistinct(d, "adopted sessions", func(id *SessionID) []byte { return id[:] })
	if len(o.Adopts) > MaxAdopts {
		d.Fail("%d sessions adopted, at most %d allowed", len(o.Adopts), MaxAdopts)
	}
	if slices.Contains(o.Adopts, o.Session) {
		d.Fail("session adopts itself")
	}
}

func (*Open) hasSealed() bool { return true }

func (o *Open) appendSealed(b []byte) []byte {
	b = wire.AppendBytes(b, o.Kind)
	b = wire.AppendBytes(b, o.Host)
	b = append(b, o.Source[:]...)
	return wire.AppendBytes(b, o.Program)
}

func (o *Open) decodeSealed(d *wire.Decoder) {
	o.Kind = d.String(MaxText, "kind")
	o.Host = d.String(MaxText, "host")
	d.Copy(o.Source[:])
	o.Program = d.String(MaxText, "program")
}

// Commit (COMMIT) makes what a session wrote part of the repository and ends the session.
type Commit struct {
	Session    SessionID
	Snapshot   crypto.ID // zero: none
	IndexFiles []IndexFile
	// Facts are the snapshot's facts (docs/format.md, section 8), opaque here; sealed. Not empty when there is a snapshot, empty
	// when there is none.
	Facts []byte
}

// Type returns TypeCommit.
func (*Commit) Type() Type { return TypeCommit }

func (c *Commit) appendClear(b []byte) []byte {
	b = append(b, c.Session[:]...)
	b = append(b, c.Snapshot[:]...)
	return appendIndexFiles(b, c.IndexFiles)
}

func (c *Commit) decodeClear(d *wire.Decoder) {
	c.Session = decodeSession(d)
	d.Copy(c.Snapshot[:])
	c.IndexFiles = decodeIndexFiles(d)
}

func (c *Commit) hasSealed() bool              { return !c.Snapshot.IsZero() }
func (c *Commit) appendSealed(b []byte) []byte { return append(b, c.Facts...) }

func (c *Commit) decodeSealed(d *wire.Decoder) {
	if d.Len() == 0 {
		d.Fail("no facts")
	}
	c.Facts = bytes.Clone(d.Fixed(d.Len()))
}

// Close (CLOSE) ends a session of its own actor without committing anything.
type Close struct {
	Session SessionID
	Reason  string // sealed; at most MaxReason bytes
}

// Type returns TypeClose.
func (*Close) Type() Type { return TypeClose }

func (c *Close) appendClear(b []byte) []byte  { return append(b, c.Session[:]...) }
func (c *Close) decodeClear(d *wire.Decoder)  { c.Session = decodeSession(d) }
func (*Close) hasSealed() bool                { return true }
func (c *Close) appendSealed(b []byte) []byte { return wire.AppendBytes(b, c.Reason) }
func (c *Close) decodeSealed(d *wire.Decoder) { c.Reason = decodeReason(d) }

// Revoke (REVOKE) ends anybody's session; its COMMIT will be void.
type Revoke struct {
	Session SessionID
	Reason  string // sealed; at most MaxReason bytes
}

// Type returns TypeRevoke.
func (*Revoke) Type() Type { return TypeRevoke }

func (r *Revoke) appendClear(b []byte) []byte  { return append(b, r.Session[:]...) }
func (r *Revoke) decodeClear(d *wire.Decoder)  { r.Session = decodeSession(d) }
func (*Revoke) hasSealed() bool                { return true }
func (r *Revoke) appendSealed(b []byte) []byte { return wire.AppendBytes(b, r.Reason) }
func (r *Revoke) decodeSealed(d *wire.Decoder) { r.Reason = decodeReason(d) }

// Progress (PROGRESS) records the index files that a session completed, so that a later one may adopt it. It stands beside the
// ledger, in a chain of its own: see ProgressLog.
type Progress struct {
	unsealed
	Session    SessionID
	IndexFiles []IndexFile // completed since the record before; all in the session's own folder
}

// Type returns TypeProgress.
func (*Progress) Type() Type { return TypeProgress }

func (p *Progress) appendClear(b []byte) []byte {
	return appendIndexFiles(append(b, p.Session[:]...), p.IndexFiles)
}

func (p *Progress) decodeClear(d *wire.Decoder) {
	p.Session = decodeSession(d)
	p.IndexFiles = decodeIndexFiles(d)
	for _, f := range p.IndexFiles {
		if f.Session != p.Session {
			d.Fail("index file in the folder of another session")
		}
	}
}
