package snapshot

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// partSize is the range of a large file that one worker carries from read to sealed segment. It is a multiple of holeBlock.
const partSize = 64 << 20

// part is what a worker found in one range of a file: consecutive spans from start to end, those of the kind reused being taken over as
// they were. It begins with the first boundary in the range that the worker knows of, and ends with the first one behind it.
type part struct {
	start, end int64
	spans      []reftree.Span
}

func (p *part) add(s reftree.Span) {
	p.end += s.Size()
	if n := len(p.spans); n > 0 && p.spans[n-1].Merges(&s) {
		p.spans[n-1].Merge(&s)
		return
	}
	p.spans = append(p.spans, s)
}

// warmUp is how far before its range a worker begins to look for boundaries. A chunker that starts at any place soon finds
// the same cuts as one that came from the start of the file, save in data without variety.
func warmUp(f *contents) int64 { return alignUp(4 * int64(f.chunker.Params().Max())) }

// keep saves an item and adds it to the part.
func (s *scanner) keep(ctx context.Context, p *part, it item) error {
	span := reftree.Span{Kind: it.kind, Length: it.length, Count: 1}
	if it.kind == reftree.Chunk {
		id, _, err := s.data.Save(ctx, it.data)
		if err != nil {
			return err
		}
		span.ID = id
	}
	s.counters.scanned.Add(uint64(it.length))
	p.add(span)
	return nil
}

// assembly puts the parts of one file together, in order, as they come in from any number of workers. Where two parts do not meet, it
// scans on from the end of the earlier one until the boundaries agree: the result is that of one pass over the file.
type assembly struct {
	file *contents

	mu      sync.Mutex
	waiting map[int]*part
	next    int // the part wanted next
	end     int64
	holes   int64
	builder *content.Builder
	verify  *verifier     // hears of each span; nil if nobody wants to
	tokens  chan struct{} // one for each part under way
}

// maxParts bounds the parts of a file that are under way or wait for an earlier one.
const maxParts = 64

func newAssembly(f *contents, saver reftree.Saver) *assembly {
	return &assembly{
		file: f, waiting: map[int]*part{}, tokens: make(chan struct{}, maxParts), builder: content.NewBuilder(saver, chunkerCode(f.chunker)),
	}
}

// chunkerCode names a chunker in a content descriptor (docs/format.md, section 9).
func chunkerCode(c chunk.Chunker) uint8 {
	return uint8(c.Kind())<<4 | uint8(bits.Len(uint(c.Params().Mean))-1-10)
}

// add takes the i-th part, counted from 0. It uses s for mending.
func (a *assembly) add(ctx context.Context, s *scanner, i int, p *part) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[i] = p
	for {
		p, ok := a.waiting[a.next]
		if !ok {
			return nil
		}
		delete(a.waiting, a.next)
		if err := a.stitch(ctx, s, p); err != nil {
			return err
		}
		a.next++
		<-a.tokens
	}
}

func (a *assembly) stitch(ctx context.Context, s *scanner, p *part) error {
	if p.start != a.end {
		if err := a.mend(ctx, s, p); err != nil {
			return err
		}
	}
	pos := p.start
	for _, span := range p.spans {
		next := pos + span.Size()
		if next > a.end {
			if err := a.append(ctx, cutFront(span, a.end-pos)); err != nil {
				return err
			}
		}
		pos = next
	}
	return nil
}

// cutFront takes n bytes off the front of a span, if n is more than 0.
func cutFront(s reftree.Span, n int64) reftree.Span {
	switch {
	case n <= 0:
	case s.Kind == reftree.Chunk:
		s.Count -= n / s.Length
	default:
		s.Length -= n
	}
	return s
}

func (a *assembly) append(ctx context.Context, span reftree.Span) error {
	off := a.end
	a.end += span.Size()
	if a.verify != nil {
		a.verify.add(ctx, off, span)
	}
	switch span.Kind {
	case reused:
		return a.builder.Reuse(ctx, a.file.old, off, span.Length)
	case reftree.Hole:
		a.holes += span.Size()
	}
	return a.builder.Add(ctx, span)
}

// mend scans on from where the file is put together up to, until it comes upon a boundary of p or leaves p behind.
func (a *assembly) mend(ctx context.Context, s *scanner, p *part) error {
	found := &part{start: a.end, end: a.end}
	meets := p.boundaries(a.file)
	err := s.scan(ctx, a.file, a.end, p.end, func(it item) error {
		met, err := meets(ctx, it.off)
		switch {
		case err != nil:
			return err
		case met:
			return errStop
		}
		return s.keep(ctx, found, it)
	})
	if err != nil {
		return err
	}
	for i := range found.spans {
		if err := a.append(ctx, found.spans[i]); err != nil {
			return err
		}
	}
	return nil
}

// boundaries returns a function that says whether an offset is one of the part's boundaries. It must be asked in ascending order.
func (p *part) boundaries(f *contents) func(ctx context.Context, off int64) (bool, error) {
	i, pos := 0, p.start
	return func(ctx context.Context, off int64) (bool, error) {
		for i < len(p.spans) && pos+p.spans[i].Size() <= off {
			pos += p.spans[i].Size()
			i++
		}
		if i == len(p.spans) || off <= pos {
			return i < len(p.spans) && off == pos, nil
		}
		switch s := &p.spans[i]; s.Kind {
		case reftree.Chunk:
			return (off-pos)%s.Length == 0, nil
		case reftree.Hole:
			return (off-pos)%holeBlock == 0, nil
		case reused:
			return f.boundary(ctx, off)
		}
		return false, nil
	}
}

// finish returns the file's content when all parts were added.
func (a *assembly) finish(ctx context.Context) (content.Content, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.end != a.file.size || len(a.waiting) > 0 {
		return content.Content{}, fmt.Errorf("the parts of a file of %d bytes make up %d", a.file.size, a.end)
	}
	return a.builder.Finish(ctx)
}
