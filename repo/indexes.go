package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"sync"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// packParams are what packs and index files written now have in common.
func (r *Repository) packParams() (pack.Params, error) {
	key, err := r.ring.MapKey(r.ring.Epoch())
	return pack.Params{
		Suite: r.config.Suite, Domain: r.ring.Domain(), Epoch: r.ring.Epoch(), MapKey: key, Size: uint32(r.config.PackSize),
	}, err
}

func (r *Repository) encodeIndex(packs []index.Pack) (ID, []byte, error) {
	params, err := r.packParams()
	if err != nil {
		return ID{}, nil, err
	}
	return index.Encode(&params, &index.File{Packs: packs})
}

func fileName(f ledger.IndexFile) index.Name { return index.Name{Session: f.Session, Hash: f.Hash} }

// fetchIndexFile reads an index file and verifies its hash.
func (r *Repository) fetchIndexFile(ctx context.Context, f ledger.IndexFile) ([]byte, error) {
	key := fileName(f).FileKey()
	b, err := backend.ReadAll(ctx, r.store, key, index.MaxFileSize)
	switch {
	case errors.Is(err, fs.ErrNotExist), isType[*backend.TooLargeError](err):
		return nil, &CorruptError{Key: key, Offset: -1, Err: err}
	case err != nil:
		return nil, err
	case len(b) != int(f.Size) || hashOf(b) != f.Hash:
		return nil, &CorruptError{Key: key, Offset: -1, Err: errors.New("its bytes do not have the hash that names it")}
	}
	return b, nil
}

// readIndexFile returns the packs of an index file with their segments.
func (r *Repository) readIndexFile(ctx context.Context, f ledger.IndexFile) ([]index.Pack, error) {
	b, err := r.fetchIndexFile(ctx, f)
	if err != nil {
		return nil, err
	}
	file, err := index.Decode(r.ring, b)
	if err != nil {
		return nil, &CorruptError{Key: fileName(f).FileKey(), Offset: -1, Err: err}
	}
	return file.Packs, nil
}

// inventory returns the packs of an index file without their segments. It needs no key.
func (r *Repository) inventory(ctx context.Context, f ledger.IndexFile) ([]index.Pack, error) {
	b, err := r.fetchIndexFile(ctx, f)
	if err != nil {
		return nil, err
	}
	items, err := index.Inventory(b)
	if err != nil {
		return nil, &CorruptError{Key: fileName(f).FileKey(), Offset: -1, Err: err}
	}
	packs := make([]index.Pack, len(items))
	for i, it := range items {
		packs[i] = index.Pack{Name: it.Name, Class: it.Class, Size: it.Size}
	}
	return packs, nil
}

// Location says where a chunk is stored.
type Location struct {
	Pack          *index.Pack
	Segment       uint32
	BodyOffset    uint32
	Stored        uint32
	SegmentLength uint32
	Codec         pack.Codec
	Salt          [32]byte
	Key           *crypto.KeyEntry
	Offset        uint32
	Length        uint32
}

type chunkSet struct {
	mu   sync.RWMutex
	locs map[ID][]Location
}

func newChunkSet() *chunkSet { return &chunkSet{locs: map[ID][]Location{}} }

func (s *chunkSet) Has(id ID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.locs[id]) > 0
}

func (s *chunkSet) Locations(id ID) iter.Seq[Location] {
	return func(yield func(Location) bool) {
		s.mu.RLock()
		list := s.locs[id]
		s.mu.RUnlock()
		for _, l := range list {
			if !yield(l) {
				return
			}
		}
	}
}

func (s *chunkSet) Add(p *index.Pack) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	off := p.BodyOffset
	for i := range p.Segments {
		seg := &p.Segments[i]
		at := uint32(0)
		for _, c := range seg.Chunks {
			s.locs[c.ID] = append(s.locs[c.ID], Location{Pack: p, Segment: uint32(i), BodyOffset: off, Stored: seg.Stored, SegmentLength: seg.Length, Codec: seg.Codec, Salt: seg.Salt, Key: &p.Keys[seg.Key], Offset: at, Length: c.Length})
			at += c.Length
		}
		off += seg.Stored
	}
	return nil
}

func (s *chunkSet) Close() error { return nil }

func (r *Repository) baseIndex(ctx context.Context) (*chunkSet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var files []ledger.IndexFile
	r.chain.view(func(st *ledger.State) { files = st.IndexFiles() })
	if r.index == nil {
		r.index = newChunkSet()
	}
	for ; r.loaded < len(files); r.loaded++ {
		packs, err := r.readIndexFile(ctx, files[r.loaded])
		if err != nil {
			return nil, err
		}
		for i := range packs {
			if err := r.index.Add(&packs[i]); err != nil {
				return nil, err
			}
		}
	}
	return r.index, nil
}

func (r *Repository) ownIndex() (*chunkSet, error) { return newChunkSet(), nil }

var _ = fmt.Sprint
