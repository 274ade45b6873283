package ledger

import (
	"bytes"
	"errors"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// FuzzDecode: whatever decodes was in its only form, and decoding never panics.
func FuzzDecode(f *testing.F) {
	c := golden(f)
	for _, b := range c.entries {
		f.Add(b)
	}
	f.Add(c.progress[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		again := append([]byte("HFLOGE"), 1, 0, byte(e.Type), byte(e.Suite))
		again = wire.AppendU32(again, e.Epoch)
		again = wire.AppendU64(again, e.N)
		again = append(again, e.Previous[:]...)
		again = append(again, e.Actor[:]...)
		again = wire.AppendI64(again, e.Time)
		again = wire.AppendBytes(again, e.Clear)
		again = wire.AppendBytes(again, e.Sealed)
		if again = append(again, e.Signature[:]...); !bytes.Equal(b, again) {
			t.Fatal("an entry has two forms")
		}
		if body, err := e.Body(); err == nil {
			if err := e.Unseal(c, body); err != nil && !errors.Is(err, ErrNoKey) && !errors.Is(err, crypto.ErrAuth) && !errors.Is(err, wire.ErrFormat) {
				t.Fatal(err)
			}
		}
	})
}

// FuzzBody: every body has one form in both of its parts.
func FuzzBody(f *testing.F) {
	c := golden(f)
	for _, b := range append(c.entries, c.progress...) {
		e, err := Decode(b)
		if err != nil {
			f.Fatal(err)
		}
		body, err := e.Body()
		if err != nil {
			continue
		}
		if err := e.Unseal(c, body); err != nil {
			f.Fatal(err)
		}
		f.Add(byte(e.Type), e.Clear, body.appendSealed(nil))
	}
	f.Fuzz(func(t *testing.T, typ byte, clear, sealed []byte) {
		body := Type(typ).newBody()
		if body == nil {
			return
		}
		d := wire.NewDecoder(clear)
		body.decodeClear(d)
		clearOK := d.Finish() == nil
		if clearOK && !bytes.Equal(clear, body.appendClear(nil)) {
			t.Fatalf("%v: the clear part has two forms", body.Type())
		}
		d = wire.NewDecoder(sealed)
		body.decodeSealed(d)
		if d.Finish() != nil {
			return
		}
		if !bytes.Equal(sealed, body.appendSealed(nil)) {
			t.Fatalf("%v: the sealed part has two forms", body.Type())
		}
		if _, _, err := encodeBody(body); clearOK && body.hasSealed() == (len(sealed) > 0) && err != nil {
			t.Fatalf("%v: what decodes is refused by New: %v", body.Type(), err)
		}
	})
}

// FuzzApply mutates entries of a chain and signs them again, so that the rules are reached and not only the signature check.
func FuzzApply(f *testing.F) {
	c := newChain(f)
	w := c.join(crypto.Writer, 1)
	collector := c.join(crypto.Collector, 2)
	rings := []*crypto.Keyring{c.admin, w, collector}
	c.ok(w, &Open{Session: sid(1)})
	c.ok(w, &Open{Session: sid(2)})
	c.ok(w, &Commit{Session: sid(2), Snapshot: snap(1), IndexFiles: files(file(2, 1)), Facts: []byte("f")})
	c.ok(collector, &Open{Session: sid(9), Purpose: Collecting})
	bodies := []Body{
		&Open{Session: sid(3), Adopts: []SessionID{sid(1)}},
		&Commit{Session: sid(1), Snapshot: snap(2), IndexFiles: files(file(1, 1)), Facts: []byte("f")},
		&Close{Session: sid(1)},
		&Revoke{Session: sid(1)},
		&Forget{Snapshots: []crypto.ID{snap(1)}},
		&Tags{Snapshot: snap(1), Tags: []string{"t"}},
		&Key{Op: Remove, Role: crypto.Writer, Actor: w.Actor(), Slot: SlotID{1}},
		&Features{Add: FeatureSets{Read: []string{"a"}}},
		&Open{Session: sid(3), Purpose: Collecting},
		&Condemn{Session: sid(9), Marked: 7, Retired: files(file(2, 1)), Added: files(file(9, 1))},
		&Hold{Session: sid(1), Snapshots: []crypto.ID{snap(1)}},
		&Sweep{Session: sid(1), List: crypto.ID{1}, Packs: 2, Ended: []uint64{3, 500}},
		&Unforget{Snapshots: []crypto.ID{snap(1)}},
		&Protect{Snapshots: []crypto.ID{snap(1)}},
		&Unprotect{Snapshots: []crypto.ID{snap(1)}},
		&Delete{Session: sid(9), Condemned: 7, Marked: 8},
	}
	for i, b := range bodies {
		f.Add(byte(i%3), byte(b.Type()), b.hasSealed(), b.appendClear(nil), b.appendSealed(nil))
	}
	f.Fuzz(func(t *testing.T, who, typ byte, sealed bool, clear, plain []byte) {
		s, blind := c.state.Clone(), c.state.Clone()
		blind.opener = nil
		before := s.Clone()
		entry := forged{typ: Type(typ), clear: clear, plain: plain}
		if sealed {
			entry.epoch = 1
		}
		b := c.forge(rings[int(who)%len(rings)], entry)
		err, errBlind := s.Apply(b), blind.Apply(b)
		if (err == nil) != (errBlind == nil) {
			t.Fatalf("an auditor sees something else: %v, %v", err, errBlind)
		}
		if err != nil {
			if n, _ := s.Head(); n != before.next {
				t.Fatal("an error moved the state on")
			}
			return
		}
		if len(s.Void()) != len(blind.Void()) {
			t.Fatal("an auditor judges otherwise")
		}
		if s.admins() == 0 {
			t.Fatal("no admin is left")
		}
		if len(set(s.IndexFiles())) != len(s.IndexFiles()) {
			t.Fatal("an index file is live twice")
		}
	})
}
