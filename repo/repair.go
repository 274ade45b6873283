package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// RepairOptions are the options of [Repository.RepairIndex] and [Repository.RepairPacks]; nil means all fields zero.
type RepairOptions struct {
	// Packs are the object keys of the packs to repair. None: all are read, to find those that are damaged.
	Packs []string
	// DryRun changes nothing, and reports what would be done.
	DryRun bool
	// Host and Program describe who repairs.
	Host, Program string
	// Progress hears how many bytes of packs were read, of how many.
	Progress func(done, total uint64)
}

// RepairReport is what a repair did.
type RepairReport struct {
	// LostIndexFiles cannot be read; RebuiltPacks are listed again, from their own directories.
	LostIndexFiles []string
	RebuiltPacks   uint64
	// RestoredPacks were damaged, and were made whole: by their parity, or by taking off what was added.
	RestoredPacks []string
	// DamagedPacks are missing, or have other bytes than were stored. Their bytes are kept under quarantine/.
	DamagedPacks []string
	// SavedChunks of damaged packs were stored again, LostChunks were not readable and are nowhere else: they are stored again by the next backup that meets
	// them.
	SavedChunks uint64
	LostChunks  []ID
	// Skipped are packs of whose contents nothing can be told, and why. Their bytes are kept under quarantine/.
	Skipped []error
	// Pending: what was replaced is not deleted yet, because older sessions are open, or what snapshots need cannot be told before more is repaired. A later
	// collection does it.
	Pending bool
}

// RepairIndex replaces the index files that are missing or damaged by new ones, made of the directories of the packs that no other index file lists. It
// takes a collector's or an admin's key. Nothing is deleted that was not replaced, or put into quarantine. It does not begin beside a collection or another repair that was heard of lately.
//
// Errors: [ErrNotAllowed], [ErrCollecting], those of the store.
func (r *Repository) RepairIndex(ctx context.Context, opts *RepairOptions) (*RepairReport, error) {
	p, err := r.newRepair(opts)
	if err != nil {
		return nil, err
	}
	return &p.repaired, p.run(ctx, p.index)
}

// repair is a collection that replaces what is damaged.
type repair struct {
	*collector
	opts     RepairOptions
	repaired RepairReport
}

func (r *Repository) newRepair(opts *RepairOptions) (*repair, error) {
	p := &repair{collector: &collector{repo: r, readable: map[Class]bool{}, start: time.Now(), repairing: true}}
	if opts != nil {
		p.opts = *opts
	}
	p.collector.opts = CollectOptions{Host: p.opts.Host, Program: p.opts.Program}
	for _, class := range []Class{Data, Meta, Map} {
		p.readable[class] = r.CanRead(class)
	}
	if p.opts.DryRun {
		return p, r.collects()
	}
	return p, r.mayCollect()
}

// run opens a session, except in a dry run, and does the work in it.
func (p *repair) run(ctx context.Context, do func(context.Context) error) (err error) {
	if err := p.repo.chain.advanceProved(ctx, p.opts.DryRun); err != nil {
		return err
	}
	if !p.opts.DryRun {
		if err := p.repo.aside(ctx, true); err != nil {
			return err
		}
		if p.session, err = p.repo.beginCollecting(ctx, &ledger.Open{Purpose: ledger.Repairing, Kind: kindRepair}, &p.collector.opts); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.close(ctx, err)) }()
		if p.doomed, err = p.repo.doomed(ctx); err != nil {
			return err
		}
	}
	// What a collection does from here on is not seen by the work, so that its CONDEMN must not count.
	p.repo.chain.view(func(st *ledger.State) { p.marked, _ = st.Head() })
	err = p.overtaken(ctx, do(ctx))
	if p.marks != nil {
		p.marks.Close()
	}
	return err
}

func (p *repair) index(ctx context.Context) error {
	lost, err := p.lostFiles(ctx)
	if err != nil {
		return err
	}
	if len(lost) == 0 && !p.opts.DryRun {
		return p.settle(ctx) // what an earlier repair could not finish
	}
	if !p.opts.DryRun {
		p.session.progress.reset()
	}
	for packs, err := range p.repo.unnamedPacks(ctx) {
		if err != nil {
			if !isType[*CorruptError](err) {
				return err
			}
			if err := p.skip(ctx, err); err != nil {
				return err
			}
			continue
		}
		there := true
		if !p.opts.DryRun {
			if there, err = p.relist(ctx, packs); err != nil {
				return err
			}
		}
		if there {
			p.repaired.RebuiltPacks++
		}
	}
	if p.opts.DryRun {
		return nil
	}
	if err := p.writeRelisted(ctx); err != nil {
		return err
	}
	return p.replace(ctx, lost)
}

