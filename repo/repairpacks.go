package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// RepairPacks makes packs that are damaged whole by their parity, as [Repository.RestorePacks] does. Of the others it stores again what can be read, puts their bytes into quarantine, and takes them out of the index, so that what is
// lost counts as absent: the next backup that meets it stores it again, and every snapshot that refers to it is whole then. It takes an admin's
// key, since chunks are verified one by one.
//
// Errors: [ErrNotAllowed], [ErrNotFound] for a pack that the index does not name, [ErrCollecting], [*CorruptError] for an index file that is damaged:
// repair the index first; those of the store.
func (r *Repository) RepairPacks(ctx context.Context, opts *RepairOptions) (*RepairReport, error) {
	p, err := r.newRepair(opts)
	if err != nil {
		return nil, err
	}
	if !r.CanRead(Data) {
		return nil, fmt.Errorf("%w: repairing packs takes an admin's key, which can read them", ErrNotAllowed)
	}
	return &p.repaired, p.run(ctx, p.packs)
}

func (p *repair) packs(ctx context.Context) error {
	if err := p.known(ctx, p.opts.Packs); err != nil {
		return err
	}
	var all []ledger.IndexFile
	p.repo.chain.view(func(st *ledger.State) { all = st.IndexFiles() })
	damaged, files, err := p.findDamaged(ctx, all)
	if err != nil {
		return err
	}
	if len(damaged) == 0 && !p.opts.DryRun {
		return p.settle(ctx) // what an earlier repair could not finish
	}
	s := &salvager{repair: p, damaged: damaged, lost: map[ID]bool{}}
	if !p.opts.DryRun {
		p.session.progress.reset()
	}
	for _, f := range files {
		if err := s.file(ctx, f); err != nil {
			return err
		}
	}
	p.repaired.LostChunks = s.gone()
	if p.opts.DryRun {
		return nil
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	return p.replace(ctx, files)
}

// known fails if the index does not name one of the packs.
func (p *repair) known(ctx context.Context, packs []string) error {
	if len(packs) == 0 {
		return nil
	}
	named, err := p.repo.namedPacks(ctx)
	if err != nil {
		return err
	}
	for _, key := range packs {
		if !named.has(key) {
			return fmt.Errorf("pack %q: %w: give it as 'holdfast check' does", key, ErrNotFound)
		}
	}
	return nil
}

// findDamaged returns the packs that are not what was stored, and those of the index files that list them.
func (p *repair) findDamaged(ctx context.Context, all []ledger.IndexFile) (damaged map[ID]bool, files []ledger.IndexFile, err error) {
	damaged = map[ID]bool{}
	var done, total uint64
	for _, f := range all {
		packs, err := p.listed(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		for i := range packs {
			total += uint64(packs[i].Size)
		}
	}
	for _, f := range all {
		packs, err := p.listed(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		found := false
		for i := range packs {
			bad, err := p.isDamaged(ctx, &packs[i])
			if err != nil {
				return nil, nil, err
			}
			if done += uint64(packs[i].Size); p.opts.Progress != nil {
				p.opts.Progress(done, total)
			}
			if bad {
				damaged[packs[i].Hash] = true
				p.repaired.DamagedPacks = append(p.repaired.DamagedPacks, packs[i].PackKey())
				found = true
			}
		}
		if found {
			files = append(files, f)
		}
	}
	return damaged, files, nil
}

func (p *repair) isDamaged(ctx context.Context, k *index.Pack) (bool, error) {
	if len(p.opts.Packs) > 0 && !slices.Contains(p.opts.Packs, k.PackKey()) {
		return false, nil
	}
	b, err := readLeft(ctx, p.repo.store, k.PackKey(), int64(k.Size)+1)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case len(b) == int(k.Size) && hashOf(b) == k.Hash:
		return false, nil
	}
	restored, err := p.restore(ctx, k, b)
	return !restored, err
}

// salvager stores again what can be read of damaged packs.
type salvager struct {
	*repair
	damaged map[ID]bool
	reader  *Reader
	writers [4]*Writer  // by class
	lost    map[ID]bool // whether a chunk was found nowhere
}

// gone returns the chunks that are lost, in order.
func (s *salvager) gone() (list []ID) {
	for id, lost := range s.lost {
		if lost {
			list = append(list, id)
		}
	}
	slices.SortFunc(list, compareIDs)
	return list
}

func compareIDs(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// file lists the sound packs of an index file again, and salvages the others.
func (s *salvager) file(ctx context.Context, f ledger.IndexFile) error {
	packs, err := s.repo.readIndexFile(ctx, f)
	if err != nil {
		return err
	}
	for i := range packs {
		k := &packs[i]
		switch {
		case s.damaged[k.Hash]:
			err = s.salvage(ctx, k)
		case !s.opts.DryRun:
			err = s.session.list(ctx, k)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *salvager) salvage(ctx context.Context, k *index.Pack) error {
	body, err := readLeft(ctx, s.repo.store, k.PackKey(), int64(k.Size)+1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.quarantine(ctx, k.PackKey(), body); err != nil {
		return err
	}
	body = pack.Patch(body, k.Size)
	at := uint64(k.BodyOffset)
	for i := range k.Segments {
		seg := &k.Segments[i]
		end := at + uint64(seg.Stored)
		var sealed []byte
		if end <= uint64(len(body)) {
			sealed = body[at:end]
		}
		if err := s.segment(ctx, k, seg, sealed); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// usable reports whether a pack is there and, if something is kept in quarantine under its name, whether it is sound: it may have been put back, or what is kept may be
// anybody's.
func (r *Repository) usable(ctx context.Context, name index.Name, size uint32) (bool, error) {
	info, err := r.store.Stat(ctx, name.PackKey())
	if err != nil || info.Size != int64(size) {
		return false, ifExists(err)
	}
	_, err = r.store.Stat(ctx, quarantinePrefix+name.PackKey())
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	b, err := backend.ReadAll(ctx, r.store, name.PackKey(), int64(size))
	if isDamage(err) {
		return false, nil
	}
	return err == nil && hashOf(b) == name.Hash, err
}

// ifExists returns err unless it says that something is not there.
func ifExists(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// segment stores again those chunks of a segment that are right and that no sound pack has.
func (s *salvager) segment(ctx context.Context, k *index.Pack, seg *pack.Segment, sealed []byte) error {
	if s.reader == nil {
		var err error
		if s.reader, err = s.repo.NewReader(); err != nil {
			return err
		}
	}
	plain, err := s.reader.openSegment(nil, k.Class, &k.Keys[seg.Key], seg, sealed)
	if errors.Is(err, ErrNotAllowed) {
		return err
	}
	if err != nil {
		plain = nil // damaged
	}
	h, err := s.reader.hasher(k.Class)
	if err != nil {
		return err
	}
	for _, ch := range seg.Chunks {
		var chunk []byte
		if plain != nil {
			chunk, plain = plain[:ch.Length], plain[ch.Length:]
		}
		good := chunk != nil && h.Sum(chunk) == ch.ID
		if err := s.chunk(ctx, k.Class, ch.ID, chunk, good); err != nil {
			return err
		}
	}
	return nil
}

func (s *salvager) chunk(ctx context.Context, class Class, id ID, chunk []byte, good bool) error {
	if lost, known := s.lost[id]; known && !lost {
		return nil
	}
	elsewhere, err := s.elsewhere(ctx, class, id)
	if err != nil {
		return err
	}
	s.lost[id] = !good && !elsewhere
	if !good || elsewhere {
		return nil
	}
	s.repaired.SavedChunks++
	if s.opts.DryRun {
		return nil
	}
	w := s.writers[class&3]
	if w == nil {
		if w, err = s.session.NewWriter(class); err != nil {
			return err
		}
		s.writers[class&3] = w
	}
	_, _, err = w.Save(ctx, chunk)
	return err
}

// elsewhere reports whether a sound pack has the chunk.
func (s *salvager) elsewhere(ctx context.Context, class Class, id ID) (bool, error) {
	list, err := s.repo.allLocations(ctx, class, id)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list, func(l Location) bool { return !s.damaged[l.Pack.Hash] }), nil
}

func (s *salvager) flush(ctx context.Context) error {
	for _, w := range s.writers {
		if w == nil {
			continue
		}
		if err := w.Flush(ctx); err != nil {
			return err
		}
	}
	if err := s.session.Flush(ctx); err != nil {
		return err
	}
	return s.session.writeListed(ctx)
}
