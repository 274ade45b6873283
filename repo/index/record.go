package index

import (
	"encoding/binary"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// A run is a file with these parts. Numbers are little-endian, except that ids are kept as they are.
//
//	header     one block
//	packs      records of packs
//	keys       n+1 offsets u32, then n key entries as in packs
//	files      names of the index files that the run was made of
//	segments   records of the segments of each pack, in blocks
//	entries    records of chunks, sorted by id, in blocks
//	shards     for each part of the id space: where its entries begin, and its filter
//	blocks     for each block of entries: the start of its first id, and its tag
//	tags       for each block of segments: its tag
//	filters    fingerprints, for each shard
//
// Blocks end with zeros where the next record does not fit. A tag is 8 bytes of a keyed hash. The header has hashes of itself and of all parts but segments, entries and filters.
const (
	sectionPacks = iota
	sectionKeys
	sectionFiles
	sectionSegments
	sectionEntries
	sectionShards
	sectionBlocks
	sectionTags
	sectionFilters
	sections
)

// Sizes in bytes.
const (
	blockSize     = 4096
	entrySize     = 26
	segmentSize   = 52
	packSize      = 80
	nameSize      = 48
	shardSize     = 48
	blockInfoSize = 16
	tagSize       = 8

	perBlock     = blockSize / entrySize
	segsPerBlock = blockSize / segmentSize
)

// noFile is the file of packs that were added without one.
const noFile = ^uint32(0)

// prefix is the part of an id that runs keep, as two big-endian numbers.
type prefix struct{ hi, lo uint64 }

func prefixOf(id *crypto.ID) prefix {
	return prefix{binary.BigEndian.Uint64(id[:]), binary.BigEndian.Uint64(id[8:])}
}

func (p prefix) less(q prefix) bool { return p.hi < q.hi || p.hi == q.hi && p.lo < q.lo }

// entry says where a chunk is.
type entry struct {
	prefix
	pack    uint32 // number in the generation; runs have it in the segment's record
	segment uint32 // number in the run, or in the pack of a generation
	offset  uint32 // in the segment's plaintext
	length  uint32
}

// less orders the entries of a run.
func (e *entry) less(f *entry) bool {
	if e.prefix != f.prefix {
		return e.prefix.less(f.prefix)
	}
	return e.segment < f.segment || e.segment == f.segment && e.offset < f.offset
}

func (e *entry) put(b []byte) {
	_ = b[entrySize-1]
	binary.BigEndian.PutUint64(b, e.hi)
	binary.BigEndian.PutUint64(b[8:], e.lo)
	binary.LittleEndian.PutUint32(b[16:], e.segment)
	putU24(b[20:], e.offset)
	putU24(b[23:], e.length)
}

func getPrefix(b []byte) prefix {
	_ = b[15]
	return prefix{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func getEntry(b []byte) entry {
	_ = b[entrySize-1]
	return entry{prefix: getPrefix(b), segment: binary.LittleEndian.Uint32(b[16:]), offset: getU24(b[20:]), length: getLength(b[23:])}
}

func putU24(b []byte, v uint32) { b[0], b[1], b[2] = byte(v), byte(v>>8), byte(v>>16) }

func getU24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// getLength reads the length of a chunk or a segment, which is never 0: that stands for the largest, 2^24.
func getLength(b []byte) uint32 { return (getU24(b)-1)&(pack.MaxSegment-1) + 1 }

// segmentRecord says where a segment is, and how to open it.
type segmentRecord struct {
	offset uint32 // in the pack
	stored uint32
	length uint32
	key    uint32 // number in the run, or in a pack in memory
	pack   uint32 // number in the run
	codec  pack.Codec
	salt   [crypto.SaltSize]byte
}

func (s *segmentRecord) put(b []byte) {
	_ = b[segmentSize-1]
	binary.LittleEndian.PutUint32(b, s.offset)
	binary.LittleEndian.PutUint32(b[4:], s.stored)
	binary.LittleEndian.PutUint32(b[8:], s.key)
	binary.LittleEndian.PutUint32(b[12:], s.pack)
	b[16] = byte(s.codec)
	putU24(b[17:], s.length)
	copy(b[20:segmentSize], s.salt[:])
}

func getSegment(b []byte) segmentRecord {
	_ = b[segmentSize-1]
	return segmentRecord{
		offset: binary.LittleEndian.Uint32(b), stored: binary.LittleEndian.Uint32(b[4:]), key: binary.LittleEndian.Uint32(b[8:]),
		pack: binary.LittleEndian.Uint32(b[12:]), codec: pack.Codec(b[16]), length: getLength(b[17:]), salt: [crypto.SaltSize]byte(b[20:52]),
	}
}

// recordAt returns record n of the given size in blocks that hold per of them.
func recordAt(section []byte, n uint64, size, per uint64) []byte {
	at := n/per*blockSize + n%per*size
	return section[at : at+size]
}

// packRecord describes a pack of a run.
type packRecord struct {
	name     Name
	size     uint32
	first    uint32 // number of its first segment in the run
	segments uint32
	chunks   uint32
	file     uint32 // number in the run of the index file that lists it, or noFile
	class    crypto.Class
	length   uint64 // bytes of plaintext
}

func (p *packRecord) put(b []byte) {
	clear(b[:packSize])
	p.name.put(b)
	binary.LittleEndian.PutUint32(b[48:], p.size)
	binary.LittleEndian.PutUint32(b[52:], p.first)
	binary.LittleEndian.PutUint32(b[56:], p.segments)
	binary.LittleEndian.PutUint32(b[60:], p.chunks)
	binary.LittleEndian.PutUint32(b[64:], p.file)
	b[68] = byte(p.class)
	binary.LittleEndian.PutUint64(b[72:], p.length)
}

func getPack(b []byte) packRecord {
	_ = b[packSize-1]
	return packRecord{
		name: getName(b), size: binary.LittleEndian.Uint32(b[48:]), first: binary.LittleEndian.Uint32(b[52:]),
		segments: binary.LittleEndian.Uint32(b[56:]), chunks: binary.LittleEndian.Uint32(b[60:]),
		file: binary.LittleEndian.Uint32(b[64:]), class: crypto.Class(b[68]), length: binary.LittleEndian.Uint64(b[72:]),
	}
}

func (n *Name) put(b []byte) {
	copy(b[:16], n.Session[:])
	copy(b[16:nameSize], n.Hash[:])
}

func getName(b []byte) Name { return Name{Session: [16]byte(b[:16]), Hash: crypto.ID(b[16:nameSize])} }

// chunks returns how many chunks the pack has.
func (p *Pack) chunks() int {
	n := 0
	for i := range p.Segments {
		n += len(p.Segments[i].Chunks)
	}
	return n
}

// records describes the pack and its segments, whose keys are places in the pack's key table, and appends its chunks to entries as
// those of pack number n.
func (p *Pack) records(n uint32, entries []entry) (packRecord, []segmentRecord, []entry) {
	rec := packRecord{name: p.Name, size: p.Size, segments: uint32(len(p.Segments)), class: p.Class, file: noFile}
	segs := make([]segmentRecord, len(p.Segments))
	at := p.BodyOffset
	for i := range p.Segments {
		s := &p.Segments[i]
		segs[i] = segmentRecord{offset: at, stored: s.Stored, length: s.Length, key: uint32(s.Key), codec: s.Codec, salt: s.Salt}
		at += s.Stored
		offset := uint32(0)
		for j := range s.Chunks {
			c := &s.Chunks[j]
			entries = append(entries, entry{prefixOf(&c.ID), n, uint32(i), offset, c.Length})
			offset += c.Length
		}
		rec.chunks += uint32(len(s.Chunks))
		rec.length += uint64(s.Length)
	}
	return rec, segs, entries
}
