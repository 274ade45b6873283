package repo

import (
	"context"
	"errors"

	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// ClassStats counts what is stored of one class. Sizes are in bytes.
type ClassStats struct {
	// Packs are all that commits name, and Stored their sizes, padding included.
	Packs, Stored uint64
	// Chunks are in them, one that was stored twice counting twice, and Length is their plaintext. An auditor, who cannot open the index,
	// gets zero for both.
	Chunks, Length uint64
}

// Stats counts what the ledger and the index say is stored.
type Stats struct {
	// Classes has what is stored of each class that there is.
	Classes map[Class]ClassStats
	// IndexFiles and IndexBytes are the index files that commits name.
	IndexFiles, IndexBytes uint64
	// Entries are those of the ledger, Snapshots those that are not forgotten.
	Entries, Snapshots uint64
}

// Stats counts what is stored, as of the ledger as last read. It reads no packs, and no index files that are in the local cache; an auditor
// reads all index files. It takes some 30 bytes of memory for each pack while it runs. If some index files cannot be read, the error
// names them, and what they list is not counted.
func (r *Repository) Stats(ctx context.Context) (*Stats, error) {
	s := &Stats{Classes: map[Class]ClassStats{}}
	var files []ledger.IndexFile
	r.chain.view(func(st *ledger.State) {
		files = st.IndexFiles()
		s.Entries, _ = st.Head()
		s.Snapshots = uint64(len(st.Snapshots()))
	})
	s.IndexFiles = uint64(len(files))
	for _, f := range files {
		s.IndexBytes += uint64(f.Size)
	}
	if r.ring == nil {
		return s, r.countListed(ctx, files, s)
	}
	v, err := r.committed.current(ctx)
	if err != nil {
		return s, err
	}
	for p := range v.set.Packs() {
		s.add(&p)
	}
	return s, v.lost
}

func (s *Stats) add(p *index.PackInfo) {
	c := s.Classes[p.Class]
	s.Classes[p.Class] = ClassStats{c.Packs + 1, c.Stored + uint64(p.Size), c.Chunks + uint64(p.Chunks), c.Length + p.Length}
}

// countListed counts the packs that index files list in the clear.
func (r *Repository) countListed(ctx context.Context, files []ledger.IndexFile, s *Stats) error {
	var errs []error
	seen := keySet{}
	for _, f := range files {
		packs, err := r.inventory(ctx, f)
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i := range packs {
			if p := &packs[i]; seen.add(p.PackKey()) {
				s.add(&index.PackInfo{Name: p.Name, Class: p.Class, Size: p.Size})
			}
		}
	}
	return errors.Join(errs...)
}
