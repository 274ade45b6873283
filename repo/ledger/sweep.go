package ledger

import (
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// MaxSwept is how many packs one SWEEP may announce.
const MaxSwept = 1 << 20

// Sweep (SWEEP) announces which packs a collection deletes from here on, since nobody needs them, and says of which earlier ones nothing is left. A
// session for repairing, which might list them again, is not open then; one that is opened later knows what may be deleted under its hands.
type Sweep struct {
	unsealed
	Session SessionID
	// List is the hash of the object that names the packs, sweeps/<session>/<hash>, and Packs how many these are. Both are zero when none are announced.
	List  crypto.ID
	Packs uint64
	// Ended are the numbers of earlier SWEEPs, ascending, of this session or of such as have ended: nothing that they announced is there any more, but for what this one announces, too.
	Ended []uint64
}

// Type returns TypeSweep.
func (*Sweep) Type() Type { return TypeSweep }

func (w *Sweep) appendClear(b []byte) []byte {
	b = append(append(b, w.Session[:]...), w.List[:]...)
	b = wire.AppendUvarint(wire.AppendUvarint(b, w.Packs), uint64(len(w.Ended)))
	for _, n := range w.Ended {
		b = wire.AppendUvarint(b, n)
	}
	return b
}

func (w *Sweep) decodeClear(d *wire.Decoder) {
	w.Session = decodeSession(d)
	decodeAnnounced(d, &w.List, &w.Packs)
	n := d.Count(1, "ended sweeps")
	for range n {
		at := d.UvarintMax(numbers, "number of a SWEEP")
		if k := len(w.Ended); k > 0 && w.Ended[k-1] >= at {
			d.Fail("ended sweeps are not in order")
		}
		if d.Err() != nil {
			return
		}
		w.Ended = append(w.Ended, at)
	}
	if w.Packs == 0 && n == 0 {
		d.Fail("no packs announced, and no sweep ended")
	}
}

func decodeAnnounced(d *wire.Decoder, list *crypto.ID, packs *uint64) {
	d.Copy(list[:])
	if *packs = d.UvarintMax(MaxSwept, "packs"); (*packs == 0) != list.IsZero() {
		d.Fail("%d packs are announced by the list %s", *packs, list)
	}
}

// Sweeping is a SWEEP of which something may be left: what it announced may be deleted at any moment, by a session that is open or not.
type Sweeping struct {
	N       uint64 // number of the entry
	Session SessionID
	List    crypto.ID
	Packs   uint64
}

func (s *State) judgeSweep(a *Actor, w *Sweep) string {
	if why := s.collector(a, w.Session); why != "" {
		return why
	}
	of := make(map[uint64]SessionID, len(s.collection.sweeps))
	for _, k := range s.collection.sweeps {
		of[k.N] = k.Session
	}
	for _, n := range w.Ended {
		id, left := of[n]
		if !left {
			return fmt.Sprintf("entry %d announces nothing that is left", n)
		}
		if _, why := s.liveSession(id); why == "" && id != w.Session {
			return fmt.Sprintf("session %s, which announced entry %d, is live", id, n)
		}
	}
	if repairs := s.Repairs(); w.Packs > 0 && len(repairs) > 0 {
		return fmt.Sprintf("session %s repairs, and may list packs again", repairs[0].ID)
	}
	return ""
}

func (s *State) sweep(e *Entry, w *Sweep) {
	var left []Sweeping
	for _, k := range s.collection.sweeps {
		if _, ended := slices.BinarySearch(w.Ended, k.N); !ended {
			left = append(left, k)
		}
	}
	if w.Packs > 0 {
		left = append(left, Sweeping{N: e.N, Session: w.Session, List: w.List, Packs: w.Packs})
	}
	s.collection.sweeps = left
}

// Sweeps returns the SWEEPs of which something may be left, in their order. The slice is shared: read only.
func (s *State) Sweeps() []Sweeping { return slices.Clip(s.collection.sweeps) }

// Repairs returns the live sessions for repairing, in the order of their OPEN. As long as there is one, no SWEEP announces anything.
func (s *State) Repairs() []Session {
	return slices.DeleteFunc(s.LiveSessions(), func(o Session) bool { return o.Purpose != Repairing })
}

func (s *State) appendSweeps(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(s.collection.sweeps)))
	for i := range s.collection.sweeps {
		k := &s.collection.sweeps[i]
		b = append(wire.AppendUvarint(b, k.N), k.Session[:]...)
		b = wire.AppendUvarint(append(b, k.List[:]...), k.Packs)
	}
	return b
}

func (r *restorer) readSweeps(d *wire.Decoder) {
	for range d.Count(1+16+32+1, "sweeps") {
		k := Sweeping{N: d.UvarintMax(r.next, "entries")}
		k.Session = decodeSession(d)
		if decodeAnnounced(d, &k.List, &k.Packs); k.Packs == 0 {
			d.Fail("a sweep of no packs")
		}
		if d.Err() != nil {
			return
		}
		r.collection.sweeps = append(r.collection.sweeps, k)
	}
}
