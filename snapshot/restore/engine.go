package restore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// engine fills targets. One goroutine adds places; they gather in a window while the workers are busy with the one before.
type engine struct {
	repo     *repo.Repository
	limits   limits
	problems *problems
	counters *counters

	group *errgroup.Group
	ctx   context.Context
	free  chan *window // those not in use
	ready chan *window // prepared, to be worked on
	tasks chan task
	cur   *window
	begun int64    // targets
	judge []*judge // one for each goroutine that prepares

	silence atomic.Int32 // segments in a row that the store did not give
}

// task is one segment of a window.
type task struct {
	window  *window
	segment *segment
}

// maxSilence is how many segments in a row may fail for reasons other than damage before the store is taken to be away.
const maxSilence = 32

func newEngine(ctx context.Context, r *repo.Repository, o *Options, p *problems, c *counters) (*engine, error) {
	e := &engine{
		repo: r, limits: o.limits, problems: p, counters: c,
		free: make(chan *window, 2), ready: make(chan *window), tasks: make(chan task), cur: newWindow(),
	}
	e.free <- newWindow()
	e.group, e.ctx = errgroup.WithContext(ctx)
	readers := make([]*repo.Reader, o.Workers)
	for i := range readers {
		h, err := r.NewHasher(repo.Data)
		if err != nil {
			return nil, err
		}
		e.judge = append(e.judge, &judge{hasher: h})
		if readers[i], err = r.NewReader(); err != nil {
			return nil, err
		}
	}
	e.group.Go(e.dispatch)
	for _, rd := range readers {
		w := &worker{engine: e, reader: rd}
		e.group.Go(w.run)
	}
	return e, nil
}

// begin says that places of t will be added. Each target begins once.
func (e *engine) begin(t *target) {
	e.begun++
	t.number = e.begun
	t.pending.Add(1)
}

// end says that all places of t were added.
func (e *engine) end(t *target) error { return t.settle(1) }

// fillWith adds the places of a whole content to t.
func (e *engine) fillWith(t *target, c *content.Content) error {
	e.begin(t)
	for p, err := range pieces(e.ctx, e.repo, c) {
		if err == nil {
			err = e.piece(t, &p)
		}
		if err != nil {
			return err
		}
	}
	return e.end(t)
}

func (e *engine) piece(t *target, p *piece) error {
	switch p.Kind {
	case reftree.Unread:
		if t.verify {
			return nil
		}
		err := p.err
		if err == nil {
			err = ErrUnread
		}
		e.lost(t, p.off, p.Size(), err)
		return nil
	case reftree.Hole:
		if t.fresh && t.sparse && !t.verify {
			e.counters.bytes.Add(p.Length)
			return e.ctx.Err()
		}
		return e.add(place{target: t, off: p.off, count: p.Length, length: 1, seg: noSegment, zeros: true})
	}
	for off, left := p.off, p.Count; left > 0; {
		n := min(left, max(1, e.limits.bytes/p.Length))
		err := e.add(place{target: t, off: off, count: n, length: uint32(p.Length), id: p.ID, seg: noSegment, zeroed: t.fresh})
		if err != nil {
			return err
		}
		off += n * p.Length
		left -= n
	}
	return nil
}

func (e *engine) add(p place) error {
	p.target.pending.Add(1)
	e.cur.add(p)
	if e.cur.full(&e.limits) {
		return e.flush()
	}
	return nil
}

// flush prepares the current window and hands it to the workers.
func (e *engine) flush() error {
	if err := e.prepare(e.cur); err != nil {
		return err
	}
	select {
	case e.ready <- e.cur:
	case <-e.ctx.Done():
		return context.Cause(e.ctx)
	}
	select {
	case e.cur = <-e.free:
	case <-e.ctx.Done():
		return context.Cause(e.ctx)
	}
	return nil
}

// finish works on what is left and ends the engine. err is what ended the adding of places, if anything did.
func (e *engine) finish(err error) error {
	if err == nil && len(e.cur.places) > 0 {
		err = e.flush()
	}
	if err != nil {
		e.group.Go(func() error { return err })
	}
	close(e.ready)
	if werr := e.group.Wait(); werr != nil {
		return werr // the first of all, and the cause of err if that only says that somebody else failed
	}
	return err
}

// dispatch hands the segments of windows to workers, in order.
func (e *engine) dispatch() error {
	defer close(e.tasks)
	for w := range e.ready {
		if len(w.queue) == 0 {
			e.recycle(w)
			continue
		}
		for _, i := range w.queue {
			select {
			case e.tasks <- task{w, &w.segments[i]}:
			case <-e.ctx.Done():
				return context.Cause(e.ctx)
			}
		}
	}
	return nil
}

