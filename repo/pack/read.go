package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// MapKeys gives the K_map of an epoch. *crypto.Keyring does.
type MapKeys interface {
	MapKey(epoch uint32) (*crypto.Key, error)
}

// Directory is what a pack says about its contents.
type Directory struct {
	Header
	Size       uint32 // of the pack in bytes
	Keys       []crypto.KeyEntry
	BodyLength uint32 // in bytes
	Segments   []Segment
}

// All yields the segments in order, each with its offset in bytes from the start of the pack.
func (d *Directory) All() iter.Seq2[uint32, *Segment] {
	return func(yield func(uint32, *Segment) bool) {
		offset := d.BodyOffset()
		for i := range d.Segments {
			if !yield(offset, &d.Segments[i]) {
				return
			}
			offset += d.Segments[i].Stored
		}
	}
}

// What ReadDirectory reads at first from both ends: enough for three session keys, and for most directories.
const (
	headRead = 4 << 10
	tailRead = 64 << 10
)

// ReadDirectory reads the directory of the pack r of the given size in bytes: most often in two reads, or one for packs up to 68 KiB. It does not
// read the segments, nor check the pack's hash. Errors are *FormatError, or those of r and keys.
func ReadDirectory(r io.ReaderAt, size int64, keys MapKeys) (*Directory, error) {
	if size < MinSize || size > MaxSize {
		return nil, formatf(0, "pack of %d bytes", size)
	}
	if size <= headRead+tailRead {
		p, err := readRange(r, 0, size)
		if err != nil {
			return nil, err
		}
		return OpenDirectory(p, keys)
	}
	tail, err := readRange(r, size-tailRead, tailRead)
	if err != nil {
		return nil, err
	}
	head, err := readRange(r, 0, headRead)
	if err != nil {
		return nil, err
	}
	h, err := DecodeHeader(head)
	if err != nil {
		return nil, err
	}
	if int64(h.BodyOffset()) > size {
		return nil, formatf(0, "key table of %d bytes in a pack of %d", h.KeyTable, size)
	}
	if n := int64(h.BodyOffset()); n > headRead {
		more, err := readRange(r, headRead, n-headRead)
		if err != nil {
			return nil, err
		}
		head = append(head, more...)
	}
	o := opener{size: size, header: h, head: head[:h.BodyOffset()], tail: tail}
	if err := o.open(keys); err != nil {
		return nil, err
	}
	box, err := o.directoryBox(r)
	if err != nil {
		return nil, err
	}
	dir, _, err := o.directory(box)
	return dir, err
}

// readRange reads n bytes at off. A reader that ends before is a *FormatError: the pack is shorter than it should be.
func readRange(r io.ReaderAt, off, n int64) ([]byte, error) {
	p := make([]byte, n)
	got, err := r.ReadAt(p, off)
	if int64(got) == n {
		return p, nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &FormatError{Offset: off + int64(got), Err: io.ErrUnexpectedEOF}
	}
	return nil, err
}

// OpenDirectory returns the directory of the whole pack p. Beyond what ReadDirectory checks, it checks all bytes before the
// directory against the hash in it. Errors are *FormatError, or those of keys.
func OpenDirectory(p []byte, keys MapKeys) (*Directory, error) {
	dir, at, before, err := openWhole(p, keys)
	if err == nil && crypto.Hash(p[:at]) != before {
		err = errBefore()
	}
	if err != nil {
		return nil, err
	}
	return dir, nil
}

// OpenHashed is OpenDirectory, and returns the hash of p too, which a pack is named by. Whatever the error, the hash is right.
func OpenHashed(p []byte, keys MapKeys) (*Directory, crypto.ID, error) {
	dir, at, before, err := openWhole(p, keys)
	if err != nil {
		return nil, crypto.Hash(p), err
	}
	var first, whole crypto.ID
	h := crypto.NewHash()
	h.Write(p[:at])
	h.Sum(first[:0])
	h.Write(p[at:])
	h.Sum(whole[:0])
	if first != before {
		return nil, whole, errBefore()
	}
	return dir, whole, nil
}

