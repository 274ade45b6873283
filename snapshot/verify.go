package snapshot

import (
	"context"

	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// verifier compares a file that is read in full with what a change map says of it: where a splice would have taken over old chunks, the
// same must be found. It is given the spans in order.
type verifier struct {
	file    *contents // the old content, and what changed
	changed []byteRange
	wrong   int64 // where what was found began to differ from the claim; -1: it does not
	ranges  []content.Range
	count   int
	bytes   int64
	err     error // the old content cannot be read any further
}

// maxWrong bounds the ranges that are kept.
const maxWrong = 1024

func newVerifier(d *delta) *verifier {
	return &verifier{file: &contents{old: d.old, changed: d.changed}, changed: d.changed, wrong: -1}
}

// add compares a span that was found at off.
func (v *verifier) add(ctx context.Context, off int64, s reftree.Span) {
	for end := off + s.Size(); off < end && v.err == nil; {
		var n int64
		n, v.err = v.step(ctx, off, end-off, &s)
		off += n
	}
}

// step compares what begins at off, and returns for how many bytes that holds.
func (v *verifier) step(ctx context.Context, off, left int64, s *reftree.Span) (int64, error) {
	for len(v.changed) > 0 && v.changed[0].End <= off {
		v.changed = v.changed[1:]
	}
	unit := s.Length
	switch s.Kind {
	case reftree.Hole:
		unit = holeBlock
	case reftree.Unread:
		v.end(off) // nobody knows
		return left, nil
	}
	for old, err := range v.file.old.Spans(ctx, off, left) {
		if err != nil {
			return 0, err
		}
		if old.Offset != off || old.Kind == reftree.Hole && off%holeBlock != 0 {
			break // within an old chunk: it was not taken over, or is wrong already
		}
		v.end(off)
		if old.Merges(s) {
			return min(old.Size(), left), nil
		}
		if v.claimed(&old) {
			v.wrong = off
		}
		break
	}
	return unit, nil
}

// claimed reports whether the first chunk or hole block of an old span would be taken over.
func (v *verifier) claimed(old *content.Placed) bool {
	switch {
	case old.Kind == reftree.Unread:
		return false
	case len(v.changed) == 0:
		return true
	case old.Kind == reftree.Hole:
		return old.Offset+holeBlock <= v.changed[0].Off
	}
	return old.Offset+old.Length < v.changed[0].Off
}

// end says that up to off it is known what is wrong.
func (v *verifier) end(off int64) {
	if v.wrong < 0 || off <= v.wrong {
		return
	}
	r := content.Range{Offset: v.wrong, Length: off - v.wrong}
	v.wrong = -1
	v.bytes += r.Length
	if n := len(v.ranges); n > 0 && n == v.count && v.ranges[n-1].Offset+v.ranges[n-1].Length == r.Offset {
		v.ranges[n-1].Length += r.Length
		return
	}
	v.count++
	if len(v.ranges) < maxWrong {
		v.ranges = append(v.ranges, r)
	}
}