// skip notes a pack whose directory cannot be read. No index file will list it, so its bytes are kept elsewhere.
func (p *repair) skip(ctx context.Context, damage error) error {
	p.repaired.Skipped = append(p.repaired.Skipped, damage)
	bad, ok := errors.AsType[*CorruptError](damage)
	if p.opts.DryRun || !ok {
		return nil
	}
	body, err := readLeft(ctx, p.repo.store, bad.Key, pack.MaxSize+1)
	if errors.Is(err, fs.ErrNotExist) || len(body) > pack.MaxSize {
		return nil // no pack
	}
	if err != nil {
		return err
	}
	return p.quarantine(ctx, bad.Key, body)
}

const quarantinePrefix = "quarantine/"

// quarantine keeps the bytes of a damaged pack.
func (p *repair) quarantine(ctx context.Context, pack string, body []byte) error {
	if len(body) == 0 || p.opts.DryRun {
		return nil
	}
	return quarantine(ctx, p.repo.store, pack, body)
}

func quarantine(ctx context.Context, store backend.Store, pack string, body []byte) error {
	key := quarantinePrefix + pack
	err := backend.PutBytes(ctx, store, key, body, &backend.PutOptions{IfAbsent: true})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}

// lostFiles returns the live index files that cannot be read.
func (p *repair) lostFiles(ctx context.Context) (lost []ledger.IndexFile, err error) {
	var files []ledger.IndexFile
	p.repo.chain.view(func(st *ledger.State) { files = st.IndexFiles() })
	for _, f := range files {
		_, err := p.repo.readIndexFile(ctx, f)
		if isType[*CorruptError](err) {
			lost = append(lost, f)
			p.repaired.LostIndexFiles = append(p.repaired.LostIndexFiles, fileName(f).FileKey())
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return lost, nil
}

// replace condemns index files in favour of those of the session, and ends that as far as it can.
func (p *repair) replace(ctx context.Context, retired []ledger.IndexFile) error {
	if err := p.condemn(ctx, retired, &round{}); err != nil {
		return err
	}
	p.finish(ctx)
	return nil
}

// finish ends what was replaced, as far as older sessions allow and snapshots can be read.
func (p *repair) finish(ctx context.Context) {
	if err := p.settle(ctx); err != nil {
		p.repo.log.Info("what was replaced is not deleted yet", "error", err)
	}
	p.waiting()
	p.repaired.Pending = p.report.Condemned > 0
}

// unnamedPacks yields the packs in the store that no readable index file lists and whose session did not leave them for garbage, with what their directories
// say. An error that is a *CorruptError is about one pack.
func (r *Repository) unnamedPacks(ctx context.Context) iter.Seq2[*index.Pack, error] {
	return func(yield func(*index.Pack, error) bool) {
		named, err := r.namedPacks(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		for info, err := range r.store.List(ctx, index.PackPrefix) {
			if err != nil {
				yield(nil, fmt.Errorf("listing packs: %w", err))
				return
			}
			name, err := index.ParsePackKey(info.Key)
			if err != nil || named.has(info.Key) || !r.keptItsPacks(name.Session) {
				continue
			}
			p, err := r.readDirectory(ctx, name, info.Size)
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since it was listed
			}
			if !yield(p, err) {
				return
			}
		}
	}
}

// namedPacks returns the packs that readable index files list.
func (r *Repository) namedPacks(ctx context.Context) (keySet, error) {
	set := keySet{}
	var files []ledger.IndexFile
	r.chain.view(func(st *ledger.State) { files = st.NamedFiles() })
	for _, f := range files {
		packs, err := r.inventory(ctx, f)
		if err != nil && !isType[*CorruptError](err) {
			return nil, err
		}
		for i := range packs {
			set.add(packs[i].PackKey())
		}
	}
	return set, nil
}

// keptItsPacks reports whether a session ended in a way that made its packs part of the repository, or may have.
func (r *Repository) keptItsPacks(id ledger.SessionID) (kept bool) {
	r.chain.view(func(st *ledger.State) {
		s, ok := st.Outcome(id)
		kept = ok && (s.End == ledger.Committed || s.Purpose != ledger.Writing)
	})
	return kept
}

// readDirectory reads what a pack says of itself.
func (r *Repository) readDirectory(ctx context.Context, name index.Name, size int64) (*index.Pack, error) {
	dir, err := pack.ReadDirectory(&objectReader{ctx, r.store, name.PackKey()}, size, r.ring)
	if isType[*pack.FormatError](err) || isType[*backend.DamagedError](err) {
		return nil, &CorruptError{Key: name.PackKey(), Offset: -1, Err: err}
	}
	if err != nil {
		return nil, err
	}
	p := index.FromDirectory(name, dir)
	return &p, nil
}

// objectReader reads from an object at any place.
type objectReader struct {
	ctx   context.Context
	store backend.Store
	key   string
}

// ReadAt implements [io.ReaderAt].
func (o *objectReader) ReadAt(b []byte, off int64) (int, error) {
	err := backend.ReadFull(o.ctx, o.store, o.key, off, b)
	if isType[*backend.RangeError](err) {
		return 0, io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}
