package crypto

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// Tags of the fields in a slot's plaintext.
const (
	tagID      = 1
	tagCut     = 2
	tagMapID   = 3
	tagMapKey  = 4 // tags 4 to 6 come with an epoch
	tagDataKey = 5
	tagMetaKey = 6
	tagSeed    = 7
)

// appendKeys appends the plaintext of a slot: all keys of k in the order of their tags.
func (k *Keyring) appendKeys(b []byte) []byte {
	s := k.s()
	b = appendKey(b, tagID, s.id)
	b = appendKey(b, tagCut, s.cut)
	b = appendKey(b, tagMapID, s.mapID)
	for i := range s.epochs {
		b = appendEpochKey(b, tagMapKey, s.epochs[i].epoch, &s.epochs[i].mapKey)
	}
	for _, e := range s.epochs {
		if e.data != nil {
			b = appendEpochKey(b, tagDataKey, e.epoch, &e.data.seed)
		}
	}
	for _, e := range s.epochs {
		if e.meta != nil {
			b = appendEpochKey(b, tagMetaKey, e.epoch, &e.meta.seed)
		}
	}
	return appendKey(b, tagSeed, &s.seed)
}

func appendKey(b []byte, tag byte, k *Key) []byte {
	if k == nil {
		return b
	}
	return wire.AppendBytes(append(b, tag), k[:])
}

func appendEpochKey(b []byte, tag byte, epoch uint32, k *Key) []byte {
	return wire.AppendBytes(append(b, tag), append(wire.AppendU32(nil, epoch), k[:]...))
}

// slotKeys are the fields as they stand in a slot's plaintext.
type slotKeys struct {
	single [tagSeed + 1]*Key // by tag
	epochs [tagSeed + 1][]epochKey
}

type epochKey struct {
	epoch uint32
	key   Key
}

// decodeKeys reads a slot's plaintext. It must hold exactly the keys of the role.
func decodeKeys(r Role, suite Suite, plain []byte) (*Keyring, error) {
	var f slotKeys
	d := wire.NewDecoder(plain)
	for last := byte(0); d.Err() == nil && d.Len() > 0; {
		last = f.decodeField(d, last)
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("its keys: %w", err)
	}
	if err := f.check(r); err != nil {
		return nil, fmt.Errorf("its keys: %w", err)
	}
	s := &secrets{role: r, suite: suite, id: f.single[tagID], cut: f.single[tagCut], mapID: f.single[tagMapID], seed: *f.single[tagSeed]}
	for i, m := range f.epochs[tagMapKey] {
		e := epochKeys{epoch: m.epoch, mapKey: m.key}
		if holdings(r).private {
			e.data = newPrivateKey(&f.epochs[tagDataKey][i].key)
			e.meta = newPrivateKey(&f.epochs[tagMetaKey][i].key)
		}
		s.epochs = append(s.epochs, e)
	}
	return newRing(s), nil
}

// decodeField reads one field, which must come after one with the given tag, and returns its own tag.
func (f *slotKeys) decodeField(d *wire.Decoder, last byte) byte {
	tag := d.U8()
	perEpoch := tag >= tagMapKey && tag <= tagMetaKey
	if tag < tagID || tag > tagSeed || tag < last || tag == last && !perEpoch {
		d.Fail("field %d after field %d", tag, last)
		return tag
	}
	if !perEpoch {
		if p := d.Bytes(len(Key{}), "key"); len(p) == len(Key{}) {
			k := Key(p)
			f.single[tag] = &k
		} else {
			d.Fail("field %d has %d bytes", tag, len(p))
		}
		return tag
	}
	v := wire.NewDecoder(d.Bytes(4+len(Key{}), "key"))
	e := epochKey{epoch: v.U32()}
	v.Copy(e.key[:])
	list := f.epochs[tag]
	switch {
	case v.Finish() != nil:
		d.Fail("field %d: %v", tag, v.Err())
	case e.epoch == 0 || len(list) > 0 && list[len(list)-1].epoch >= e.epoch:
		d.Fail("field %d of epoch %d is out of order", tag, e.epoch)
	}
	f.epochs[tag] = append(list, e)
	return tag
}

// check compares the fields with what the role holds.
func (f *slotKeys) check(r Role) error {
	h := holdings(r)
	for tag, want := range map[int]bool{tagID: h.id, tagCut: h.cut, tagMapID: h.mapID, tagSeed: true} {
		if got := f.single[tag] != nil; got != want {
			return fmt.Errorf("%s: field %d present is %t, want %t", r, tag, got, want)
		}
	}
	n := len(f.epochs[tagMapKey])
	if n == 0 {
		return fmt.Errorf("%s: no epoch", r)
	}
	for _, tag := range []int{tagDataKey, tagMetaKey} {
		list := f.epochs[tag]
		if !h.private && len(list) > 0 || h.private && len(list) != n {
			return fmt.Errorf("%s: field %d for %d of %d epochs", r, tag, len(list), n)
		}
		for i := range list {
			if list[i].epoch != f.epochs[tagMapKey][i].epoch {
				return fmt.Errorf("%s: field %d lacks epoch %d", r, tag, f.epochs[tagMapKey][i].epoch)
			}
		}
	}
	return nil
}
