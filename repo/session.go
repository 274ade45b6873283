package repo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// SessionOptions are the options of [Repository.Begin]; nil means all fields zero.
type SessionOptions struct {
	// Kind says what the session is for, such as "backup".
	Kind string
	// Host and Program describe who writes.
	Host, Program string
	// Source names what is stored. A session of the same key and source that died is continued: what it had recorded
	// as uploaded is not uploaded again. Empty: nothing is continued.
	Source [][]byte
	// Compression is how hard to compress. The zero value is the fastest.
	Compression pack.Level
	// DryRun stores nothing, and leaves no trace: neither in the ledger nor elsewhere. The store may be one that cannot be
	// written; the key must be one that could write.
	DryRun bool
	// Uploads is how many packs are uploaded at the same time. Zero means 2.
	Uploads int
}

// Session is one writer's work on the repository, from OPEN to COMMIT. Its methods are safe for concurrent use, except that Commit
// and Close come last. A session that is neither committed nor closed can be continued by a later one with the same source.
type Session struct {
	repo        *Repository
	id          ledger.SessionID
	opened      uint64
	compression pack.Level
	dryRun      bool
	collects    bool                 // it moves what others stored
	wanted      func(Class, ID) bool // what it stores; nil: everything that is new
	lock        io.Closer
	progress    progress

	base    *index.Set // committed, as of OPEN
	own     *index.Set // this session's, and those of the sessions it continues
	claims  *claims
	buffers *buffers
	slots   *semaphore.Weighted
	uploads errgroup.Group
	stats   sessionCounters

	ctx     context.Context
	cancel  context.CancelCauseFunc
	beating sync.WaitGroup

	mu      sync.Mutex
	packers [4]*packer
	movers  [4]*packer
	shared  [4]*sharedWriter
	err     error
	ended   bool
	failed  atomic.Bool // err is set
}

type sessionCounters struct{ chunks, added, stored atomic.Uint64 }

// SessionStats counts what a session did. Sizes are in bytes.
type SessionStats struct {
	// Chunks were new to the repository.
	Chunks uint64
	// Added is their plaintext.
	Added uint64
	// Stored is what was written to the store: packs with their padding, index files, progress records, the snapshot and the
	// session's entries in the ledger. Of a dry run it is what the packs would take.
	Stored uint64
}

