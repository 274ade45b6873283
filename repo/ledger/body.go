package ledger

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// The most bytes of a text in a sealed part, and the most tags of a snapshot and sessions adopted at once.
const (
	MaxText   = 256  // kind, host, program, label, one tag
	MaxReason = 4096 // any reason
	MaxTags   = 1024
	MaxAdopts = 4096
)

// Body is what an entry says: one of the pointer types *Genesis, *Open, *Commit, *Close, *Forget, *Condemn, *Delete, *Revoke, *Hold,
// *Key, *Checkpoint, *Tags, *Features, *Unforget, *Protect, *Unprotect, *Sweep and *Progress. Decoding one checks every bound that its fields document.
type Body interface {
	// Type returns the type of the entry that carries the body.
	Type() Type
	appendClear(b []byte) []byte
	decodeClear(d *wire.Decoder)
	sealedPart
}

type sealedPart interface {
	hasSealed() bool // decided by clear fields alone
	appendSealed(b []byte) []byte
	decodeSealed(d *wire.Decoder) // sets sealed fields only, and reads no other
}

// unsealed is embedded by bodies that have no sealed part.
type unsealed struct{}

func (unsealed) hasSealed() bool              { return false }
func (unsealed) appendSealed(b []byte) []byte { return b }
func (unsealed) decodeSealed(*wire.Decoder)   {}

// encodeBody returns the parts of a body. It decodes them again: what a reader would refuse is refused here, with ErrInvalid.
func encodeBody(body Body) (clear, sealed []byte, err error) {
	clear, sealed = body.appendClear(nil), body.appendSealed(nil)
	if len(clear)+len(sealed) > MaxEntry {
		return nil, nil, fmt.Errorf("%w: body of %d bytes", ErrTooLarge, len(clear)+len(sealed))
	}
	again, d := body.Type().newBody(), wire.NewDecoder(clear)
	again.decodeClear(d)
	if err := d.Finish(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	d = wire.NewDecoder(sealed)
	if body.hasSealed() {
		again.decodeSealed(d)
	}
	if err := d.Finish(); err != nil {
		return nil, nil, fmt.Errorf("%w: sealed part: %w", ErrInvalid, err)
	}
	return clear, sealed, nil
}

// IndexFile names an index file: index/<session>/<hash>.
type IndexFile struct {
	Session SessionID
	Hash    crypto.ID
	Size    uint32 // bytes, at least 1
}

const indexFileSize = 16 + 32 + 4

func appendIndexFiles(b []byte, list []IndexFile) []byte {
	b = wire.AppendUvarint(b, uint64(len(list)))
	for i := range list {
		b = appendIndexFile(b, &list[i])
	}
	return b
}

func appendIndexFile(b []byte, f *IndexFile) []byte {
	b = append(b, f.Session[:]...)
	b = append(b, f.Hash[:]...)
	return wire.AppendU32(b, f.Size)
}

func decodeIndexFile(d *wire.Decoder) (f IndexFile) {
	d.Copy(f.Session[:])
	d.Copy(f.Hash[:])
	if f.Size = d.U32(); f.Size == 0 {
		d.Fail("index file of 0 bytes")
	}
	return f
}

func decodeIndexFiles(d *wire.Decoder) []IndexFile {
	n := d.Count(indexFileSize, "index files")
	if n == 0 {
		return nil
	}
	type name struct {
		session SessionID
		hash    crypto.ID
	}
	list, seen := make([]IndexFile, n), make(map[name]struct{}, n)
	for i := range list {
		f := &list[i]
		*f = decodeIndexFile(d)
		seen[name{f.Session, f.Hash}] = struct{}{}
	}
	if len(seen) != n {
		d.Fail("an index file is listed twice")
	}
	return list
}

func decodeSession(d *wire.Decoder) SessionID {
	var id SessionID
	d.Copy(id[:])
	if id == (SessionID{}) {
		d.Fail("session id is zero")
	}
	return id
}

// decodeDistinct reads a list of arrays, each of which may be there once; bytes gives a view of one's bytes.
func decodeDistinct[T comparable](d *wire.Decoder, what string, bytes func(*T) []byte) []T {
	n := d.Count(len(bytes(new(T))), what)
	if n == 0 {
		return nil
	}
	list := make([]T, n)
	for i := range list {
		d.Copy(bytes(&list[i]))
	}
	if len(set(list)) != n {
		d.Fail("one of %d %s is listed twice", n, what)
	}
	return list
}

func decodeReason(d *wire.Decoder) string { return d.String(MaxReason, "reason") }
