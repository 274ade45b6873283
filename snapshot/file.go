package snapshot

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// opener opens the file that an entry describes, and brings the entry up to date.
type opener func(context.Context) (*source.File, error)

// entry stores anything but a folder.
func (b *backup) entry(ctx context.Context, path string, e *source.Entry, was *tree.Node, open opener) *pending {
	b.warn(path, e)
	if e.Type != source.TypeFile {
		return ready(path, newNode(e, b.opts.WithATime))
	}
	if b.unchanged(e, was) {
		return ready(path, b.reuse(path, e, was))
	}
	if e.Size > partSize {
		f, err := open(ctx)
		if err != nil {
			return b.left(path, err)
		}
		return b.parts(ctx, &reading{backup: b, path: path, entry: e, was: was, image: f, close: f.Close, opened: time.Now()})
	}
	n := unfinished(path)
	err := b.pool.submit(func(ctx context.Context, s *scanner) error {
		f, err := open(ctx)
		if err != nil {
			if left := b.left(path, err); left.err != nil {
				return left.err
			}
			n.completeAbsent()
			return nil
		}
		r := &reading{backup: b, path: path, entry: e, was: was, image: f, close: f.Close, opened: time.Now()}
		if f.Size() > partSize { // it grew since it was looked at
			b.pool.beside(func(ctx context.Context) error { return b.large(ctx, r, n) })
			return nil
		}
		return b.small(ctx, s, r, n)
	})
	if err != nil {
		return failed(err)
	}
	return n
}

// unchanged reports whether a file need not be read: its attributes are those that the parent has.
func (b *backup) unchanged(e *source.Entry, was *tree.Node) bool {
	o := &b.opts
	switch {
	case o.Force, was == nil, was.Type != tree.File, was.Flags&(tree.Incomplete|tree.Racy) != 0,
		was.Content.Size != e.Size, was.ModTime != e.MTime,
		!o.IgnoreCTime && was.ChangeTime != e.CTime,
		!o.IgnoreInode && was.Inode != e.Inode,
		o.Chunker != 0 && was.Content.Chunker != 0 && o.Chunker != chunkerKind(was.Content.Chunker):
		return false
	}
	return true
}

func chunkerKind(code uint8) chunk.Kind { return chunk.Kind(code >> 4) }

func (b *backup) reuse(path string, e *source.Entry, was *tree.Node) *tree.Node {
	node := newNode(e, b.opts.WithATime)
	node.Content = was.Content
	b.inherit(path)
	b.tally.filesUnmodified.Add(1)
	b.tally.bytes.Add(uint64(e.Size))
	b.opts.Report(Event{Kind: EventUnmodified, Path: path, Size: e.Size})
	return node
}

// reading is one file that is being read.
type reading struct {
	backup *backup
	path   string
	entry  *source.Entry
	was    *tree.Node
	image  source.Image
	device bool
	close  func() error
	opened time.Time                    // before the first byte was read
	bad    atomic.Pointer[source.Range] // the first range that could not be read

	item   *Item     // of a disk with a change map
	delta  *delta    // if it is read by that
	verify *verifier // if it is read to see whether that is right
}

// contents says what is to be scanned.
func (r *reading) contents() (*contents, error) {
	chunker, err := r.chunker()
	c := &contents{image: r.image, size: r.image.Size(), chunker: chunker, unreadable: r.unreadable}
	if r.delta != nil {
		c.old, c.changed = r.delta.old, r.delta.changed
	}
	return c, err
}

func (r *reading) unreadable(bad source.Range) { r.bad.CompareAndSwap(nil, &bad) }

// sniffFrom is the size of the smallest file that can be a disk.
const sniffFrom = 1 << 20

// chunker chooses: what the options say, what the parent used, or what suits the file.
func (r *reading) chunker() (chunk.Chunker, error) {
	b := r.backup
	if b.opts.Chunker != 0 {
		return b.chunkers[b.opts.Chunker], nil
	}
	if r.was != nil && r.was.Content.Chunker != 0 {
		if k := chunkerKind(r.was.Content.Chunker); k >= chunk.Aligned && k <= chunk.Fixed {
			return b.chunkers[k], nil
		}
	}
	if r.image.Size() >= sniffFrom || r.device {
		f, err := source.Sniff(r.image, r.image.Size(), r.device)
		if err == nil && f.Aligned() {
			return b.chunkers[chunk.Aligned], nil
		}
	}
	return b.chunkers[chunk.Gear], nil
}

// small stores a file that one worker reads as a whole.
func (b *backup) small(ctx context.Context, s *scanner, r *reading, n *pending) error {
	found, holes, err := b.scanWhole(ctx, s, r)
	if err != nil {
		return errors.Join(err, r.close())
	}
	node, err := r.finish(found, holes)
	if err != nil {
		return err
	}
	n.complete(node)
	return nil
}

