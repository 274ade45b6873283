package index

import (
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// Limits of an index file.
const (
	MaxPacks    = 1 << 20
	MaxFileSize = 1 << 30 // bytes

	// TargetSize is the size in bytes that writers aim at: large enough to be few, small enough to be read and sorted in little memory.
	TargetSize = 16 << 20
)

// Pack is what an index file says about one pack: its inventory entry and its directory.
type Pack struct {
	Name
	Class      crypto.Class
	Size       uint32            // bytes
	Keys       []crypto.KeyEntry // its key table
	BodyOffset uint32            // of the first segment, in bytes from the start of the pack
	Segments   []pack.Segment
}

// FromDirectory returns the Pack of a pack with the given name and directory; they share memory.
func FromDirectory(n Name, d *pack.Directory) Pack {
	return Pack{Name: n, Class: d.Class, Size: d.Size, Keys: d.Keys, BodyOffset: d.BodyOffset(), Segments: d.Segments}
}

// Item is an entry of the inventory: a pack that the file lists.
type Item struct {
	Name
	Class crypto.Class
	Size  uint32 // bytes
}

// File is the contents of an index file.
type File struct {
	Packs []Pack
}

const (
	fileMagic   = "HFINDX"
	fileVersion = 1
	filePurpose = "index"

	itemSize    = 16 + 32 + 1 + 4
	minKeyEntry = 1 + 4 + 1 + 32
	keyTableMax = 1<<16 - 1
)

// EncodedLen returns about how many bytes the pack adds to an index file, keys aside. Writers sum it up to see when a file has
// reached TargetSize.
func (p *Pack) EncodedLen() int {
	n := itemSize + 3*len(p.Keys) + 2*wire.UvarintLen(1<<20)
	for i := range p.Segments {
		n += p.Segments[i].EncodedLen()
	}
	return n
}

// Encode returns the bytes of an index file, and their hash, for a repository with the given parameters (Size is not used).
func Encode(params *pack.Params, f *File) (hash crypto.ID, b []byte, err error) {
	if len(f.Packs) > MaxPacks {
		return hash, nil, fmt.Errorf("encoding an index file: %d packs, at most %d allowed", len(f.Packs), MaxPacks)
	}
	if !params.Suite.Valid() || params.Epoch == 0 || params.MapKey == nil {
		return hash, nil, errors.New("encoding an index file: no key")
	}
	b = append(b, fileMagic...)
	b = wire.AppendU16(b, fileVersion)
	b = append(b, byte(params.Suite))
	b = wire.AppendU32(b, params.Epoch)
	b = append(b, params.Domain[:]...)
	b = wire.AppendUvarint(b, uint64(len(f.Packs)))
	content := 0
	for i := range f.Packs {
		p := &f.Packs[i]
		if err := p.check(); err != nil {
			return hash, nil, fmt.Errorf("encoding an index file: pack %s: %w", p.Name, err)
		}
		b = append(append(b, p.Session[:]...), p.Hash[:]...)
		b = wire.AppendU32(append(b, byte(p.Class)), p.Size)
		content += p.EncodedLen()
	}
	keys := newKeyTable()
	plain := make([]byte, 0, content+content/8)
	for i := range f.Packs {
		plain = f.Packs[i].append(plain, keys)
	}
	b = keys.append(b)
	aad := crypto.Hash(b)
	b = crypto.SealBox(b, params.Suite, params.MapKey, filePurpose, padded(plain), aad[:])
	if len(b) > MaxFileSize {
		return hash, nil, fmt.Errorf("encoding an index file: %d bytes, at most %d allowed", len(b), MaxFileSize)
	}
	return crypto.Hash(b), b, nil
}

// padded returns the content with its length, and zeros up to a size that tells little.
func padded(content []byte) []byte {
	n := uint64(wire.UvarintLen(uint64(len(content))) + len(content))
	b := wire.AppendBytes(make([]byte, 0, pack.Padme(n)), content)
	return b[:cap(b)]
}

// append appends the pack's part of the content.
func (p *Pack) append(b []byte, keys *keyTable) []byte {
	b = wire.AppendUvarint(b, uint64(len(p.Keys)))
	for i := range p.Keys {
		b = wire.AppendUvarint(b, uint64(keys.add(&p.Keys[i])))
	}
	b = wire.AppendUvarint(b, uint64(p.BodyOffset))
	return pack.AppendSegments(b, p.Segments)
}

// check holds what is said of a pack to what is possible; segments were checked one by one when they were decoded or added.
func (p *Pack) check() error {
	table := 1
	for i := range p.Keys {
		table += len(p.Keys[i].Append(nil))
		if p.Keys[i].Kind != uint8(p.Class) {
			return fmt.Errorf("%w: key entry of kind %d in a pack of class %s", wire.ErrFormat, p.Keys[i].Kind, p.Class)
		}
	}
	switch {
	case !p.Class.Valid():
		return fmt.Errorf("%w: unknown %s", wire.ErrFormat, p.Class)
	case p.Size < pack.MinSize || p.Size > pack.MaxSize:
		return fmt.Errorf("%w: pack of %d bytes", wire.ErrFormat, p.Size)
	case len(p.Keys) == 0 || len(p.Keys) > 255 || table > keyTableMax || p.BodyOffset != uint32(pack.HeaderSize+table):
		return fmt.Errorf("%w: body at %d after %d keys", wire.ErrFormat, p.BodyOffset, len(p.Keys))
	case len(p.Segments) == 0:
		return fmt.Errorf("%w: no segments", wire.ErrFormat)
	}
	end := uint64(p.BodyOffset) + crypto.BoxOverhead + uint64(len(p.Hash)) + 1 + pack.TrailerSize
	for i := range p.Segments {
		end += uint64(p.Segments[i].Stored) + uint64(p.Segments[i].EncodedLen())
	}
	if end > uint64(p.Size) {
		return fmt.Errorf("%w: segments need %d bytes in a pack of %d", wire.ErrFormat, end, p.Size)
	}
	return nil
}

// keyTable collects key entries, each once.
type keyTable struct {
	place map[string]int // by encoding
	list  []string
}

func newKeyTable() *keyTable { return &keyTable{place: map[string]int{}} }

func (t *keyTable) add(e *crypto.KeyEntry) int { return t.addEncoded(string(e.Append(nil))) }

func (t *keyTable) addEncoded(s string) int {
	i, ok := t.place[s]
	if !ok {
		i = len(t.list)
		t.place[s] = i
		t.list = append(t.list, s)
	}
	return i
}

func (t *keyTable) append(b []byte) []byte {
	b = wire.AppendUvarint(b, uint64(len(t.list)))
	for _, s := range t.list {
		b = append(b, s...)
	}
	return b
}
