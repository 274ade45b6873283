package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// Progress is recorded when this many bytes were stored since the last time, or a sixty-fourth part of all if that is more; or after
// this time, or a thirty-second part of the session's. So what a crash costs is small, and the number of index files grows with the
// logarithm of what is stored.
const (
	recordBytes = 32 << 20
	recordEvery = 30 * time.Second
)

// maxPending bounds the packs, by their chunks, that are in no index file yet.
const maxPending = 1 << 18

// progress is what a session has made known of its work: packs in index files, and index files in progress records, which a later session
// can take over should this one die.
type progress struct {
	turn     turn
	log      *ledger.ProgressLog
	files    []ledger.IndexFile
	recorded int // of files
	pending  []index.Pack
	chunks   int // in pending
	bytes    uint64
	total    uint64
	start    time.Time
	last     time.Time
}

// any reports whether there is anything to continue. Nothing is being stored any more.
func (p *progress) any() bool {
	return len(p.files) > 0
}

// stored notes a pack that is durable, and records progress when it is time to.
func (s *Session) stored(p *index.Pack) error {
	if err := s.own.Add(s.ctx, p); err != nil {
		return err
	}
	chunks := 0
	for i := range p.Segments {
		for _, c := range p.Segments[i].Chunks {
			s.claims.release(c.ID)
		}
		chunks += len(p.Segments[i].Chunks)
	}
	if s.dryRun {
		return nil
	}
	g := &s.progress
	if err := g.turn.take(context.WithoutCancel(s.ctx)); err != nil { // what is stored is to be recorded, whatever ended the session
		return err
	}
	defer g.turn.pass()
	g.pending = append(g.pending, *p)
	g.chunks += chunks
	g.bytes += uint64(p.Size)
	g.total += uint64(p.Size)
	if s.collects { // nobody continues it
		if g.chunks >= maxPending {
			return s.writeIndex(s.ctx)
		}
		return nil
	}
	switch now := time.Now(); {
	case g.bytes >= max(recordBytes, g.total/64), g.chunks >= maxPending,
		now.Sub(g.last) >= max(recordEvery, now.Sub(g.start)/32):
		return s.recordLocked(s.ctx)
	}
	return nil
}

func (s *Session) record(ctx context.Context) error {
	if err := s.progress.turn.take(ctx); err != nil {
		return err
	}
	defer s.progress.turn.pass()
	return s.recordLocked(ctx)
}

// recordLocked writes what is pending to an index file, and names it in a progress record.
func (s *Session) recordLocked(ctx context.Context) error {
	g := &s.progress
	if err := s.writeIndex(ctx); err != nil {
		return err
	}
	if g.recorded == len(g.files) {
		return nil
	}
	b, err := g.log.Next(s.repo.ring, g.files[g.recorded:], s.repo.now().UnixNano())
	if err != nil {
		return err
	}
	n, _ := g.log.Head()
	if err := s.putDurable(ctx, ledger.ProgressKey(s.id, n), b); err != nil {
		return err
	}
	if err := g.log.Apply(b); err != nil {
		return err
	}
	g.recorded = len(g.files)
	g.bytes, g.last = 0, time.Now()
	return nil
}

// writeIndex writes an index file of the packs that are in none.
func (s *Session) writeIndex(ctx context.Context) error {
	g := &s.progress
	if len(g.pending) == 0 {
		return nil
	}
	name, b, err := s.repo.encodeIndex(g.pending)
	if err != nil {
		return err
	}
	if err := s.putDurable(ctx, index.Name{Session: s.id, Hash: name}.FileKey(), b); err != nil {
		return err
	}
	g.files = append(g.files, ledger.IndexFile{Session: s.id, Hash: name, Size: uint32(len(b))})
	g.pending, g.chunks = nil, 0
	return nil
}

func (s *Session) putDurable(ctx context.Context, key string, b []byte) error {
	if err := backend.PutBytes(ctx, s.repo.store, key, b, &backend.PutOptions{IfAbsent: true}); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	s.stats.stored.Add(uint64(len(b)))
	return nil
}

// deadSessions are sessions that can be continued, with their locks, which keep others from doing the same.
type deadSessions struct {
	ids   []ledger.SessionID
	locks []io.Closer
}

// live returns those that nobody has ended or adopted meanwhile.
func (d *deadSessions) live(st *ledger.State) []ledger.SessionID {
	return slices.DeleteFunc(slices.Clone(d.ids), func(id ledger.SessionID) bool {
		s, _ := st.Session(id)
		return s.End != ledger.Live
	})
}

