package index

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"os"

	"github.com/FastFilter/xorfilter"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

const (
	shardTarget = 1 << 15 // entries of a shard, on average at most: the three bytes that tell of an id lie within 3 KiB then
	filterMax   = 1 << 20 // a shard of more ids gets no filter; ids that are hashes never make one
)

// tables are the small parts of a run to be written.
type tables struct {
	packs []packRecord
	files []Name
	keys  *keyTable
}

// runWriter writes a run in one pass over its segments and its sorted entries, in memory that does not depend on their number, but
// for 24 bytes for each block.
type runWriter struct {
	f      *os.File
	sum    *checksum
	header runHeader
	tables *tables
	small  [sections][]byte

	segments   blockWriter
	entries    blockWriter
	shard      uint64
	shardStart uint64
	written    uint64
	last       entry
	ids        []uint64
	filters    int64 // bytes of filters written
	builder    xorfilter.BinaryFuseBuilder
}

// newRunWriter starts a run of n chunks. The number of segments is that of the packs in t.
func newRunWriter(f *os.File, sum *checksum, repository [16]byte, t *tables, n uint64) (*runWriter, error) {
	w := &runWriter{f: f, sum: sum, tables: t}
	h := &w.header
	h.repository, h.key, h.entries = repository, sum.tag(nil), n
	h.packs, h.files, h.keys = uint32(len(t.packs)), uint32(len(t.files)), uint32(len(t.keys.list))
	segments := uint64(0)
	for i := range t.packs {
		segments += uint64(t.packs[i].segments)
	}
	if segments > math.MaxUint32 || len(t.packs) > math.MaxInt32 {
		return nil, fmt.Errorf("writing a run: %d packs of %d segments", len(t.packs), segments)
	}
	h.segments = uint32(segments)
	if n > shardTarget {
		h.shardBits = uint32(min(bits.Len64((n-1)/shardTarget), 20))
	}
	w.small[sectionPacks] = make([]byte, len(t.packs)*packSize)
	for i := range t.packs {
		t.packs[i].put(w.small[sectionPacks][i*packSize:])
	}
	w.small[sectionFiles] = make([]byte, len(t.files)*nameSize)
	for i := range t.files {
		t.files[i].put(w.small[sectionFiles][i*nameSize:])
	}
	if err := w.encodeKeys(); err != nil {
		return nil, err
	}
	w.small[sectionShards] = make([]byte, 0, shardSize<<h.shardBits)
	w.small[sectionBlocks] = make([]byte, 0, blocks(n, perBlock)*blockInfoSize)
	w.small[sectionTags] = make([]byte, 0, blocks(segments, segsPerBlock)*tagSize)
	w.place()
	w.segments.init(f, sum, int64(h.section[sectionSegments].offset), segmentSize)
	w.entries.init(f, sum, int64(h.section[sectionEntries].offset), entrySize)
	return w, nil
}

func (w *runWriter) encodeKeys() error {
	size := 4 * (len(w.tables.keys.list) + 1)
	for _, s := range w.tables.keys.list {
		size += len(s)
	}
	if uint64(size) > 1<<32-1 {
		return fmt.Errorf("writing a run: %d bytes of session keys", size)
	}
	b := make([]byte, 0, size)
	at := 4 * (len(w.tables.keys.list) + 1)
	for _, s := range w.tables.keys.list {
		b = wire.AppendU32(b, uint32(at))
		at += len(s)
	}
	b = wire.AppendU32(b, uint32(at))
	for _, s := range w.tables.keys.list {
		b = append(b, s...)
	}
	w.small[sectionKeys] = b
	return nil
}

// place decides where the sections are; the length of the last follows from what is written.
func (w *runWriter) place() {
	at := uint64(blockSize)
	for i := range w.header.section {
		s := &w.header.section[i]
		switch i {
		case sectionSegments:
			s.length = blocks(uint64(w.header.segments), segsPerBlock) * blockSize
		case sectionEntries:
			s.length = blocks(w.header.entries, perBlock) * blockSize
		case sectionShards, sectionBlocks, sectionTags:
			s.length = uint64(cap(w.small[i]))
		default:
			s.length = uint64(len(w.small[i]))
		}
		if i == sectionSegments || i == sectionEntries {
			at = blocks(at, blockSize) * blockSize
		}
		s.offset = at
		at += s.length
	}
}

// addSegment writes the next segment, in the order of the packs.
func (w *runWriter) addSegment(s *segmentRecord) error {
	tag, full, err := w.segments.add(s.put)
	if full {
		w.small[sectionTags] = wire.AppendU64(w.small[sectionTags], tag)
	}
	return err
}

var errOrder = errors.New("writing a run: chunks out of order")

// addEntry writes the next entry; entries ascend.
func (w *runWriter) addEntry(e *entry) error {
	if w.written > 0 && e.less(&w.last) {
		return errOrder
	}
	for shard := e.hi >> 1 >> (63 - w.header.shardBits); w.shard < shard; {
		if err := w.endShard(); err != nil {
			return err
		}
	}
	if n := len(w.ids); (n == 0 || w.ids[n-1] != e.hi) && n <= filterMax {
		w.ids = append(w.ids, e.hi)
	}
	if w.written%perBlock == 0 {
		w.small[sectionBlocks] = wire.AppendU64(w.small[sectionBlocks], e.hi)
	}
	w.last = *e
	w.written++
	tag, full, err := w.entries.add(e.put)
	if full {
		w.small[sectionBlocks] = wire.AppendU64(w.small[sectionBlocks], tag)
	}
	return err
}