// Begin starts a session: it appends OPEN to the ledger, and then reads the index. ctx bounds the whole session: when it ends, uploads do.
//
// Errors: [ErrNotAllowed], [ErrSingleWriter], [*FeatureError], those of the store.
func (r *Repository) Begin(ctx context.Context, opts *SessionOptions) (*Session, error) {
	var o SessionOptions
	if opts != nil {
		o = *opts
	}
	if o.Uploads <= 0 {
		o.Uploads = 2
	}
	if err := r.mayBackUp(&o); err != nil {
		return nil, err
	}
	s := r.newSession(ctx, &o)
	if err := s.open(ctx, &o); err != nil {
		s.cancel(err)
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

func (r *Repository) newSession(ctx context.Context, o *SessionOptions) *Session {
	s := &Session{
		repo: r, compression: o.Compression, dryRun: o.DryRun, claims: newClaims(), buffers: newBuffers(o.Uploads), slots: semaphore.NewWeighted(int64(o.Uploads)), progress: progress{turn: newTurn()},
	}
	rand.Read(s.id[:])
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	return s
}

// mayBackUp fails if this key, program or store cannot do what a session needs. A dry run needs no store that can be written.
func (r *Repository) mayBackUp(o *SessionOptions) error {
	if o.DryRun {
		return r.mayName()
	}
	return r.mayWrite()
}

// mayName fails if this key or program cannot name chunks as the repository's writers do.
func (r *Repository) mayName() error {
	if r.ring == nil {
		return fmt.Errorf("writing: %w", ErrNotAllowed)
	}
	if _, err := r.ring.ChunkerSecret(); err != nil {
		return fmt.Errorf("writing: %w: %w", ErrNotAllowed, err)
	}
	if u := unknown(r.featureSets().Write, features.write); len(u) > 0 {
		return &FeatureError{Use: "writing", Features: u}
	}
	return nil
}

func (r *Repository) mayWrite() error {
	if err := r.mayName(); err != nil {
		return err
	}
	have, err := writePrimitive(r.store)
	if err != nil {
		return err
	}
	if r.genesis.Primitive == ledger.CreateIfAbsent && have != ledger.CreateIfAbsent {
		return fmt.Errorf("%s: %w, and this repository demands it", r.Location(), ErrSingleWriter)
	}
	return nil
}

// open appends OPEN, and only then reads the index.
func (s *Session) open(ctx context.Context, o *SessionOptions) error {
	var source ID
	var err error
	if len(o.Source) > 0 {
		if source, err = s.repo.ring.SourceID(o.Source...); err != nil {
			return err
		}
	}
	if o.DryRun {
		s.opened = s.repo.chain.head()
		return s.openIndexes(ctx)
	}
	if s.lock, err = s.takeLock(ctx, s.id); err != nil {
		return err
	}
	dead, err := s.findDead(ctx, source)
	if err != nil {
		return err
	}
	defer dead.release()
	body := &ledger.Open{Session: s.id, Kind: o.Kind, Host: o.Host, Source: source, Program: o.Program}
	err = s.append(ctx, func(st *ledger.State) (ledger.Body, error) {
		s.opened, _ = st.Head()
		body.Adopts = dead.live(st)
		return body, nil
	})
	if err != nil {
		return err
	}
	if err := s.openIndexes(ctx); err != nil {
		return err
	}
	if err := s.adopt(ctx, body.Adopts); err != nil {
		return err
	}
	s.startBeating()
	return nil
}

func (s *Session) openIndexes(ctx context.Context) error {
	v, err := s.repo.committed.current(ctx)
	if err != nil {
		return err
	}
	s.base = v.set
	s.own, err = s.repo.openIndex("")
	return err
}

// append adds an entry that needs no second look at the state.
func (r *Repository) append(ctx context.Context, body ledger.Body) error {
	_, err := r.chain.append(ctx, r.ring, func(*ledger.State) (ledger.Body, error) { return body, nil })
	return err
}

// append adds an entry about the session.
func (s *Session) append(ctx context.Context, decide func(*ledger.State) (ledger.Body, error)) error {
	n, err := s.repo.chain.append(ctx, s.repo.ring, decide)
	s.stats.stored.Add(uint64(n))
	return err
}

// appendClose ends the session in the ledger, unless somebody else did.
func (s *Session) appendClose(ctx context.Context, reason string) error {
	err := s.append(ctx, func(st *ledger.State) (ledger.Body, error) {
		if session, _ := st.Session(s.id); session.End != ledger.Live {
			return nil, errOver
		}
		return &ledger.Close{Session: s.id, Reason: reason}, nil
	})
	if errors.Is(err, errOver) {
		return nil
	}
	return err
}

// known reports whether a chunk is in the repository or in a finished pack of this session.
func (s *Session) known(id ID) bool { return s.base.Has(id) || s.own.Has(id) }

// Has reports whether a chunk need not be stored: it was there when the session began, or the session has stored it.
func (s *Session) Has(id ID) bool { return s.known(id) }

func (s *Session) packer(c Class) (*packer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.Valid() {
		return nil, fmt.Errorf("unknown %s", c)
	}
	if s.packers[c] == nil {
		p, err := newPacker(s, c)
		if err != nil {
			return nil, err
		}
		s.packers[c] = p
	}
	return s.packers[c], nil
}

// sharedWriter is a Writer that many goroutines take turns with.
type sharedWriter struct {
	turn   turn
	writer *Writer
}

func (w *sharedWriter) flush(ctx context.Context) error {
	if err := w.turn.take(ctx); err != nil {
		return err
	}
	defer w.turn.pass()
	return w.writer.Flush(ctx)
}

// Save stores one chunk, as [Writer.Save] does, through a writer that the session shares out. It suits the many small chunks of classes META
// and MAP.
func (s *Session) Save(ctx context.Context, c Class, chunk []byte) (ID, error) {
	w, err := s.sharedWriter(c)
	if err != nil {
		return ID{}, err
	}
	if err := w.turn.take(ctx); err != nil {
		return ID{}, err
	}
	defer w.turn.pass()
	id, _, err := w.writer.Save(ctx, chunk)
	return id, err
}

func (s *Session) sharedWriter(c Class) (*sharedWriter, error) {
	s.mu.Lock()
	w := s.shared[c&3]
	s.mu.Unlock()
	if w != nil {
		return w, nil
	}
	writer, err := s.NewWriter(c)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared[c] == nil {
		s.shared[c] = &sharedWriter{turn: newTurn(), writer: writer}
	}
	return s.shared[c], nil
}

// fail ends the session with its first error.
func (s *Session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		s.failed.Store(true)
		s.cancel(err)
	}
}

// failure returns the session's first error, or else err.
func (s *Session) failure(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return err
}

// Stats returns what the session has done so far.
func (s *Session) Stats() SessionStats {
	return SessionStats{Chunks: s.stats.chunks.Load(), Added: s.stats.added.Load(), Stored: s.stats.stored.Load()}
}

// ID returns the session's id, 32 hexadecimal digits.
func (s *Session) ID() string { return s.id.String() }

// Opened returns the number of the ledger's entry that opened the session.
func (s *Session) Opened() uint64 { return s.opened }

// Reusable reports whether what a snapshot refers to may be taken over unread: it was live when the session opened, and nothing that it needs
// may have been condemned before.
func (s *Session) Reusable(id ID) (ok bool) {
	s.repo.chain.view(func(st *ledger.State) { ok = st.Reusable(id, s.opened) })
	return ok
}

// Flush stores everything that was saved and waits until it is durable. Writers must have been flushed.
func (s *Session) Flush(ctx context.Context) error {
	for _, c := range []Class{Data, Meta, Map} {
		s.mu.Lock()
		w, packers := s.shared[c], []*packer{s.packers[c], s.movers[c]}
		s.mu.Unlock()
		if w != nil {
			if err := w.flush(ctx); err != nil {
				return err
			}
		}
		for _, p := range packers {
			if p == nil {
				continue
			}
			if err := p.flush(ctx); err != nil {
				s.fail(err)
			}
		}
	}
	_ = s.uploads.Wait() // errors are the session's
	return s.failure(nil)
}

// Suspend ends the work, unless it has ended, without a commit in a way that lets a later session with the same source continue it: what is uploaded is
// recorded. It takes what can be finished within a few seconds, also when the session's context has ended.
func (s *Session) Suspend(ctx context.Context) error {
	if s.over() {
		return nil
	}
	_ = s.uploads.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if s.dryRun {
		return s.end()
	}
	err := s.record(ctx)
	if kerr := s.repo.keys.save(); kerr != nil {
		s.repo.log.Warn("keeping a writer's state", "error", kerr)
	}
	if err == nil && !s.progress.any() {
		err = s.appendClose(ctx, "nothing to continue")
	}
	return errors.Join(err, s.end())
}

// Close ends the session without a commit, for good: what it stored is garbage. After Commit, Suspend or Close it does nothing.
func (s *Session) Close(ctx context.Context, reason string) error {
	if s.over() {
		return nil
	}
	s.cancel(ErrSessionEnded)
	_ = s.uploads.Wait()
	if s.dryRun {
		return s.end()
	}
	err := s.appendClose(context.WithoutCancel(ctx), reason)
	return errors.Join(err, s.end())
}

// over reports whether the session has ended.
func (s *Session) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// end frees what the session holds.
func (s *Session) end() error {
	s.mu.Lock()
	ended := s.ended
	s.ended = true
	if s.err == nil {
		s.err = ErrSessionEnded
		s.failed.Store(true)
	}
	s.mu.Unlock()
	if ended {
		return nil
	}
	s.cancel(ErrSessionEnded)
	s.beating.Wait()
	return s.release()
}

func (s *Session) release() error {
	var errs []error
	if s.own != nil {
		errs = append(errs, s.own.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

func (s *Session) takeLock(ctx context.Context, id ledger.SessionID) (io.Closer, error) {
	locker, ok := backend.As[backend.Locker](s.repo.store)
	if !ok {
		return nil, nil
	}
	l, err := locker.TryLock(ctx, sessionLock(id))
	if err != nil {
		return nil, fmt.Errorf("locking session %s: %w", id, err)
	}
	return l, nil
}