func errBefore() error {
	return &FormatError{Err: fmt.Errorf("bytes before the directory: %w", ErrHash)}
}

// openWhole reads the directory of the whole pack p, and returns where it starts and the hash that it gives of all bytes before it.
func openWhole(p []byte, keys MapKeys) (dir *Directory, at uint32, before crypto.ID, err error) {
	if len(p) < MinSize || len(p) > MaxSize {
		return nil, 0, before, formatf(0, "pack of %d bytes", len(p))
	}
	h, err := DecodeHeader(p)
	if err != nil {
		return nil, 0, before, err
	}
	if int(h.BodyOffset()) > len(p) {
		return nil, 0, before, formatf(0, "key table of %d bytes in a pack of %d", h.KeyTable, len(p))
	}
	o := opener{size: int64(len(p)), header: h, head: p[:h.BodyOffset()], tail: p}
	if err := o.open(keys); err != nil {
		return nil, 0, before, err
	}
	box, err := o.directoryBox(bytes.NewReader(p))
	if err != nil {
		return nil, 0, before, err
	}
	dir, before, err = o.directory(box)
	return dir, o.locator.directory, before, err
}

// opener holds what is known of a pack while its directory is sought.
type opener struct {
	size     int64
	header   Header
	head     []byte // header and key table
	tail     []byte // the last bytes of the pack, at least a trailer
	keyTable []crypto.KeyEntry
	mapKey   *crypto.Key
	aad      crypto.ID
	locator  locator
}

// open reads key table, trailer and locator.
func (o *opener) open(keys MapKeys) error {
	t, err := decodeTrailer(o.tail[len(o.tail)-TrailerSize:], o.size)
	if err != nil {
		return err
	}
	if o.keyTable, err = decodeKeyTable(o.head[HeaderSize:], o.header.Class); err != nil {
		return err
	}
	if o.mapKey, err = keys.MapKey(o.header.Epoch); err != nil {
		return fmt.Errorf("opening a pack's directory: %w", err)
	}
	o.aad = crypto.Hash(o.head)
	plain, err := crypto.OpenBox(nil, o.header.Suite, o.mapKey, locatorPurpose, t.locator, o.aad[:])
	if err != nil {
		return &FormatError{Offset: o.size - TrailerSize, Err: err}
	}
	d := wire.NewDecoder(plain)
	o.locator = locator{directory: d.U32(), length: d.U32(), body: d.U32(), segments: d.U32()}
	return o.locator.check(&o.header, t.sections, o.size)
}

// directoryBox returns the sealed directory, from what was read already if it is there. The locator was checked, so its
// length is at most the pack's.
func (o *opener) directoryBox(r io.ReaderAt) ([]byte, error) {
	start := int64(o.locator.directory) - (o.size - int64(len(o.tail)))
	if start >= 0 {
		return o.tail[start : start+int64(o.locator.length)], nil
	}
	return readRange(r, int64(o.locator.directory), int64(o.locator.length))
}

// directory opens and reads the sealed directory; before is the hash that it gives of all bytes before it.
func (o *opener) directory(box []byte) (dir *Directory, before crypto.ID, err error) {
	at := int64(o.locator.directory)
	plain, err := crypto.OpenBox(nil, o.header.Suite, o.mapKey, directoryPurpose, box, o.aad[:])
	if err != nil {
		return nil, before, &FormatError{Offset: at, Err: err}
	}
	d := wire.NewDecoder(plain)
	d.Copy(before[:])
	segments, body := DecodeSegments(d, len(o.keyTable), uint64(o.locator.body))
	if err := d.Finish(); err != nil {
		return nil, before, &FormatError{Offset: at, Err: fmt.Errorf("directory: %w", err)}
	}
	if len(segments) == 0 || len(segments) != int(o.locator.segments) || body != uint64(o.locator.body) {
		return nil, before, formatf(at, "directory of %d segments and %d bytes, the locator has %d and %d",
			len(segments), body, o.locator.segments, o.locator.body)
	}
	dir = &Directory{Header: o.header, Size: uint32(o.size), Keys: o.keyTable, BodyLength: o.locator.body, Segments: segments}
	return dir, before, nil
}
