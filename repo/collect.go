package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// CollectOptions are the options of [Repository.Collect]; nil means all fields zero.
type CollectOptions struct {
	// MaxUnused is how much that nothing refers to may stay in packs that hold something needed. Nil: 5 % of the repository.
	MaxUnused *Limit
	// MaxRepack bounds the bytes of packs that are repacked. Zero: no bound.
	MaxRepack uint64
	// Wait is how long to wait for sessions that were opened before, and may use what is condemned.
	Wait time.Duration
	// Revoke are sessions to end before anything else.
	Revoke []ledger.SessionID
	// RevokeAfter ends sessions that this client has not heard of for so long. It is safe at any value: one that is alive after all starts again. Nil: those
	// that must be waited for are ended when their process is gone for certain, and no others.
	RevokeAfter *time.Duration
	// DryRun changes nothing, and reports what would be done.
	DryRun bool
	// Without are snapshots that a dry run takes for forgotten.
	Without []ID
	// Host and Program describe who collects.
	Host, Program string
	// Progress hears what is being done, from one goroutine at a time.
	Progress func(CollectProgress)
}

// Limit is an amount: a share of the repository, or bytes.
type Limit struct {
	Share float64 // 0 to 1; of what there is after collecting
	Bytes uint64  // if Share is 0
}

// CollectProgress says how far a collection is.
type CollectProgress struct {
	// Step is what is being done: "mark", "repack", "wait" or "delete".
	Step string
	// Done of Total: snapshots, bytes of packs, or objects.
	Done, Total uint64
}

// CollectReport is what [Repository.Collect] did. Sizes are in bytes.
type CollectReport struct {
	// Packs, Stored, and Unused of it, were there before; Unused is about what no snapshot needs.
	Packs, Stored, Unused uint64
	// Dropped packs had nothing that is needed. Repacked ones had too little, and what was needed of them was written again: Rewritten.
	Dropped, DroppedBytes, Repacked, RepackedBytes, Rewritten uint64
	// Merged index files were replaced by fewer, others rewritten.
	Merged uint64
	// Rescued packs were condemned earlier, and are needed again.
	Rescued uint64
	// Revoked sessions were named, were not heard of for long enough, or had to be waited for while their processes are gone.
	Revoked []ledger.SessionID
	// Deleted objects are gone, Refused ones could not be deleted yet: the next collection tries again.
	Deleted, DeletedBytes, Refused uint64
	// Condemned index files wait, with the packs that only they list, for the sessions in Waiting to end.
	Condemned uint64
	Waiting   []ledger.SessionID
	// Repairs are sessions that repair, and may list again what no index file names: nothing was deleted because of them.
	Repairs []ledger.SessionID
	// LeftUnused is about what stays that no snapshot needs. Inside of it is within segments that hold something needed and that this key cannot
	// read, so that it cannot be cut out.
	LeftUnused, Inside uint64
}

// ErrCollecting is returned when another collection, or a repair, came in between or is running. Nothing is lost: run it again.
var ErrCollecting = errors.New("another collection or repair is at work, or came in between; run it again when it has ended")

// Collect frees what no snapshot needs: it marks what the live snapshots refer to, writes what is needed of sparse packs into new ones, condemns the
// old ones, and deletes what was condemned once no session can refer to it any more. Backups, restores and other collections may go on meanwhile. It may be
// interrupted anywhere: what was not finished is finished by the next run. It takes a collector's or an admin's key; with one that can read, chunks that
// are not needed are also cut out of segments.
//
// Memory: two bits for each chunk, some 200 bytes for each pack and 30 for each object, beside that of the index and the ledger.
//
// Errors: [ErrNotAllowed], [ErrCollecting], [ErrSessionEnded] when the collection was revoked, [*CorruptError] when something is damaged that has to be
// read for this: repair it first. Nothing that may be needed is deleted then.
func (r *Repository) Collect(ctx context.Context, opts *CollectOptions) (*CollectReport, error) {
	may := r.mayCollect
	if opts != nil && opts.DryRun {
		may = r.collects
	}
	if err := may(); err != nil {
		return nil, err
	}
	c := &collector{repo: r, readable: map[Class]bool{}, start: time.Now()}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.MaxUnused == nil {
		c.opts.MaxUnused = &Limit{Share: 0.05}
	}
	for _, class := range []Class{Data, Meta, Map} {
		c.readable[class] = r.CanRead(class)
	}
	err := c.run(ctx)
	if c.marks != nil {
		c.marks.Close()
	}
	return &c.report, err
}

// collector is one run of Collect. It has one owner.
type collector struct {
	repo      *Repository
	opts      CollectOptions
	readable  map[Class]bool
	session   *Session // nil in a dry run
	repairing bool     // index files that are lost were replaced
	doomed    *doomed  // of a repair
	names     keySet   // what index files name, as of namesAt
	namesAt   uint64
	start     time.Time
	marker
	report CollectReport
}

func (c *collector) run(ctx context.Context) (err error) {
	if err := c.repo.chain.advanceProved(ctx, c.opts.DryRun); err != nil {
		return err
	}
	if c.opts.DryRun {
		return c.rehearse(ctx)
	}
	if err := c.revokeNamed(ctx); err != nil {
		return err
	}
	if err := c.repo.aside(ctx, false); err != nil {
		return err
	}
	if c.session, err = c.repo.beginCollecting(ctx, &ledger.Open{Purpose: ledger.Collecting, Kind: kindCollection}, &c.opts); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close(ctx, err)) }()
	if err := c.settle(ctx); err != nil {
		return err
	}
	if err := c.rounds(ctx); err != nil {
		return err
	}
	c.report.Rewritten = c.session.Stats().Stored
	c.waiting()
	return c.sweep(ctx)
}