func (e *engine) recycle(w *window) {
	w.reset()
	e.free <- w // it has room for all windows
}

// prepare compares, zeroes and locates the places of a window, several stretches of them at a time.
func (e *engine) prepare(w *window) error {
	var next atomic.Int64
	var mu sync.Mutex
	var more []place
	group, ctx := errgroup.WithContext(e.ctx)
	for _, j := range e.judge {
		group.Go(func() error {
			j.more = j.more[:0]
			for {
				from := int(next.Add(stretch)) - stretch
				if from >= len(w.places) {
					break
				}
				if err := e.prepareSome(ctx, j, w, from, min(from+stretch, len(w.places))); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			more = append(more, j.more...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i := range more {
		w.places = append(w.places, more[i])
		if err := e.locate(e.ctx, w, len(w.places)-1); err != nil {
			return err
		}
	}
	w.arrange()
	return nil
}

// stretch is how many neighbouring places one goroutine prepares at a time.
const stretch = 64

func (e *engine) prepareSome(ctx context.Context, j *judge, w *window, from, to int) error {
	j.begin(w.places[from:to])
	for i := from; i < to; i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := &w.places[i]
		wanted, err := e.examine(ctx, j, p, i-from)
		if err != nil {
			return err
		}
		if !wanted {
			continue
		}
		if err := e.locate(ctx, w, i); err != nil {
			return err
		}
	}
	return nil
}

// examine does what can be done for a place without its chunk, and reports whether the chunk is needed.
func (e *engine) examine(ctx context.Context, j *judge, p *place, i int) (wanted bool, err error) {
	t := p.target
	switch {
	case t.dead.Load():
		return false, t.settle(1)
	case t.verify:
		return false, e.verify(ctx, j, p, i)
	case p.zeros:
		return false, e.zero(ctx, p)
	case t.compare:
		same := j.compare(p, i)
		e.counters.bytes.Add(same)
		e.counters.same.Add(same)
		if p.count == 0 {
			return false, t.settle(1)
		}
	}
	return true, nil
}

// zero puts zeros in their place.
func (e *engine) zero(ctx context.Context, p *place) error {
	const step = 256 << 20
	t := p.target
	for off := p.off; off < p.end() && !t.dead.Load(); off += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		size := min(step, p.end()-off)
		n, err := t.out.zero(off, size)
		e.counters.written.Add(n)
		t.written.Add(n)
		if err != nil {
			return errors.Join(t.refuse(fmt.Errorf("writing %d zeros at %d of %s: %w", size, off, t.path, err)), t.settle(1))
		}
		e.counters.bytes.Add(size)
	}
	return t.settle(1)
}

// locate finds out which segment a place needs.
func (e *engine) locate(ctx context.Context, w *window, i int) error {
	p := &w.places[i]
	loc, found, err := e.repo.Locate(ctx, repo.Data, p.id)
	if err != nil {
		return err
	}
	if found && loc.Length == p.length {
		w.locate(i, &loc)
		return nil
	}
	return e.single(ctx, p) // of another length there may be one elsewhere; else this says what is wrong
}

// lost reports a range that cannot be had.
func (e *engine) lost(t *target, off, n int64, err error) {
	t.damaged.Store(true)
	e.problems.damage(t.path, off, n, err)
}

// single restores a place by loading its chunk from wherever it can be had.
func (e *engine) single(ctx context.Context, p *place) error {
	b, err := e.repo.Load(ctx, repo.Data, p.id, p.length)
	if err == nil {
		return e.fill(ctx, p, b)
	}
	if fatal(ctx, err) {
		return err
	}
	e.lost(p.target, p.off, p.size(), err)
	return p.target.settle(1)
}

// fatal reports whether after err nothing else can be read either.
func fatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, repo.ErrNotAllowed)
}

// fill writes the chunk b to its place as often as it belongs there.
func (e *engine) fill(ctx context.Context, p *place, b []byte) error {
	if p.count > 1 {
		b = repeat(b, p.count)
	}
	t := p.target
	end := p.end()
	for off := p.off; off < end && !t.dead.Load(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := t.write(b[:min(int64(len(b)), end-off)], off, p.zeroed)
		e.counters.written.Add(n)
		if err != nil {
			return errors.Join(t.refuse(err), t.settle(1))
		}
		e.counters.bytes.Add(min(int64(len(b)), end-off))
		off += int64(len(b))
	}
	return t.settle(1)
}

// repeat returns up to n copies of b, of about 1 MiB in all.
func repeat(b []byte, n int64) []byte {
	n = min(n, int64(1+(1<<20)/len(b)))
	long := make([]byte, 0, int(n)*len(b))
	for range n {
		long = append(long, b...)
	}
	return long
}
