package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// run is an immutable sorted file of chunks, mapped into memory. All methods are safe for concurrent use while a reference is held.
type run struct {
	path    string // "" for one that has no name any more
	size    uint64 // bytes
	header  *runHeader
	section [sections][]byte
	unmap   func() error
	sum     *checksum
	shards  []shard

	shardShift uint8 // that leaves of half the start of an id the number of its shard
	files      []Name
	keys       []atomic.Pointer[crypto.KeyEntry]
	seen       bitmap // blocks of entries that were checked
	seenSegs   bitmap // blocks of segments that were checked
	live       atomic.Pointer[liveSet]
	filters    filterMemory
	damaged    atomic.Bool
	refs       atomic.Int32

	// uncovered are the packs of a session's own run that no index file of the set lists yet; nil for other runs.
	uncovered map[Name]struct{}
}

// bitmap is a set of small numbers. Bits are set and read by several goroutines.
type bitmap []atomic.Uint64

func newBitmap(n uint64) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) has(i uint64) bool { return i/64 < uint64(len(b)) && b[i/64].Load()&(1<<(i%64)) != 0 }

// set sets a bit and returns what it was.
func (b bitmap) set(i uint64) (before bool) {
	bit := uint64(1) << (i % 64)
	return b[i/64].Or(bit)&bit != 0
}

// liveSet says which packs of a run count. It does not change.
type liveSet struct {
	all   bool
	packs bitmap // unless all
}

func newLiveSet(n uint32, live func(uint32) bool) *liveSet {
	l := &liveSet{all: true, packs: newBitmap(uint64(n))}
	for i := range n {
		if live(i) {
			l.packs.set(uint64(i))
		} else {
			l.all = false
		}
	}
	if l.all {
		l.packs = nil
	}
	return l
}

func (l *liveSet) has(n uint32) bool { return l.all || l.packs.has(uint64(n)) }

// openRun maps the run f and checks its header and its small parts. It closes f. The error is a *RunError or one of the system.
func openRun(f *os.File, path string, repository [16]byte, sum *checksum) (*run, error) {
	data, unmap, err := mapFile(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("opening index cache %s: %w", path, err)
	}
	r := &run{path: path, size: uint64(len(data)), unmap: unmap, sum: sum}
	if err := r.parse(data, repository); err != nil {
		return nil, errors.Join(&RunError{Path: path, Err: err}, unmap())
	}
	r.refs.Store(1)
	return r, nil
}

func (r *run) parse(data []byte, repository [16]byte) error {
	h, err := decodeRunHeader(data, uint64(len(data)), repository, r.sum)
	if err != nil {
		return err
	}
	r.header = h
	for i, s := range h.section {
		r.section[i] = data[s.offset : s.offset+s.length : s.offset+s.length]
	}
	parts := make([][]byte, 0, len(small))
	for _, i := range small {
		parts = append(parts, r.section[i])
	}
	if r.sum.sum(parts...) != h.sum {
		return fmt.Errorf("%w: tables", ErrDamaged)
	}
	for i := range int(h.files) {
		r.files = append(r.files, getName(r.section[sectionFiles][i*nameSize:]))
	}
	if err := errors.Join(r.parseKeys(), r.parseShards(), r.parsePacks()); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	r.seen = newBitmap(blocks(h.entries, perBlock))
	r.seenSegs = newBitmap(blocks(uint64(h.segments), segsPerBlock))
	r.live.Store(&liveSet{})
	return nil
}

func (r *run) parseKeys() error {
	sec := r.section[sectionKeys]
	end := 4 * (r.header.keys + 1)
	for i := range int(r.header.keys) + 1 {
		at := binary.LittleEndian.Uint32(sec[4*i:])
		if at < end || uint64(at) > uint64(len(sec)) {
			return fmt.Errorf("key %d at %d", i, at)
		}
		end = at
	}
	r.keys = make([]atomic.Pointer[crypto.KeyEntry], r.header.keys)
	return nil
}

func (r *run) parseShards() error {
	r.shards, r.shardShift = make([]shard, 1<<r.header.shardBits), uint8(63-r.header.shardBits)
	end := uint64(0)
	for i := range r.shards {
		s := &r.shards[i]
		s.shardRecord = getShard(r.section[sectionShards][i*shardSize:])
		if s.start != end || s.count > r.header.entries-end {
			return fmt.Errorf("shard %d of %d chunks at %d", i, s.count, s.start)
		}
		end += s.count
		if err := s.parseFilter(r.section[sectionFilters]); err != nil {
			return fmt.Errorf("shard %d: %w", i, err)
		}
	}
	if end != r.header.entries {
		return fmt.Errorf("shards of %d chunks, want %d", end, r.header.entries)
	}
	return nil
}

func (r *run) parsePacks() error {
	first, chunks := uint64(0), uint64(0)
	for i := range r.header.packs {
		p := r.pack(i)
		if uint64(p.first) != first || p.file != noFile && p.file >= r.header.files || !p.class.Valid() {
			return fmt.Errorf("pack %d", i)
		}
		first += uint64(p.segments)
		chunks += uint64(p.chunks)
	}
	if first != uint64(r.header.segments) || chunks != r.header.entries {
		return fmt.Errorf("packs of %d segments and %d chunks, want %d and %d", first, chunks, r.header.segments, r.header.entries)
	}
	return nil
}

// pack returns the record of pack n, which is in range.
func (r *run) pack(n uint32) packRecord { return getPack(r.section[sectionPacks][uint64(n)*packSize:]) }