// close ends the session.
func (c *collector) close(ctx context.Context, failed error) error {
	reason := "done"
	if failed != nil {
		reason = "failed"
	}
	return c.session.Close(ctx, reason)
}

// rounds condemns and deletes, some at a time, so that what is done stays done when it is interrupted, and little more room is needed.
func (c *collector) rounds(ctx context.Context) error {
	for first := true; ; first = false {
		if err := c.mark(ctx); err != nil {
			return err
		}
		p, err := c.plan(ctx)
		if err != nil {
			return err
		}
		if first {
			c.report.Packs, c.report.Stored, c.report.Unused = p.packs, p.stored, p.unused
		}
		c.report.LeftUnused, c.report.Inside = p.unused, p.inside
		round := p.round()
		if round.empty() {
			return nil
		}
		if first {
			if err := c.present(ctx); err != nil {
				return c.overtaken(ctx, err)
			}
		}
		if err := c.carryOut(ctx, round); err != nil {
			return c.overtaken(ctx, err)
		}
		if err := c.settle(ctx); err != nil {
			return err
		}
	}
}

// overtaken returns ErrCollecting instead of an error that comes of another collection's having deleted what was to be read.
func (c *collector) overtaken(ctx context.Context, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !isType[*CorruptError](err) || c.repo.chain.advance(ctx) != nil {
		return err
	}
	second := false
	c.repo.chain.view(func(st *ledger.State) { second = st.CollectedAt() > c.marked })
	if second {
		return ErrCollecting
	}
	return err
}

// rehearse reports what would be done.
func (c *collector) rehearse(ctx context.Context) error {
	if err := c.mark(ctx); err != nil {
		return err
	}
	p, err := c.plan(ctx)
	if err != nil {
		return err
	}
	c.report.Packs, c.report.Stored, c.report.Unused = p.packs, p.stored, p.unused
	for i := range p.drop {
		c.report.Dropped++
		c.report.DroppedBytes += uint64(p.drop[i].Size)
	}
	for i := range p.move {
		c.report.Repacked++
		c.report.RepackedBytes += uint64(p.move[i].Size)
		c.report.Rewritten += c.rest(&p.move[i])
	}
	c.report.LeftUnused, c.report.Inside = p.left, p.inside
	c.waiting()
	return c.sweep(ctx)
}

// waiting reports what is condemned and cannot be deleted yet.
func (c *collector) waiting() {
	c.report.Condemned, c.report.Waiting = 0, nil
	c.repo.chain.view(func(st *ledger.State) {
		pending := st.Condemned()
		if len(pending) == 0 {
			return
		}
		for i := range pending {
			c.report.Condemned += uint64(len(pending[i].Retired))
		}
		for _, s := range st.WritersBefore(pending[len(pending)-1].N) {
			c.report.Waiting = append(c.report.Waiting, s.ID)
		}
	})
}

func (c *collector) progress(step string, done, total uint64) {
	if c.opts.Progress != nil {
		c.opts.Progress(CollectProgress{Step: step, Done: done, Total: total})
	}
}

// The kinds of sessions that do not write, as people read them.
const (
	kindCollection = "collection"
	kindRepair     = "repair"
	kindHold       = "hold"
)

// aside fails if a repair is at work, or for a repair, a collection. Neither would harm the other, but the work of one would be in vain. Those that nobody has heard of
// for long are not waited for.
func (r *Repository) aside(ctx context.Context, repair bool) error {
	inWay := func(o *ledger.Session) bool {
		return o.Purpose == ledger.Repairing || repair && o.Purpose == ledger.Collecting && o.Kind != kindHold
	}
	any := false
	r.chain.view(func(st *ledger.State) {
		for _, o := range st.LiveSessions() {
			any = any || inWay(&o)
		}
	})
	if !any {
		return nil
	}
	open, err := r.OpenSessions(ctx)
	if err != nil {
		return err
	}
	for i := range open {
		if o := &open[i]; inWay(&o.Session) && !o.Dead && o.Quiet < quietFor {
			return fmt.Errorf("session %s (%s): %w; if its process is gone for good, 'holdfast prune --revoke %s' ends it", o.ID, o.Purpose, ErrCollecting, o.ID)
		}
	}
	return nil
}

// beginCollecting opens a session that may condemn and delete, beside those that write.
func (r *Repository) beginCollecting(ctx context.Context, body *ledger.Open, o *CollectOptions) (*Session, error) {
	s := r.newSession(ctx, &SessionOptions{Uploads: 2})
	s.collects = true
	body.Session, body.Host, body.Program = s.id, o.Host, o.Program
	if err := s.openCollecting(ctx, body); err != nil {
		s.cancel(err)
		return nil, errors.Join(fmt.Errorf("opening a collection: %w", err), s.release())
	}
	return s, nil
}

func (s *Session) openCollecting(ctx context.Context, body *ledger.Open) (err error) {
	if s.lock, err = s.takeLock(ctx, s.id); err != nil {
		return err
	}
	// What it moves is known to the repository, so only what it wrote itself counts as known.
	if s.own, err = s.repo.openIndex(""); err != nil {
		return err
	}
	s.base = s.own
	err = s.append(ctx, func(st *ledger.State) (ledger.Body, error) {
		s.opened, _ = st.Head()
		return body, nil
	})
	if err == nil {
		s.startBeating()
	}
	return err
}