func (b *backup) scanWhole(ctx context.Context, s *scanner, r *reading) (content.Content, int64, error) {
	c, err := r.contents()
	if err != nil {
		return content.Content{}, 0, err
	}
	p, err := r.scanSmall(ctx, s, c)
	if err != nil {
		return content.Content{}, 0, err
	}
	holes := int64(0)
	for i := range p.spans {
		if p.spans[i].Kind == reftree.Hole {
			holes += p.spans[i].Size()
		}
	}
	if len(p.spans) <= reftree.MaxInline {
		return content.Content{Size: p.end, Chunker: chunkerCode(c.chunker), Spans: p.spans}, holes, nil
	}
	builder := content.NewBuilder(b.session, chunkerCode(c.chunker))
	for i := range p.spans {
		if err := builder.Add(ctx, p.spans[i]); err != nil {
			return content.Content{}, 0, err
		}
	}
	found, err := builder.Finish(ctx)
	return found, holes, err
}

// parts stores a file in parts, and returns when the last was handed to a worker.
func (b *backup) parts(ctx context.Context, r *reading) *pending {
	n := unfinished(r.path)
	if err := b.large(ctx, r, n); err != nil {
		return failed(err)
	}
	return n
}

// finish makes the node of a file that was read, and closes the file.
func (r *reading) finish(found content.Content, holes int64) (*tree.Node, error) {
	b := r.backup
	node := newNode(r.entry, b.opts.WithATime)
	if r.device {
		node.Type = tree.Image
	}
	node.Content = found
	if r.entry.Racy(r.opened) || found.Size == 0 && r.madeUp() {
		node.Flags |= tree.Racy
	}
	changed := r.image.Changed()
	if bad := r.bad.Load(); bad != nil {
		node.Flags |= tree.Incomplete
		b.fault(r.path, &UnreadError{Offset: bad.Off, Length: bad.Len, Err: bad.Err})
	} else if changed != nil && !b.opts.AllowInUse {
		node.Flags |= tree.Incomplete
		b.fault(r.path, changed)
	}
	if r.verify != nil {
		r.judge(found.Size)
	}
	b.tally.holes.Add(uint64(holes))
	b.countFile(r.path, found.Size, r.was)
	return node, r.close()
}

func (b *backup) countFile(path string, size int64, was *tree.Node) {
	kind, counter := EventChanged, &b.tally.filesChanged
	if was == nil {
		kind, counter = EventNew, &b.tally.filesNew
	}
	counter.Add(1)
	b.tally.bytes.Add(uint64(size))
	b.opts.Report(Event{Kind: kind, Path: path, Size: size})
}

// disk stores an item that is an image, in parts.
func (b *backup) disk(ctx context.Context, p *place, was *tree.Node) *pending {
	it := p.item
	e := it.entry
	if e == nil {
		e = &source.Entry{Mode: 0o600, MTime: b.opts.Time.UnixNano()}
	}
	entry := *e
	entry.Name, entry.Type, entry.Size, entry.RDev = base(p.path), source.TypeFile, it.disk.Size(), 0
	nothing := func() error { return nil } // the image is the caller's
	r := &reading{backup: b, path: p.path, entry: &entry, was: was, image: it.disk, device: it.device, close: nothing, opened: b.start, item: it}
	if it.changes != nil {
		if n := b.byMap(ctx, it, r); n != nil {
			return n
		}
	}
	if !it.device && b.unchanged(&entry, was) {
		return ready(p.path, b.reuse(p.path, &entry, was))
	}
	return b.parts(ctx, r)
}

// stream stores an item that can be read once.
func (b *backup) stream(ctx context.Context, p *place) *pending {
	kind := b.opts.Chunker
	if kind == 0 {
		kind = chunk.Gear
	}
	// Who waits for the stream's producer must hear that the repository failed.
	unwatch := context.AfterFunc(b.pool.ctx, func() { _ = p.item.stream.Close() })
	defer unwatch()
	res, err := readStream(ctx, b.pool, p.item.stream, b.chunkers[kind], b.session)
	if err != nil {
		return failed(err)
	}
	node := &tree.Node{Type: tree.File, Name: base(p.path), Mode: 0o600, ModTime: b.opts.Time.UnixNano(), Links: 1, Content: res.content}
	if res.err != nil {
		if !b.opts.AllowFailure {
			return failed(res.err)
		}
		node.Flags |= tree.Incomplete
		b.fault(p.path, res.err)
	}
	b.tally.holes.Add(uint64(res.holes))
	b.countFile(p.path, res.size, nil)
	return ready(p.path, node)
}
