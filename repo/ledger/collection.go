package ledger

import (
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Condemn (CONDEMN) takes index files out of the live ones, and puts others in their place. Packs that the retired files list and no
// live one does are condemned: sessions opened later do not use them, readers still may, until a DELETE.
type Condemn struct {
	unsealed
	Session SessionID
	// Marked is how many entries had been replayed when the snapshots were marked that decided what to keep.
	Marked  uint64
	Retired []IndexFile // if there are none, nothing is condemned, and no DELETE is needed
	Added   []IndexFile // all in the session's own folder
}

// Type returns TypeCondemn.
func (*Condemn) Type() Type { return TypeCondemn }

func (c *Condemn) appendClear(b []byte) []byte {
	b = wire.AppendUvarint(append(b, c.Session[:]...), c.Marked)
	return appendIndexFiles(appendIndexFiles(b, c.Retired), c.Added)
}

func (c *Condemn) decodeClear(d *wire.Decoder) {
	c.Session = decodeSession(d)
	c.Marked = d.UvarintMax(numbers, "entries marked")
	c.Retired = decodeIndexFiles(d)
	if c.Added = decodeOwnFiles(d, c.Session); len(c.Retired)+len(c.Added) == 0 {
		d.Fail("no index file retired or added")
	}
}

// Delete (DELETE) ends what a CONDEMN began: the packs that it condemned, but for those that an added file lists, may go.
type Delete struct {
	unsealed
	Session   SessionID
	Condemned uint64 // number of the CONDEMN
	// Marked is how many entries had been replayed when the snapshots were marked that decided what to rescue.
	Marked uint64
	Added  []IndexFile // all in the session's own folder
}

// Type returns TypeDelete.
func (*Delete) Type() Type { return TypeDelete }

func (x *Delete) appendClear(b []byte) []byte {
	b = wire.AppendUvarint(append(b, x.Session[:]...), x.Condemned)
	return appendIndexFiles(wire.AppendUvarint(b, x.Marked), x.Added)
}

func (x *Delete) decodeClear(d *wire.Decoder) {
	x.Session = decodeSession(d)
	x.Condemned = d.UvarintMax(numbers, "number of a CONDEMN")
	x.Marked = d.UvarintMax(numbers, "entries marked")
	x.Added = decodeOwnFiles(d, x.Session)
}

func decodeOwnFiles(d *wire.Decoder, session SessionID) []IndexFile {
	list := decodeIndexFiles(d)
	if slices.ContainsFunc(list, func(f IndexFile) bool { return f.Session != session }) {
		d.Fail("index file in the folder of another session")
	}
	return list
}

// Hold (HOLD) keeps what snapshots need for as long as a session is open, forgotten or not.
type Hold struct {
	unsealed
	Session   SessionID
	Snapshots []crypto.ID // at least one, each once
}

// Type returns TypeHold.
func (*Hold) Type() Type { return TypeHold }

func (h *Hold) appendClear(b []byte) []byte {
	return appendSnapshots(append(b, h.Session[:]...), h.Snapshots)
}

func (h *Hold) decodeClear(d *wire.Decoder) {
	h.Session = decodeSession(d)
	h.Snapshots = decodeSnapshots(d)
}

// Unforget (UNFORGET) makes forgotten snapshots live again, as long as no DELETE came in between.
type Unforget struct {
	Snapshots []crypto.ID // at least one, each once
	Reason    string      // sealed; at most MaxReason bytes
}

// Type returns TypeUnforget.
func (*Unforget) Type() Type { return TypeUnforget }

func (u *Unforget) appendClear(b []byte) []byte  { return appendSnapshots(b, u.Snapshots) }
func (u *Unforget) decodeClear(d *wire.Decoder)  { u.Snapshots = decodeSnapshots(d) }
func (*Unforget) hasSealed() bool                { return true }
func (u *Unforget) appendSealed(b []byte) []byte { return wire.AppendBytes(b, u.Reason) }
func (u *Unforget) decodeSealed(d *wire.Decoder) { u.Reason = decodeReason(d) }