// endShard makes the filter of the current shard and starts the next.
func (w *runWriter) endShard() error {
	rec := shardRecord{start: w.shardStart, count: w.written - w.shardStart, filterOffset: uint64(w.filters)}
	if rec.count > 1<<32-1 {
		return fmt.Errorf("writing a run: shard of %d chunks", rec.count)
	}
	if n := len(w.ids); n > 0 && n <= filterMax {
		// A filter that could not be made is left out: every id of the shard is then searched for.
		if f, err := xorfilter.BuildBinaryFuse[uint8](&w.builder, w.ids); err == nil {
			rec.seed, rec.segmentLength, rec.segmentCount = f.Seed, f.SegmentLength, f.SegmentCount
			rec.filterLength = uint64(len(f.Fingerprints))
			rec.tag = w.sum.tag(f.Fingerprints)
			at := int64(w.header.section[sectionFilters].offset) + w.filters
			if _, err := w.f.WriteAt(f.Fingerprints, at); err != nil {
				return err
			}
			w.filters += int64(len(f.Fingerprints))
		}
	}
	w.small[sectionShards] = rec.append(w.small[sectionShards])
	w.ids = w.ids[:0]
	w.shardStart = w.written
	w.shard++
	return nil
}

// finish completes the file; the header comes last.
func (w *runWriter) finish() error {
	for w.shard < 1<<w.header.shardBits {
		if err := w.endShard(); err != nil {
			return err
		}
	}
	if w.written != w.header.entries || w.segments.n != uint64(w.header.segments) {
		return fmt.Errorf("writing a run: %d chunks and %d segments, %d and %d announced", w.written, w.segments.n,
			w.header.entries, w.header.segments)
	}
	tag, partial, err := w.segments.finish()
	if err != nil {
		return err
	}
	if partial {
		w.small[sectionTags] = wire.AppendU64(w.small[sectionTags], tag)
	}
	if tag, partial, err = w.entries.finish(); err != nil {
		return err
	}
	if partial {
		w.small[sectionBlocks] = wire.AppendU64(w.small[sectionBlocks], tag)
	}
	w.header.section[sectionFilters].length = uint64(w.filters)
	return w.writeSmall()
}

func (w *runWriter) writeSmall() error {
	parts := make([][]byte, 0, len(small))
	for _, i := range small {
		if _, err := w.f.WriteAt(w.small[i], int64(w.header.section[i].offset)); err != nil {
			return err
		}
		parts = append(parts, w.small[i])
	}
	w.header.sum = w.sum.sum(parts...)
	last := w.header.section[sectionFilters]
	if err := w.f.Truncate(int64(last.offset + last.length)); err != nil {
		return err
	}
	_, err := w.f.WriteAt(w.header.encode(w.sum), 0)
	return err
}

// shardRecord describes a part of the id space.
type shardRecord struct {
	start         uint64 // number of its first entry
	count         uint64
	filterOffset  uint64 // in the section
	filterLength  uint64 // 0: no filter
	seed          uint64
	tag           uint64
	segmentLength uint32
	segmentCount  uint32
}

// append packs count and filterLength, which are below 2^32, to keep the record small.
func (s *shardRecord) append(b []byte) []byte {
	b = wire.AppendU64(wire.AppendU64(b, s.start), s.filterOffset)
	b = wire.AppendU32(wire.AppendU32(b, uint32(s.count)), uint32(s.filterLength))
	b = wire.AppendU64(wire.AppendU64(b, s.seed), s.tag)
	return wire.AppendU32(wire.AppendU32(b, s.segmentLength), s.segmentCount)
}

func getShard(b []byte) shardRecord {
	_ = b[shardSize-1]
	le := binary.LittleEndian
	return shardRecord{
		start: le.Uint64(b), filterOffset: le.Uint64(b[8:]), count: uint64(le.Uint32(b[16:])), filterLength: uint64(le.Uint32(b[20:])),
		seed: le.Uint64(b[24:]), tag: le.Uint64(b[32:]), segmentLength: le.Uint32(b[40:]), segmentCount: le.Uint32(b[44:]),
	}
}

// blockWriter writes records of one size in blocks, and tags each block.
type blockWriter struct {
	out  *bufio.Writer
	sum  *checksum
	size int
	n    uint64 // records
	used int    // of block
	buf  [blockSize]byte
}

func (w *blockWriter) init(f *os.File, sum *checksum, offset int64, size int) {
	w.out = bufio.NewWriterSize(io.NewOffsetWriter(f, offset), 256<<10)
	w.sum, w.size = sum, size
}

// add writes one record. If it completes a block, the block's tag is returned.
func (w *blockWriter) add(put func([]byte)) (tag uint64, full bool, err error) {
	put(w.buf[w.used : w.used+w.size])
	w.n++
	if w.used += w.size; w.used+w.size <= blockSize {
		return 0, false, nil
	}
	return w.flush()
}

func (w *blockWriter) flush() (tag uint64, full bool, err error) {
	w.used = 0
	_, err = w.out.Write(w.buf[:])
	return w.sum.tag(w.buf[:]), true, err
}

// finish writes what is left, filled up with zeros.
func (w *blockWriter) finish() (tag uint64, partial bool, err error) {
	if w.used > 0 {
		clear(w.buf[w.used:])
		tag, partial, err = w.flush()
	}
	return tag, partial, errors.Join(err, w.out.Flush())
}
