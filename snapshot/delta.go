package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// Delta says how a file of a snapshot was read by what changed alone: how far its content rests on change maps being right.
type Delta struct {
	// Path is the file's place in the snapshot.
	Path string
	// Parent is the snapshot that the rest was taken from.
	Parent repo.ID
	// Kind and Map are the kind and the hash of the change map.
	Kind string
	Map  repo.ID
	// Deltas counts the deltas since the file was read in full, this one included.
	Deltas uint64
	// FullRead is the time of the snapshot for which all of it was read, or found unchanged by its attributes.
	FullRead time.Time
}

// delta returns how the file at a path was read, or nil if not by a change map. Of a nil manifest it is nil.
func (m *Manifest) delta(path string) *Delta {
	if m == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(m.Deltas, path, func(d Delta, path string) int { return strings.Compare(d.Path, path) })
	if !found {
		return nil
	}
	return &m.Deltas[i]
}

// delta is how a file is read by what changed. Its methods can be called on nil, for a file that is read in full, and by many goroutines.
type delta struct {
	old     *content.Map
	changed []byteRange

	once   sync.Once
	failed chan struct{} // closed when the old content turned out to be damaged
	err    error
}

// blame reports whether err is due to damage in the old content. Then nothing can be taken over from it, and all must be read.
func (d *delta) blame(ctx context.Context, err error) bool {
	_, damaged := errors.AsType[*content.Error](err)
	if d == nil || !damaged || ctx.Err() != nil {
		return false
	}
	d.once.Do(func() {
		d.err = err
		close(d.failed)
	})
	return true
}

// broken returns a channel that is closed when there is damage.
func (d *delta) broken() <-chan struct{} {
	if d == nil {
		return nil
	}
	return d.failed
}

// damage returns what was blamed first, if anything.
func (d *delta) damage() error {
	select {
	case <-d.broken():
		return d.err
	default:
		return nil
	}
}

// byMap stores a disk by its change map. It returns nil if all of it must be read, and has said why.
func (b *backup) byMap(ctx context.Context, it *Item, r *reading) *pending {
	d, err := b.fit(it, r)
	if err == nil {
		record := b.describe(it)
		if b.mustVerify(&record) {
			r.verify = newVerifier(d)
			return b.parts(ctx, r)
		}
		r.delta, r.image = d, it.changes.Holes(it.disk)
		n := b.parts(ctx, r) // waited for, because if the parent is damaged it must be done all over
		if err = n.wait(ctx); d.damage() == nil {
			b.manifest.Deltas = append(b.manifest.Deltas, record)
			return n
		}
	}
	r.delta, r.image = nil, it.disk
	b.opts.Report(Event{Kind: EventNote, Path: r.path, Err: fmt.Errorf("all of %s is read, its change map is not used: %w", r.path, err)})
	return nil
}

// fit returns what is to be read by a change map, or why the map cannot be used.
func (b *backup) fit(it *Item, r *reading) (*delta, error) {
	if err := it.changes.Fit(it.disk.Size()); err != nil {
		return nil, err
	}
	switch {
	case b.parent == nil:
		return nil, errors.New("there is no parent snapshot")
	case !it.since.IsZero() && it.since != b.parent.ID:
		return nil, fmt.Errorf("it says what changed since snapshot %s, and the parent is %s", it.since.String()[:8], b.parent.ShortID())
	case r.was == nil || !r.was.Type.HasContent():
		return nil, fmt.Errorf("parent %s has no such file", b.parent.ShortID())
	case r.was.Flags&tree.Incomplete != 0:
		return nil, fmt.Errorf("what parent %s has is not complete", b.parent.ShortID())
	}
	c, err := r.chunker()
	if err != nil {
		return nil, err
	}
	if chunkerCode(c) != r.was.Content.Chunker {
		return nil, fmt.Errorf("parent %s has it cut by another chunker", b.parent.ShortID())
	}
	return &delta{
		old: content.NewMap(b.repo, r.was.Content), failed: make(chan struct{}),
		changed: changedBlocks(it.changes.Extents(), r.was.Content.Size, it.disk.Size()),
	}, nil
}

// describe says how the item is read if it is read by its change map.
func (b *backup) describe(it *Item) Delta {
	d := Delta{Path: it.path, Parent: b.parent.ID, Kind: it.changes.Kind(), Map: it.changes.Hash(), Deltas: 1, FullRead: b.parent.Time}
	if was := b.parent.delta(it.path); was != nil {
		d.Deltas, d.FullRead = was.Deltas+1, was.FullRead
	}
	return d
}

// mustVerify reports whether all must be read instead, to see if change maps tell the truth.
func (b *backup) mustVerify(d *Delta) bool {
	o := &b.opts
	return o.Force || o.VerifyChangeMaps || o.MaxDeltas >= 0 && d.Deltas > uint64(o.MaxDeltas) ||
		o.MaxDeltaAge >= 0 && o.Time.Sub(d.FullRead) >= o.MaxDeltaAge
}

// inherit notes that a file is taken from the parent as it is, which may have read it by a change map.
func (b *backup) inherit(path string) {
	if d := b.parent.delta(path); d != nil {
		b.manifest.Deltas = append(b.manifest.Deltas, *d)
	}
}

// ChangeMapError reports that a change map called unchanged what had changed.
type ChangeMapError struct {
	// Map is the map's hash.
	Map repo.ID
	// Ranges are where, rounded out to whole chunks: the first of Count, which have Bytes bytes together.
	Ranges []content.Range
	Count  int
	Bytes  int64
	// Since is the time of the last snapshot for which all was read: those made by change maps since then may be wrong in the same way.
	Since time.Time
}

// Error names the first ranges.
func (e *ChangeMapError) Error() string {
	var list []string
	for _, r := range e.Ranges[:min(len(e.Ranges), 8)] {
		list = append(list, fmt.Sprintf("%d+%d", r.Offset, r.Length))
	}
	if more := e.Count - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("the change map was wrong: it called unchanged what had changed, within the %d bytes (offset+length) %s. "+
		"This snapshot is right; those made by change maps after %s may be wrong there", e.Bytes, strings.Join(list, ", "), e.Since.UTC().Format(time.DateTime+"Z"))
}

// judge ends a comparison, and tells what it found.
func (r *reading) judge(size int64) {
	b, v := r.backup, r.verify
	v.end(size)
	if v.err != nil {
		b.opts.Report(Event{Kind: EventNote, Path: r.path, Err: fmt.Errorf("not all of what the change map says was compared: %w", v.err)})
	}
	if v.count == 0 {
		return
	}
	record := b.describe(r.item)
	err := &ChangeMapError{Map: record.Map, Ranges: v.ranges, Count: v.count, Bytes: v.bytes, Since: record.FullRead}
	b.opts.Report(Event{Kind: EventAlarm, Path: r.path, Size: size, Err: err})
}