func (d *deadSessions) release() {
	for _, l := range d.locks {
		_ = l.Close()
	}
}

// findDead looks for open sessions of this key and source whose process is gone: their kernel lock is free, or, on a store without such
// locks, nobody has heard of them for long enough.
func (s *Session) findDead(ctx context.Context, source ID) (*deadSessions, error) {
	d := &deadSessions{}
	if source.IsZero() {
		return d, nil
	}
	if err := s.repo.chain.advance(ctx); err != nil {
		return nil, err
	}
	var open []ledger.Session
	adoptable := func() {
		s.repo.chain.view(func(st *ledger.State) { open = st.Adoptable(s.repo.ring.Actor().ID(), source) })
	}
	if adoptable(); len(open) > 0 { // a session that is only said to be open would make the OPEN void, and all that follows
		if err := s.repo.chain.prove(ctx); err != nil {
			return nil, err
		}
		adoptable()
	}
	if _, locks := backend.As[backend.Locker](s.repo.store); !locks {
		return d, s.findQuiet(ctx, open, d)
	}
	for i := range open {
		l, err := s.takeLock(ctx, open[i].ID)
		if errors.Is(err, backend.ErrLocked) {
			continue
		}
		if err != nil {
			d.release()
			return nil, err
		}
		d.ids, d.locks = append(d.ids, open[i].ID), append(d.locks, l)
	}
	return d, nil
}

// findQuiet adds those of the sessions that nobody has heard of for long enough.
func (s *Session) findQuiet(ctx context.Context, open []ledger.Session, d *deadSessions) error {
	if len(open) == 0 {
		return nil
	}
	seen, err := s.repo.OpenSessions(ctx)
	if err != nil {
		return err
	}
	for i := range seen {
		mine := slices.ContainsFunc(open, func(o ledger.Session) bool { return o.ID == seen[i].ID })
		if mine && seen[i].Quiet >= quietFor {
			d.ids = append(d.ids, seen[i].ID)
		}
	}
	return nil
}

// adopt takes over the recorded progress of dead sessions, and of those that they had taken over.
func (s *Session) adopt(ctx context.Context, dead []ledger.SessionID) error {
	var covered []ledger.SessionID
	var err error
	s.repo.chain.view(func(st *ledger.State) {
		for _, id := range dead {
			covered = append(covered, st.Covers(id)...)
		}
		s.progress.log, err = ledger.NewProgressLog(st, s.id)
	})
	if err != nil {
		return err
	}
	s.progress.start = time.Now()
	s.progress.last = s.progress.start
	for _, id := range covered {
		if err := s.adoptOne(ctx, id); err != nil {
			return fmt.Errorf("continuing session %s: %w", id, err)
		}
	}
	s.progress.recorded = len(s.progress.files)
	return nil
}

// adoptOne takes over what one session recorded, up to the first thing that is missing or damaged: what came before still stands.
func (s *Session) adoptOne(ctx context.Context, id ledger.SessionID) error {
	files, err := s.repo.readProgress(ctx, id)
	if err != nil {
		return err
	}
	for _, f := range files {
		packs, err := s.repo.readIndexFile(ctx, f)
		if isType[*CorruptError](err) {
			s.repo.log.Warn("continuing a session in part", "session", id.String(), "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		for i := range packs {
			if err := s.own.Add(ctx, &packs[i]); err != nil {
				return err
			}
		}
		s.progress.files = append(s.progress.files, f)
	}
	return nil
}

// readProgress returns the index files that a session recorded, up to the first record that is missing or damaged.
func (r *Repository) readProgress(ctx context.Context, id ledger.SessionID) ([]ledger.IndexFile, error) {
	var log *ledger.ProgressLog
	var err error
	r.chain.view(func(st *ledger.State) { log, err = ledger.NewProgressLog(st, id) })
	for n := uint64(0); err == nil; n++ {
		key := ledger.ProgressKey(id, n)
		var b []byte
		b, err = backend.ReadAll(ctx, r.store, key, ledger.MaxEntry)
		if errors.Is(err, fs.ErrNotExist) {
			return log.Files(), nil
		}
		bad := err
		if err == nil {
			bad = log.Apply(b)
		} else if !isDamage(err) {
			break
		}
		if bad != nil {
			r.log.Warn("continuing a session in part", "object", key, "error", bad)
			return log.Files(), nil
		}
	}
	return nil, err
}
