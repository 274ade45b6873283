package restore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/repo"
)

// worker carries segments from the store to their places. It belongs to one goroutine.
type worker struct {
	engine *engine
	reader *repo.Reader
	plain  []byte // memory for a segment
	items  []*place
}

// newBuffer returns memory for any segment that the repository writes now, with room for what decoders write behind the end.
func newBuffer(r *repo.Repository) []byte { return make([]byte, 0, r.Config().SegmentSize+64) }

func (k *worker) run() error {
	for t := range k.engine.tasks {
		if err := k.segment(t.window, t.segment); err != nil {
			return err
		}
		if t.window.left.Add(-1) == 0 {
			k.engine.recycle(t.window)
		}
	}
	return nil
}

func (k *worker) segment(w *window, s *segment) error {
	e := k.engine
	k.items = k.items[:0]
	for _, i := range w.order[s.from:s.to] {
		k.items = append(k.items, &w.places[i])
	}
	if k.plain == nil {
		k.plain = newBuffer(e.repo)
	}
	plain, err := k.reader.SegmentInto(e.ctx, k.plain, &s.loc)
	if err != nil {
		return k.unreadable(err)
	}
	e.silence.Store(0)
	if err := k.check(s, plain); err != nil {
		return err
	}
	slices.SortFunc(k.items, func(a, b *place) int {
		return cmp.Or(cmp.Compare(a.target.number, b.target.number), cmp.Compare(a.off, b.off))
	})
	for from := 0; from < len(k.items); {
		to := from + 1
		for to < len(k.items) && follows(k.items[to-1], k.items[to]) {
			to++
		}
		if err := k.write(k.items[from:to], plain); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// follows reports whether b comes right after a in the target and in the segment alike.
func follows(a, b *place) bool {
	return a.target == b.target && a.end() == b.off && a.at+a.length == b.at && a.count == 1 && b.count == 1 && a.zeroed == b.zeroed
}

// write writes places that follow one another.
func (k *worker) write(run []*place, plain []byte) error {
	e, p := k.engine, run[0]
	if p.count > 1 {
		return e.fill(e.ctx, p, plain[p.at:p.at+p.length])
	}
	t, last := p.target, run[len(run)-1]
	if !t.dead.Load() {
		b := plain[p.at : last.at+last.length]
		n, err := t.write(b, p.off, p.zeroed)
		e.counters.written.Add(n)
		if err != nil {
			err = t.refuse(err)
		} else {
			e.counters.bytes.Add(int64(len(b)))
		}
		if err != nil {
			return err
		}
	}
	return t.settle(int64(len(run)))
}

// check hashes the chunks that are wanted, each once, and deals with the places of those that are bad.
func (k *worker) check(s *segment, plain []byte) error {
	slices.SortFunc(k.items, func(a, b *place) int { return cmp.Compare(a.at, b.at) })
	loc := s.loc
	good := k.items[:0]
	var bad []*place
	var last *place
	var err error
	for _, p := range k.items {
		if last == nil || last.at != p.at || last.length != p.length || last.id != p.id {
			loc.Offset, loc.Length, last = p.at, p.length, p
			_, err = k.reader.Chunk(p.id, &loc, plain)
		}
		if err == nil {
			good = append(good, p)
		} else {
			bad = append(bad, p)
		}
	}
	k.items = good
	for _, p := range bad {
		if err := k.engine.single(k.engine.ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// unreadable deals with a segment that could not be read. If it is damaged, its chunks may be found elsewhere.
func (k *worker) unreadable(err error) error {
	e := k.engine
	if fatal(e.ctx, err) {
		return err
	}
	if _, ok := errors.AsType[*repo.CorruptError](err); ok {
		for _, p := range k.items {
			if err := e.single(e.ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
	if n := e.silence.Add(1); n >= maxSilence {
		return fmt.Errorf("giving up after %d reads in a row failed: %w", n, err)
	}
	for _, p := range k.items {
		e.lost(p.target, p.off, p.size(), err)
		if err := p.target.settle(1); err != nil {
			return err
		}
	}
	return nil
}
