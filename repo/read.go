package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// Load returns the chunk of that class, id and length in bytes. The bytes are shared with other callers and must not be changed. It suits small and random reads: decoded
// segments are kept for a while. Whoever reads much uses a [Reader].
//
// Errors: [ErrNotFound] when no live pack has the chunk, [*CorruptError], [ErrNotAllowed] wrapped when the key cannot open the class.
func (r *Repository) Load(ctx context.Context, c Class, id ID, length uint32) ([]byte, error) {
	list, err := r.locations(ctx, c, id)
	if err != nil {
		return nil, err
	}
	b, err := r.loadAny(ctx, c, id, length, list)
	if err == nil || ctx.Err() != nil {
		return b, err
	}
	// There may be another place in what was not read of the index when this one was found.
	if all, e := r.allLocations(ctx, c, id); e == nil && len(all) > len(list) {
		if b, e := r.loadAny(ctx, c, id, length, all); e == nil {
			return b, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return r.loadMoved(ctx, c, id, length, err)
}

// loadMoved looks again for a chunk whose pack is missing: a collector may have moved it since the ledger was read. lost is what to say
// otherwise.
func (r *Repository) loadMoved(ctx context.Context, c Class, id ID, length uint32, lost error) ([]byte, error) {
	if err := r.chain.advance(ctx); err != nil {
		return nil, errors.Join(lost, err)
	}
	list, err := r.allLocations(ctx, c, id)
	if err != nil || len(list) == 0 {
		return nil, lost
	}
	return r.loadAny(ctx, c, id, length, list)
}

// loadAny loads a chunk from the first of several places that has it.
func (r *Repository) loadAny(ctx context.Context, c Class, id ID, length uint32, places []Location) ([]byte, error) {
	err := fmt.Errorf("%s chunk %s of %d bytes: %w", c, id, length, ErrNotFound)
	for i := range places {
		if places[i].Length != length {
			continue
		}
		var b []byte
		if b, err = r.loadAt(ctx, id, &places[i]); err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, err
}

func (r *Repository) loadAt(ctx context.Context, id ID, loc *Location) ([]byte, error) {
	rd, ok := r.readers.Get().(*Reader)
	if !ok {
		var err error
		if rd, err = r.NewReader(); err != nil {
			return nil, err
		}
	}
	defer r.readers.Put(rd)
	name := segmentName{pack: loc.Pack, offset: loc.SegmentOffset}
	plain, err := r.cached.get(ctx, name, func() ([]byte, error) { return rd.Segment(ctx, loc) })
	if err != nil {
		return nil, err
	}
	return rd.Chunk(id, loc, plain)
}

var errWrongID = errors.New("the chunk does not have the id it is stored under")

func cutChunk(h *crypto.Hasher, id ID, loc *Location, plain []byte) ([]byte, error) {
	end := uint64(loc.Offset) + uint64(loc.Length)
	if end > uint64(len(plain)) {
		return nil, corrupt(loc, id, fmt.Errorf("its segment has %d bytes, the chunk ends at %d", len(plain), end))
	}
	chunk := plain[loc.Offset:end:end]
	if h.Sum(chunk) != id {
		return nil, corrupt(loc, id, errWrongID)
	}
	return chunk, nil
}

func corrupt(loc *Location, id ID, err error) error {
	return &CorruptError{Key: loc.Pack.PackKey(), Offset: int64(loc.SegmentOffset), Chunk: id, Err: err}
}

// Locate returns where a chunk of a class is stored, of several places the first, and whether it is in the repository at all.
func (r *Repository) Locate(ctx context.Context, c Class, id ID) (Location, bool, error) {
	list, err := r.locations(ctx, c, id)
	if err != nil || len(list) == 0 {
		return Location{}, false, err
	}
	return list[0], true, nil
}

// Reader reads whole segments for one goroutine, into memory of its own.
type Reader struct {
	repo         *Repository
	hashers      [4]*crypto.Hasher
	decompressor *pack.Decompressor
	sealed       []byte
	stored       []byte
}

// NewReader returns a reader.
func (r *Repository) NewReader() (*Reader, error) {
	if r.ring == nil {
		return nil, fmt.Errorf("reading: %w", ErrNotAllowed)
	}
	d, err := pack.NewDecompressor()
	if err != nil {
		return nil, err
	}
	return &Reader{repo: r, decompressor: d}, nil
}

// Segment reads and decodes the segment of a location, into new memory. Errors are those of [Repository.Load].
func (rd *Reader) Segment(ctx context.Context, loc *Location) ([]byte, error) {
	return rd.SegmentInto(ctx, nil, loc)
}

// SegmentInto reads and decodes the segment of a location, into the memory of dst where that is large enough.
func (rd *Reader) SegmentInto(ctx context.Context, dst []byte, loc *Location) ([]byte, error) {
	rd.sealed = room(rd.sealed, loc.Segment.Stored)
	sealed := rd.sealed[:loc.Segment.Stored]
	if err := backend.ReadFull(ctx, rd.repo.store, loc.Pack.PackKey(), int64(loc.SegmentOffset), sealed); err != nil {
		if isDamage(err) {
			return nil, corrupt(loc, ID{}, err)
		}
		return nil, err
	}
	plain, err := rd.openSegment(dst, loc.Class, loc.Key, &loc.Segment, sealed)
	if err != nil && !errors.Is(err, ErrNotAllowed) {
		err = corrupt(loc, ID{}, err)
	}
	return plain, err
}

// room returns memory for n bytes: b, or if that is too small more than asked for, so that segments which are a little larger each time do not
// make it anew each time.
func room(b []byte, n uint32) []byte {
	if cap(b) >= int(n) {
		return b[:0]
	}
	return make([]byte, 0, 1<<bits.Len32(n-1))
}

// openSegment opens and decodes a segment.
func (rd *Reader) openSegment(dst []byte, c Class, entry *crypto.KeyEntry, seg *pack.Segment, sealed []byte) ([]byte, error) {
	key, err := rd.repo.keys.open(c, entry)
	if isNoKey(err) {
		return nil, fmt.Errorf("reading class %s: %w: %w", c, ErrNotAllowed, err)
	}
	if err != nil {
		return nil, err
	}
	sealer := pack.Sealer{Suite: rd.repo.config.Suite, Domain: rd.repo.ring.Domain(), Class: c}
	if rd.stored, err = sealer.Open(room(rd.stored, seg.Stored), key, seg, sealed); err != nil {
		return nil, err
	}
	return rd.decompressor.Decompress(dst, seg.Codec, seg.Length, rd.stored)
}

// Chunk cuts the chunk of a location out of its decoded segment, and makes sure that it is the chunk of that id.
func (rd *Reader) Chunk(id ID, loc *Location, segment []byte) ([]byte, error) {
	h, err := rd.hasher(loc.Class)
	if err != nil {
		return nil, err
	}
	return cutChunk(h, id, loc, segment)
}

func (rd *Reader) hasher(c Class) (*crypto.Hasher, error) {
	if rd.hashers[c&3] == nil {
		h, err := rd.repo.ring.Hasher(c)
		if err != nil {
			return nil, err
		}
		rd.hashers[c&3] = h
	}
	return rd.hashers[c&3], nil
}

func isType[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
