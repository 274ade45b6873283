package index

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// FormatError says that an index file is not as the format wants it: damaged, truncated, forged, or sealed with another key.
// Err wraps crypto.ErrAuth, wire.ErrFormat or wire.ErrVersion.
type FormatError struct {
	Offset int64 // in bytes from the start of the file, of the part that is wrong
	Err    error
}

// Error gives the offset and the cause.
func (e *FormatError) Error() string { return fmt.Sprintf("at byte %d: %v", e.Offset, e.Err) }

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// clearPart is the part of an index file that needs no secret.
type clearPart struct {
	suite     crypto.Suite
	epoch     uint32
	inventory []Item
	keys      []crypto.KeyEntry
	length    int // in bytes; the box follows
}

// Inventory returns the packs that the index file b lists, in its order. It needs no secret, and does not authenticate: the caller
// compares the hash of b with the file's name. The error is a *FormatError.
func Inventory(b []byte) ([]Item, error) {
	c, err := decodeClear(b)
	if err != nil {
		return nil, err
	}
	return c.inventory, nil
}

func decodeClear(b []byte) (*clearPart, error) {
	if len(b) > MaxFileSize {
		return nil, &FormatError{Err: fmt.Errorf("%w: index file of %d bytes", wire.ErrFormat, len(b))}
	}
	d := wire.NewDecoder(b)
	d.Magic(fileMagic, fileVersion)
	c := &clearPart{suite: crypto.Suite(d.U8()), epoch: d.U32()}
	d.Fixed(16)
	if d.Err() == nil && (!c.suite.Valid() || c.epoch == 0) {
		d.Fail("unknown %s or epoch %d", c.suite, c.epoch)
	}
	n := d.Count(itemSize, "packs")
	if n > MaxPacks {
		d.Fail("%d packs", n)
	}
	if d.Err() == nil {
		c.inventory = make([]Item, n)
	}
	for i := range c.inventory {
		decodeItem(d, &c.inventory[i])
	}
	for n := d.Count(minKeyEntry, "keys"); n > 0 && d.Err() == nil; n-- {
		c.keys = append(c.keys, crypto.DecodeKeyEntry(d))
	}
	if d.Err() == nil && d.Len() < crypto.BoxOverhead {
		d.Fail("%d bytes where the sealed part belongs", d.Len())
	}
	if d.Err() != nil {
		return nil, &FormatError{Offset: int64(d.Offset()), Err: d.Err()}
	}
	c.length = d.Offset()
	return c, nil
}

func decodeItem(d *wire.Decoder, it *Item) {
	d.Copy(it.Session[:])
	d.Copy(it.Hash[:])
	it.Class = crypto.Class(d.U8())
	it.Size = d.U32()
	if d.Err() == nil && (!it.Class.Valid() || it.Size < pack.MinSize || it.Size > pack.MaxSize) {
		d.Fail("pack of %s and %d bytes", it.Class, it.Size)
	}
}

// Decode reads an index file. Memory is a small multiple of its length. The error is a *FormatError, or one of keys.
func Decode(keys pack.MapKeys, b []byte) (*File, error) {
	c, err := decodeClear(b)
	if err != nil {
		return nil, err
	}
	k, err := keys.MapKey(c.epoch)
	if err != nil {
		return nil, fmt.Errorf("opening an index file: %w", err)
	}
	aad := crypto.Hash(b[:c.length])
	plain, err := crypto.OpenBox(nil, c.suite, k, filePurpose, b[c.length:], aad[:])
	if err != nil {
		return nil, &FormatError{Offset: int64(c.length), Err: err}
	}
	f, err := decodeContent(plain, c)
	if err != nil {
		return nil, &FormatError{Offset: int64(c.length), Err: fmt.Errorf("contents: %w", err)}
	}
	return f, nil
}

func decodeContent(plain []byte, c *clearPart) (*File, error) {
	d := wire.NewDecoder(plain)
	content := d.Bytes(len(plain), "contents")
	if d.Err() == nil && uint64(len(plain)) != pack.Padme(uint64(d.Offset())) {
		d.Fail("%d bytes padded to %d", d.Offset(), len(plain))
	}
	d.Zero(d.Len())
	if err := d.Finish(); err != nil {
		return nil, err
	}
	d = wire.NewDecoder(content)
	f := &File{Packs: make([]Pack, len(c.inventory))}
	lists := keyLists{keys: c.keys, known: map[string][]crypto.KeyEntry{}}
	for i := range f.Packs {
		it := &c.inventory[i]
		p := &f.Packs[i]
		p.Name, p.Class, p.Size = it.Name, it.Class, it.Size
		decodePack(d, p, &lists)
		if d.Err() == nil {
			if err := p.check(); err != nil {
				return nil, fmt.Errorf("pack %s: %w", p.Name, err)
			}
		}
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return f, nil
}

func decodePack(d *wire.Decoder, p *Pack, lists *keyLists) {
	p.Keys = lists.decode(d)
	p.BodyOffset = uint32(d.UvarintMax(pack.HeaderSize+keyTableMax, "body offset"))
	p.Segments, _ = pack.DecodeSegments(d, len(p.Keys), uint64(p.Size))
}

// keyLists turns lists of places into lists of keys. Packs of one session have the same, and share it.
type keyLists struct {
	keys  []crypto.KeyEntry
	known map[string][]crypto.KeyEntry
}

func (l *keyLists) decode(d *wire.Decoder) []crypto.KeyEntry {
	n := d.Count(1, "keys of a pack")
	if n > 255 {
		d.Fail("pack of %d keys", n)
	}
	var name []byte
	var list []crypto.KeyEntry
	for i := 0; i < n && d.Err() == nil; i++ {
		k := d.Uvarint()
		if k >= uint64(len(l.keys)) {
			d.Fail("key %d of %d", k, len(l.keys))
			return nil
		}
		name = wire.AppendUvarint(name, k)
		list = append(list, l.keys[k])
	}
	if known, ok := l.known[string(name)]; ok {
		return known
	}
	l.known[string(name)] = list
	return list
}