// key returns session key n.
func (r *run) key(n uint32) (*crypto.KeyEntry, error) {
	if n >= r.header.keys {
		return nil, r.fail("key %d of %d", n, r.header.keys)
	}
	if e := r.keys[n].Load(); e != nil {
		return e, nil
	}
	d := wire.NewDecoder(r.keyBytes(n))
	e := crypto.DecodeKeyEntry(d)
	if err := d.Finish(); err != nil {
		return nil, r.fail("key %d: %v", n, err)
	}
	r.keys[n].CompareAndSwap(nil, &e)
	return r.keys[n].Load(), nil
}

func (r *run) keyBytes(n uint32) []byte {
	sec := r.section[sectionKeys]
	return sec[binary.LittleEndian.Uint32(sec[4*n:]):binary.LittleEndian.Uint32(sec[4*n+4:])]
}

// segment returns the record of segment n of the run, checked.
func (r *run) segment(n uint32) (segmentRecord, error) {
	if n >= r.header.segments {
		return segmentRecord{}, r.fail("segment %d of %d", n, r.header.segments)
	}
	b := uint64(n / segsPerBlock)
	sec := r.section[sectionSegments]
	if !r.seenSegs.has(b) {
		if r.sum.tag(sec[b*blockSize:(b+1)*blockSize]) != binary.LittleEndian.Uint64(r.section[sectionTags][b*tagSize:]) {
			return segmentRecord{}, r.fail("block %d of segments", b)
		}
		r.seenSegs.set(b)
	}
	s := getSegment(recordAt(sec, uint64(n), segmentSize, segsPerBlock))
	if s.pack >= r.header.packs {
		return segmentRecord{}, r.fail("segment in pack %d of %d", s.pack, r.header.packs)
	}
	return s, nil
}

// at returns entry n, which is below the number of entries, checked.
func (r *run) at(n uint64) (entry, error) {
	if err := r.check(n / perBlock); err != nil {
		return entry{}, err
	}
	return getEntry(recordAt(r.section[sectionEntries], n, entrySize, perBlock)), nil
}

// check checks block b of the entries if that was not done before.
func (r *run) check(b uint64) error {
	if r.seen.has(b) {
		return nil
	}
	block := r.section[sectionEntries][b*blockSize : (b+1)*blockSize]
	if r.sum.tag(block) != binary.LittleEndian.Uint64(r.section[sectionBlocks][b*blockInfoSize+8:]) {
		return r.fail("block %d of chunks", b)
	}
	r.seen.set(b)
	return nil
}

// fail records that the run is damaged.
func (r *run) fail(format string, args ...any) error {
	r.damaged.Store(true)
	return &RunError{Path: r.path, Err: fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))}
}

// shardOf returns the shard that has the ids with the given start.
func (r *run) shardOf(hi uint64) *shard { return &r.shards[hi>>1>>r.shardShift] }

// seek returns the number of the first entry that is not before p, or the number of entries.
func (r *run) seek(p prefix) (n uint64, err error) {
	s := r.shardOf(p.hi)
	if s.count == 0 {
		return r.header.entries, nil
	}
	for b := r.block(s, p.hi); ; b++ {
		if err := r.check(b); err != nil {
			return 0, err
		}
		n = r.inBlock(b, p)
		if n < (b+1)*perBlock || n == r.header.entries || r.first(b+1) != p.hi {
			return n, nil
		}
	} // the next block starts with an id that has the same start, and may be before p as well
}

// first returns the start of the first id of block b.
func (r *run) first(b uint64) uint64 {
	return binary.LittleEndian.Uint64(r.section[sectionBlocks][b*blockInfoSize:])
}

// block returns the last block of the shard whose first id starts with less than hi, or the shard's first block. Ids are uniform, so a guess from
// hi is off by few blocks; for ids that are not, the search takes a logarithmic number of steps.
func (r *run) block(s *shard, hi uint64) uint64 {
	low, high := s.start/perBlock, (s.start+s.count-1)/perBlock+1 // low is right, or a later block below high
	offset, _ := bits.Mul64(hi<<r.header.shardBits, s.count)
	guess := (s.start + offset) / perBlock
	if r.first(guess) < hi {
		low = guess
		for step := uint64(1); low+step < high; step *= 2 {
			if r.first(low+step) >= hi {
				high = low + step
				break
			}
			low += step
		}
	} else {
		high = max(guess, low+1)
		for step := uint64(1); high > low+step; step *= 2 {
			if r.first(high-step) < hi {
				low = high - step
				break
			}
			high -= step
		}
	}
	for high-low > 1 {
		if mid := low + (high-low)/2; r.first(mid) < hi {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// inBlock returns the number of the first entry from block b on that is not before p; it is the first of the next block if all of b are before.
func (r *run) inBlock(b uint64, p prefix) uint64 {
	block := r.section[sectionEntries][b*blockSize : (b+1)*blockSize]
	end := min(perBlock, r.header.entries-b*perBlock)
	guess := uint64(0)
	if first := r.first(b); p.hi > first && (b+1)*perBlock < r.header.entries {
		if next := r.first(b + 1); next > first {
			guess = min((p.hi-first)/((next-first)/perBlock+1), end-1)
		}
	}
	for guess > 0 && !getPrefix(block[(guess-1)*entrySize:]).less(p) {
		guess--
	}
	for guess < end && getPrefix(block[guess*entrySize:]).less(p) {
		guess++
	}
	return b*perBlock + guess
}

// release gives a reference back; the last one unmaps the run.
func (r *run) release() error {
	if r.refs.Add(-1) == 0 {
		return errors.Join(r.unmap(), r.filters.free())
	}
	return nil
}
