package restore

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// DumpOptions are the options of [Dump]; nil means all fields zero.
type DumpOptions struct {
	// Path names the content in errors.
	Path string
	// Workers is how many segments are fetched and decoded at the same time. Zero means one for each processor.
	Workers int
	// ZeroFill writes zeros in the place of what cannot be read, and goes on.
	ZeroFill bool
	// Progress hears how many bytes were written since it was called before. It is called by one goroutine.
	Progress func(n int64)
}

// Dump writes a content to w, from its first byte to its last, with zeros for holes. Segments are read ahead by several workers.
//
// It stops with a [*DamageError] at the first byte that cannot be read, unless ZeroFill is set: then it goes on, and the error is an
// [*IncompleteError] in the end. An error of w ends it as it is.
func Dump(ctx context.Context, r *repo.Repository, c content.Content, w io.Writer, opts *DumpOptions) error {
	var o DumpOptions
	if opts != nil {
		o = *opts
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	segment := r.Config().SegmentSize
	o.Workers = min(o.Workers, max(1, maxWorkerBytes/(4*segment)))
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	group, ctx := errgroup.WithContext(ctx)
	ahead := 2*o.Workers + 2
	d := &dump{
		repo: r, opts: &o, ctx: ctx, problems: problems{report: func(Event) {}}, cache: newSegments(o.Workers, func() []byte { return newBuffer(r) }),
		work: make(chan *batch), order: make(chan *batch, ahead),
	}
	for range o.Workers {
		rd, err := r.NewReader()
		if err != nil {
			return err
		}
		group.Go(func() error { return d.decode(rd) })
	}
	group.Go(func() error { return d.plan(&c) })
	group.Go(func() error { return d.write(w) })
	if err := group.Wait(); err != nil {
		return err
	}
	return d.problems.err()
}

// dump is one run of Dump: one goroutine plans batches, workers decode them, and one goroutine writes them in order.
type dump struct {
	repo     *repo.Repository
	opts     *DumpOptions
	ctx      context.Context
	problems problems
	cache    *segments
	work     chan *batch
	order    chan *batch
}

// batch is consecutive chunks out of one segment, or a range without chunks.
type batch struct {
	off    int64
	chunks []reftree.Span
	loc    []repo.Location
	gap    int64 // bytes without chunks
	err    error // why they have none; nil for a hole

	done   chan struct{} // closed when parts or err are there
	shared *decoded      // the segment that parts are in
	parts  [][]byte      // for each chunk; nil if it is lost
	errs   []error
}

// maxBatch bounds the chunks of one batch.
const maxBatch = 256

func (d *dump) plan(c *content.Content) error {
	defer close(d.work)
	defer close(d.order)
	cur := &batch{}
	for p, err := range pieces(d.ctx, d.repo, c) {
		if err != nil {
			return err
		}
		if p.Kind == reftree.Chunk {
			loc, found, err := d.repo.Locate(d.ctx, repo.Data, p.ID)
			if err != nil {
				return err
			}
			if !found || loc.Length != uint32(p.Length) {
				loc = repo.Location{} // loading it will tell
			}
			if len(cur.loc) > 0 && (!sameSegment(&cur.loc[0], &loc) || len(cur.loc) == maxBatch) {
				if err := d.send(cur); err != nil {
					return err
				}
				cur = &batch{off: p.off}
			}
			cur.chunks, cur.loc = append(cur.chunks, p.Span), append(cur.loc, loc)
			continue
		}
		if err := d.send(cur); err != nil {
			return err
		}
		gap := &batch{off: p.off, gap: p.Length, err: p.err}
		if p.Kind == reftree.Unread && p.err == nil {
			gap.err = ErrUnread
		}
		if err := d.send(gap); err != nil {
			return err
		}
		cur = &batch{off: p.off + p.Size()}
	}
	return d.send(cur)
}

func sameSegment(a, b *repo.Location) bool {
	return a.Pack == b.Pack && a.SegmentOffset == b.SegmentOffset
}

// send queues a batch for writing, and for decoding if it has chunks.
func (d *dump) send(b *batch) error {
	if len(b.chunks) == 0 && b.gap == 0 {
		return nil
	}
	b.done = make(chan struct{})
	select {
	case d.order <- b:
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
	if b.gap > 0 {
		close(b.done)
		return nil
	}
	select {
	case d.work <- b:
		return nil
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
}

func (d *dump) decode(rd *repo.Reader) error {
	for b := range d.work {
		if err := d.decodeBatch(rd, b); err != nil {
			return err
		}
		close(b.done)
	}
	return nil
}

func (d *dump) decodeBatch(rd *repo.Reader, b *batch) error {
	b.parts, b.errs = make([][]byte, len(b.chunks)), make([]error, len(b.chunks))
	var err error
	if b.loc[0].Length > 0 {
		b.shared, err = d.cache.get(d.ctx, rd, &b.loc[0])
	}
	if err != nil && fatal(d.ctx, err) {
		return err
	}
	for i := range b.chunks {
		s := &b.chunks[i]
		if b.shared != nil {
			if b.parts[i], err = rd.Chunk(s.ID, &b.loc[i], b.shared.plain); err == nil {
				continue
			}
		}
		b.parts[i], b.errs[i] = d.repo.Load(d.ctx, repo.Data, s.ID, uint32(s.Length))
		if b.errs[i] != nil && fatal(d.ctx, b.errs[i]) {
			return b.errs[i]
		}
	}
	return nil
}

func (d *dump) write(w io.Writer) error {
	for {
		var b *batch
		select {
		case next, ok := <-d.order:
			if !ok {
				return nil
			}
			b = next
		case <-d.ctx.Done():
			return context.Cause(d.ctx)
		}
		select {
		case <-b.done:
		case <-d.ctx.Done():
			return context.Cause(d.ctx)
		}
		err := d.writeBatch(w, b)
		if b.shared != nil {
			d.cache.release(b.shared)
		}
		if err != nil {
			return err
		}
	}
}

func (d *dump) writeBatch(w io.Writer, b *batch) error {
	if b.gap > 0 {
		return d.writeGap(w, b.off, b.gap, b.err)
	}
	off := b.off
	for i := 0; i < len(b.chunks); i++ {
		s := &b.chunks[i]
		if b.errs[i] != nil {
			if err := d.writeGap(w, off, s.Size(), b.errs[i]); err != nil {
				return err
			}
			off += s.Size()
			continue
		}
		p, from := b.parts[i], i
		for s.Count == 1 && i+1 < len(b.chunks) && b.chunks[i+1].Count == 1 && b.joined(from, i+1) {
			i++
		}
		if i > from {
			p = b.shared.plain[b.loc[from].Offset : b.loc[i].Offset+b.loc[i].Length]
		} else if s.Count > 1 {
			p = repeat(p, s.Count)
		}
		n := s.Size()
		if i > from {
			n = int64(len(p))
		}
		for left := n; left > 0; left -= int64(len(p)) {
			if err := d.put(w, p[:min(int64(len(p)), left)]); err != nil {
				return err
			}
		}
		off += n
	}
	return nil
}

// joined reports whether the chunks from first to the i-th lie one after the other in the segment.
func (b *batch) joined(first, i int) bool {
	inSegment := func(k int) bool {
		return b.shared != nil && b.errs[k] == nil && &b.parts[k][0] == &b.shared.plain[b.loc[k].Offset]
	}
	return inSegment(first) && inSegment(i) && b.loc[i-1].Offset+b.loc[i-1].Length == b.loc[i].Offset
}

func (d *dump) writeGap(w io.Writer, off, n int64, lost error) error {
	if lost != nil {
		if !d.opts.ZeroFill {
			return &DamageError{Path: d.opts.Path, Off: off, Len: n, Err: lost}
		}
		d.problems.damage(d.opts.Path, off, n, lost)
	}
	for n > 0 {
		step := min(n, int64(len(zeros)))
		if err := d.put(w, zeros[:step]); err != nil {
			return err
		}
		n -= step
	}
	return nil
}

func (d *dump) put(w io.Writer, p []byte) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	n, err := w.Write(p)
	d.opts.Progress(int64(n))
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("writing the dump: %w", err)
	}
	return nil
}
