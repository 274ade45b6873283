package repo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// mover carries out one round: it lists the packs that stay in new index files, and writes anew what is needed of those that go.
type mover struct {
	*collector
	set     *index.Set
	leaving map[ID]bool // packs: true for those whose contents are moved
	workers []*moveWorker
	buf     []byte // the pack being moved
	done    uint64 // bytes of packs
	total   uint64
}

// moveWorker moves segments for one goroutine.
type moveWorker struct {
	*mover
	reader  *Reader
	writers map[Class]*Writer
}

// carryOut does a round, up to its CONDEMN.
func (c *collector) carryOut(ctx context.Context, r *round) error {
	ix, err := c.repo.committed.current(ctx)
	if err != nil {
		return err
	}
	m := &mover{collector: c, set: ix.set, leaving: map[ID]bool{}}
	for range runtime.GOMAXPROCS(0) {
		m.workers = append(m.workers, &moveWorker{mover: m, writers: map[Class]*Writer{}})
	}
	var files []index.Name
	for i := range r.drop {
		m.leaving[r.drop[i].Hash] = false
		files = append(files, r.drop[i].File)
	}
	for i := range r.move {
		m.leaving[r.move[i].Hash] = true
		files = append(files, r.move[i].File)
		m.total += uint64(r.move[i].Size)
	}
	for _, f := range r.merge {
		files = append(files, fileName(f))
	}
	retired := c.live(files)
	c.session.progress.reset()
	for _, f := range retired {
		if err := m.file(ctx, f); err != nil {
			return fmt.Errorf("rewriting index file %s: %w", f.Hash, err)
		}
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	return c.condemn(ctx, retired, r)
}

// live returns the live index files of those names.
func (c *collector) live(names []index.Name) (list []ledger.IndexFile) {
	wanted := map[index.Name]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	c.repo.chain.view(func(st *ledger.State) {
		for _, f := range st.IndexFiles() {
			if wanted[fileName(f)] {
				list = append(list, f)
			}
		}
	})
	return list
}

// file deals with the packs of one index file.
func (m *mover) file(ctx context.Context, f ledger.IndexFile) error {
	packs, err := m.repo.readIndexFile(ctx, f)
	if err != nil {
		return err
	}
	for i := range packs {
		p := &packs[i]
		moves, leaves := m.leaving[p.Hash]
		switch {
		case !leaves:
			err = m.session.list(ctx, p)
		case moves:
			err = m.pack(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pack writes anew what is needed of a pack, after verifying all of it.
func (m *mover) pack(ctx context.Context, p *index.Pack) error {
	m.buf = room(m.buf, p.Size)[:p.Size]
	err := backend.ReadFull(ctx, m.repo.store, p.PackKey(), 0, m.buf)
	if err == nil && hashOf(m.buf) != p.Hash {
		err = errWrongHash
	}
	if err != nil {
		if errors.Is(err, errWrongHash) || isDamage(err) {
			err = &CorruptError{Key: p.PackKey(), Offset: -1, Err: err}
		}
		return err
	}
	if err := m.segments(ctx, p); err != nil {
		return err
	}
	m.done += uint64(p.Size)
	m.progress("repack", m.done, m.total)
	return nil
}

// segments moves the segments of the pack that was read, one to each worker at a time.
func (m *mover) segments(ctx context.Context, p *index.Pack) error {
	offsets := make([]uint32, len(p.Segments))
	at := p.BodyOffset
	for i := range p.Segments {
		offsets[i] = at
		at += p.Segments[i].Stored
	}
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for _, w := range m.workers {
		g.Go(func() error {
			for i := next.Add(1) - 1; i < int64(len(offsets)); i = next.Add(1) - 1 {
				seg := &p.Segments[i]
				if err := w.segment(ctx, p, seg, m.buf[offsets[i]:offsets[i]+seg.Stored]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// segment moves a segment if something in it is needed: as it is, or cut to what is needed if much is not and the key can read it.
func (m *moveWorker) segment(ctx context.Context, p *index.Pack, seg *pack.Segment, sealed []byte) error {
	needed, bytes := make([]bool, len(seg.Chunks)), uint64(0)
	for i, ch := range seg.Chunks {
		need, err := m.needs(p.Class, ch.ID)
		if err != nil {
			return err
		}
		if needed[i] = need; need {
			bytes += uint64(ch.Length)
		}
	}
	switch {
	case bytes == 0:
		return nil
	case m.readable[p.Class] && m.worthCutting(uint64(seg.Length)-bytes, uint64(seg.Length)):
		return m.cut(ctx, p, seg, sealed, needed)
	}
	packer, err := m.session.mover(p.Class)
	if err != nil {
		return err
	}
	for _, ch := range seg.Chunks {
		m.session.claims.claim(ch.ID)
	}
	return packer.move(ctx, seg, sealed, &p.Keys[seg.Key])
}

// worthCutting reports whether so many unneeded bytes of a segment are worth compressing the rest anew.
func (m *mover) worthCutting(unneeded, length uint64) bool {
	if unneeded == 0 {
		return false
	}
	return unneeded >= length/4 || m.opts.MaxUnused.of(1<<40) == 0
}

// needs reports whether a chunk is needed, and is neither moved yet nor in a pack that stays.
func (m *mover) needs(class Class, id ID) (bool, error) {
	if !m.marks.Has(id) || m.session.own.Has(id) || m.session.claims.has(id) {
		return false, nil
	}
	list, err := m.set.LookupAll(id)
	if err != nil && !errors.Is(err, index.ErrNotFound) {
		return false, err
	}
	return !slices.ContainsFunc(list, func(l Location) bool {
		_, leaves := m.leaving[l.Pack.Hash]
		return !leaves && l.Class == class
	}), nil
}

// cut stores the needed chunks of a segment as new ones are stored.
func (m *moveWorker) cut(ctx context.Context, p *index.Pack, seg *pack.Segment, sealed []byte, needed []bool) error {
	if m.reader == nil {
		var err error
		if m.reader, err = m.repo.NewReader(); err != nil {
			return err
		}
	}
	plain, err := m.reader.openSegment(nil, p.Class, &p.Keys[seg.Key], seg, sealed)
	if err != nil {
		return &CorruptError{Key: p.PackKey(), Offset: -1, Err: err}
	}
	w, err := m.writer(p.Class)
	if err != nil {
		return err
	}
	for i, ch := range seg.Chunks {
		chunk := plain[:ch.Length]
		plain = plain[ch.Length:]
		if !needed[i] {
			continue
		}
		id, _, err := w.Save(ctx, chunk)
		if err != nil {
			return err
		}
		if id != ch.ID {
			return &CorruptError{Key: p.PackKey(), Offset: -1, Chunk: ch.ID, Err: errWrongID}
		}
	}
	return nil
}

func (m *moveWorker) writer(c Class) (*Writer, error) {
	if m.writers[c] == nil {
		w, err := m.session.NewWriter(c)
		if err != nil {
			return nil, err
		}
		m.writers[c] = w
	}
	return m.writers[c], nil
}

// flush makes all that was moved and listed durable, index files included.
func (m *mover) flush(ctx context.Context) error {
	for _, k := range m.workers {
		for _, w := range k.writers {
			if err := w.Flush(ctx); err != nil {
				return err
			}
		}
	}
	if err := m.session.Flush(ctx); err != nil {
		return err
	}
	return m.session.writeListed(ctx)
}

// mover returns the packer of moved segments of a class.
func (s *Session) mover(c Class) (*packer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.movers[c] == nil {
		p, err := newMover(s, c)
		if err != nil {
			return nil, err
		}
		s.movers[c] = p
	}
	return s.movers[c], nil
}

// list puts a pack that is stored already into the session's index files.
func (s *Session) list(ctx context.Context, p *index.Pack) error {
	g := &s.progress
	if err := g.turn.take(ctx); err != nil {
		return err
	}
	defer g.turn.pass()
	g.pending = append(g.pending, *p)
	for i := range p.Segments {
		g.chunks += len(p.Segments[i].Chunks)
	}
	if g.chunks < maxPending {
		return nil
	}
	return s.writeIndex(ctx)
}

// writeListed writes an index file of what was listed and is in none.
func (s *Session) writeListed(ctx context.Context) error {
	if err := s.progress.turn.take(ctx); err != nil {
		return err
	}
	defer s.progress.turn.pass()
	return s.writeIndex(ctx)
}

// reset starts a new set of index files. Nothing is being stored.
func (p *progress) reset() {
	p.files, p.pending, p.chunks = nil, nil, 0
}
