package index

import (
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// ErrDamaged is wrapped when a run does not have the bytes that were written.
var ErrDamaged = errors.New("the cache file is damaged")

// ErrForeign is wrapped when a run was written for another repository, with another key, or by another version.
var ErrForeign = errors.New("the cache file is not one of this repository and program")

// RunError says that a run of the cache cannot be used. Err wraps ErrDamaged or ErrForeign.
type RunError struct {
	Path string
	Err  error
}

// Error names the file and the cause.
func (e *RunError) Error() string { return fmt.Sprintf("index cache %s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *RunError) Unwrap() error { return e.Err }

const (
	runMagic    = "HFXRUN"
	runVersion  = 2
	maxShards   = 1 << 20
	headerBytes = 6 + 2 + 16 + 8 + 8 + 5*4 + sections*16 + 32 + 32
)

// runHeader is the first block of a run.
type runHeader struct {
	repository [16]byte
	key        uint64 // tells keys apart
	entries    uint64
	packs      uint32
	segments   uint32
	keys       uint32
	files      uint32
	shardBits  uint32
	section    [sections]struct{ offset, length uint64 }
	sum        [32]byte // of the small sections
}

// small are the sections that are checked when a run is opened.
var small = [...]int{sectionPacks, sectionKeys, sectionFiles, sectionShards, sectionBlocks, sectionTags}

func (h *runHeader) encode(c *checksum) []byte {
	b := wire.AppendU16([]byte(runMagic), runVersion)
	b = append(b, h.repository[:]...)
	b = wire.AppendU64(wire.AppendU64(b, h.key), h.entries)
	for _, v := range []uint32{h.packs, h.segments, h.keys, h.files, h.shardBits} {
		b = wire.AppendU32(b, v)
	}
	for _, s := range h.section {
		b = wire.AppendU64(wire.AppendU64(b, s.offset), s.length)
	}
	b = append(b, h.sum[:]...)
	sum := c.sum(b)
	return append(b, sum[:]...)
}

// decodeRunHeader reads and checks the header of a run of the given size in bytes.
func decodeRunHeader(b []byte, size uint64, repository [16]byte, c *checksum) (*runHeader, error) {
	if len(b) < headerBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrDamaged, len(b))
	}
	var h runHeader
	d := wire.NewDecoder(b[:headerBytes])
	d.Magic(runMagic, runVersion)
	d.Copy(h.repository[:])
	h.key, h.entries = d.U64(), d.U64()
	for _, v := range []*uint32{&h.packs, &h.segments, &h.keys, &h.files, &h.shardBits} {
		*v = d.U32()
	}
	for i := range h.section {
		h.section[i].offset, h.section[i].length = d.U64(), d.U64()
	}
	d.Copy(h.sum[:])
	var sum [32]byte
	d.Copy(sum[:])
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if h.repository != repository || h.key != c.tag(nil) {
		return nil, ErrForeign
	}
	if c.sum(b[:headerBytes-32]) != sum {
		return nil, fmt.Errorf("%w: header", ErrDamaged)
	}
	if err := h.check(size); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &h, nil
}

// check holds counts and sections to the size of the file.
func (h *runHeader) check(size uint64) error {
	if h.shardBits > 20 || h.entries > size/entrySize {
		return fmt.Errorf("%d chunks in 2^%d shards in %d bytes", h.entries, h.shardBits, size)
	}
	want := map[int]uint64{
		sectionPacks: uint64(h.packs) * packSize, sectionFiles: uint64(h.files) * nameSize,
		sectionSegments: blocks(uint64(h.segments), segsPerBlock) * blockSize,
		sectionEntries:  blocks(h.entries, perBlock) * blockSize,
		sectionShards:   shardSize << h.shardBits,
		sectionBlocks:   blocks(h.entries, perBlock) * blockInfoSize,
		sectionTags:     blocks(uint64(h.segments), segsPerBlock) * tagSize,
	}
	end := uint64(blockSize)
	for i, s := range h.section {
		if n, fixed := want[i]; fixed && n != s.length {
			return fmt.Errorf("section %d of %d bytes, want %d", i, s.length, n)
		}
		if s.offset < end || s.offset > size || s.length > size-s.offset {
			return fmt.Errorf("section %d of %d bytes at %d in %d", i, s.length, s.offset, size)
		}
		end = s.offset + s.length
	}
	if end != size {
		return fmt.Errorf("%d bytes, want %d", size, end)
	}
	if n := h.section[sectionKeys].length; n < 4*(uint64(h.keys)+1) || n > 1<<32-1 {
		return fmt.Errorf("%d keys in %d bytes", h.keys, n)
	}
	return nil
}

func blocks(n, per uint64) uint64 { return (n + per - 1) / per }
