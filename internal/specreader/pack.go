package specreader

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

const minPack, maxPack, maxChunk = 16 << 10, 1 << 30, 16 << 20

type chunkRef struct {
	id     ID
	length uint64
}

func readRef(d *decoder) chunkRef { return chunkRef{d.id(), d.within(1, maxChunk)} }

type segment struct {
	key, codec     uint8
	stored, length uint64
	salt           ID
	chunks         []chunkRef
}

func readSegment(d *decoder) *segment {
	s := &segment{d.u8(), d.among(0, 2), d.within(tagSize+1, maxChunk+tagSize), d.within(1, maxChunk), d.id(), list(d, maxChunk, readRef)}
	sum := uint64(0)
	for _, c := range s.chunks {
		sum += c.length
	}
	check(len(s.chunks) > 0 && sum == s.length, "chunks of %d bytes in a segment of %d", sum, s.length)
	full := s.length + tagSize
	check(s.codec == 0 && s.stored == full || s.codec > 0 && s.stored < full, "segment of %d bytes stored in %d", s.length, s.stored)
	return s
}

// pack is a pack as its own directory or an index file describes it.
type pack struct {
	session  name16
	hash     ID
	size     uint32
	class    uint8
	keys     []keyEntry
	body     uint64 // where the first segment starts
	segments []*segment
}

func (p *pack) String() string { return fmt.Sprintf("packs/%x/%s", p.session, p.hash) }

// checkSegments returns where the body ends.
func (p *pack) checkSegments() (end uint64) {
	end = p.body
	for _, s := range p.segments {
		check(int(s.key) < len(p.keys), "segment of key %d", s.key)
		end += s.stored
	}
	check(len(p.segments) > 0, "no segments")
	for _, e := range p.keys {
		check(e.kind == p.class, "key of kind %d in a pack of class %d", e.kind, p.class)
	}
	return end
}

// checkPack verifies a pack against what the index says of it.
func (r *Repository) checkPack(b []byte, want *pack) {
	size := uint64(len(b))
	check(size == uint64(want.size) && hash(b) == want.hash, "not the size and hash that name it")
	g, d := r.ledger.genesis, &decoder{b, b}
	d.header("HFPACK")
	p := &pack{session: want.session, hash: want.hash, size: want.size, class: d.among(classData, classMap)}
	suite, table, epoch := d.u8(), uint64(d.u16()), d.u32()
	d.fixed(32)
	check(suite == g.suite && d.name() == g.domain, "another suite or domain than the repository's")
	p.keys = whole(d.fixed(table), func(d *decoder) (keys []keyEntry) {
		for range d.among(1, 255) {
			keys = append(keys, readKeyEntry(d))
		}
		return keys
	})
	aad := hash(d.before())
	p.body = uint64(len(d.before()))
	check(uint64(len(d.b)) >= 96, "ends too early")
	d.b = b[size-96:]
	locator, sections := d.fixed(boxOverhead+16), uint64(d.u32())
	check(bytes.Equal(d.fixed(20), make([]byte, 20)), "reserved bytes are not zero")
	d.header("HFPEND")
	mapKey := r.keys.mapKey(epoch)
	d = &decoder{b: openBox(suite, mapKey, "locator", aad[:], locator)}
	offset, length, bodyLength, count := uint64(d.u32()), uint64(d.u32()), uint64(d.u32()), int(d.u32())
	check(offset+length+sections+96 == size && p.body+bodyLength <= offset, "its parts do not fit")
	check(g.parity > 0 == (sections > 0), "%d bytes of parity", sections)
	unpadded, full := size-(offset-p.body-bodyLength), uint64(g.packSize)
	if g.parity > 0 {
		unpadded = size // the parity, too, grows with the padding
	}
	check(size == full || size == min(full, max(minPack, padme(unpadded))), "%d bytes padded to %d", unpadded, size)
	p.segments = whole(openBox(suite, mapKey, "directory", aad[:], b[offset:][:length]), func(d *decoder) []*segment {
		check(d.id() == hash(b[:offset]), "another hash of what is before the directory")
		return list(d, unlimited, readSegment)
	})
	check(p.checkSegments() == p.body+bodyLength && len(p.segments) == count, "directory and locator differ")
	check(reflect.DeepEqual(p, want), "directory and index differ")
}

// open decodes a segment of the pack from its stored bytes.
func (s *segment) open(key, stored []byte, p *pack, g *genesis) []byte {
	n := s.length
	aad := append(append([]byte{}, g.domain[:]...), g.suite, p.class, s.codec, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	plain := openUnit(g.suite, key, "segment", aad, s.salt[:], stored)
	switch s.codec {
	case 1: // one zstd frame
		var h zstd.Header
		must(0, h.Decode(plain))
		check(!h.Skippable && h.HasFCS && h.FrameContentSize == n && !h.HasCheckSum && h.DictionaryID == 0, "another zstd frame than it should be")
		dec := must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxChunk)))
		defer dec.Close()
		plain = must(dec.DecodeAll(plain, make([]byte, 0, n)))
	case 2: // one S2 block
		plain = unpackS2(plain, n)
	}
	check(uint64(len(plain)) == n, "segment of %d bytes instead of %d", len(plain), n)
	return plain
}

// unpackS2 decodes a block of n bytes.
func unpackS2(block []byte, n uint64) []byte {
	check(uint64(must(s2.DecodedLen(block))) == n, "an S2 block of another length than its segment's")
	return must(s2.Decode(nil, block))
}

func (r *Repository) parseIndex(b []byte) []*pack {
	d := &decoder{b, b}
	d.header("HFINDX")
	suite, epoch, domain := d.u8(), d.u32(), d.name()
	check(suite == r.ledger.genesis.suite && domain == r.ledger.genesis.domain, "another suite or domain than the repository's")
	packs := list(d, 1<<20, func(d *decoder) *pack {
		p := &pack{session: d.name(), hash: d.id(), class: d.among(classData, classMap), size: d.u32()}
		check(p.size >= minPack && p.size <= maxPack, "pack of %d bytes", p.size)
		return p
	})
	entries := list(d, unlimited, readKeyEntry)
	aad := hash(d.before())
	plain := openBox(suite, r.keys.mapKey(epoch), "index", aad[:], d.b)
	d = &decoder{plain, plain}
	content := d.bytes()
	check(uint64(len(plain)) == padme(uint64(len(d.before()))) && bytes.Count(d.b, []byte{0}) == len(d.b), "padding breaks the rules")
	whole(content, func(d *decoder) any {
		for _, p := range packs {
			p.readIndexed(d, entries)
		}
		return nil
	})
	return packs
}

// readIndexed reads what the sealed part of an index file says of a pack.
func (p *pack) readIndexed(d *decoder, entries []keyEntry) {
	table := 64 + 1
	for _, place := range list(d, 255, (*decoder).uv) {
		check(place < uint64(len(entries)), "key %d of %d", place, len(entries))
		p.keys = append(p.keys, entries[place])
		table += []int{classData: 1207, classMeta: 1207, classMap: 118}[entries[place].kind]
	}
	p.body, p.segments = d.uv(), list(d, unlimited, readSegment)
	check(len(p.keys) > 0 && p.body == uint64(table), "body at %d after %d keys", p.body, len(p.keys))
	check(p.checkSegments()+96 <= uint64(p.size), "segments beyond the end")
}
