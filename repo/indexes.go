package repo

import (
	"context"
	"errors"
	"slices"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// packParams are what packs and index files written now have in common.
func (r *Repository) packParams() (pack.Params, error) {
	key, err := r.ring.MapKey(r.ring.Epoch())
	return pack.Params{
		Suite: r.config.Suite, Domain: r.ring.Domain(), Epoch: r.ring.Epoch(), MapKey: key, Size: uint32(r.config.PackSize), Parity: uint8(r.config.Parity),
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
	case isDamage(err):
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

// Location says where a chunk is stored: in which segment of which pack, and where in the segment's plaintext. Locations in one segment
// have equal Pack and SegmentOffset.
type Location = index.Location

// openIndex opens an index in a folder, or in temporary files.
func (r *Repository) openIndex(dir string) (*index.Set, error) {
	opts := &index.Options{Dir: dir, Repository: r.genesis.Repository}
	if dir != "" {
		key := r.ring.StateKey("index")
		opts.Key = &key
	}
	return index.Open(opts)
}

// locations returns the places where a chunk of a class is, as far as the index was read; if that has none, more of the index is.
func (r *Repository) locations(ctx context.Context, c Class, id ID) ([]Location, error) {
	if list := r.committed.peek(c, id); len(list) > 0 {
		return list, nil
	}
	if err := r.committed.search(ctx, c, id); err != nil {
		return nil, err
	}
	if list := r.committed.peek(c, id); len(list) > 0 {
		return list, nil
	}
	return r.allLocations(ctx, c, id)
}

// allLocations returns every place where a chunk of a class is, in the index of all that is live, or else of what is condemned.
func (r *Repository) allLocations(ctx context.Context, c Class, id ID) ([]Location, error) {
	list, err := r.committed.locations(ctx, c, id)
	if len(list) > 0 || err != nil && !isType[*CorruptError](err) || !r.anyCondemned() {
		return list, err
	}
	list, cerr := r.condemned.locations(ctx, c, id)
	if len(list) > 0 {
		return list, nil
	}
	return nil, errors.Join(err, cerr)
}

func (r *Repository) anyCondemned() (any bool) {
	r.chain.view(func(st *ledger.State) { any = len(st.Condemned()) > 0 })
	return any
}

// locations returns every place where a chunk of a class is. Without one, the error names the index files that are lost.
func (c *committed) locations(ctx context.Context, class Class, id ID) ([]Location, error) {
	v, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	list, err := v.set.LookupAll(id)
	if isType[*index.RunError](err) {
		// The cache is damaged: what it held is read again.
		if v, err = c.after(ctx, v); err != nil {
			return nil, err
		}
		list, err = v.set.LookupAll(id)
	}
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return nil, err
	}
	if list = ofClass(list, class); len(list) == 0 {
		return nil, v.lost
	}
	return list, nil
}

func ofClass(list []Location, c Class) []Location {
	return slices.DeleteFunc(list, func(l Location) bool { return l.Class != c })
}
