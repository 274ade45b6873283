package repo

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// packer gathers the sealed segments of one class and session into packs. Its lock is the only thing that writers of a session share
// on their way from source to storage, and under it a segment is only copied.
type packer struct {
	session *Session
	class   Class
	moves   bool // segments that were sealed elsewhere; there is no key then
	key     crypto.Key
	entry   crypto.KeyEntry

	turn    turn
	builder *pack.Builder
	chunks  int             // in the pack being filled
	waiting []sealedSegment // did not fit; first into the next pack
	bytes   int             // of waiting
}

type sealedSegment struct {
	segment pack.Segment
	sealed  []byte
	key     *crypto.KeyEntry // of one that was sealed elsewhere; nil for the packer's own
}

// maxWaiting bounds the segments kept back while smaller ones fill the rest of a pack, in multiples of the segment size.
const maxWaiting = 4

// maxPackChunks ends a pack that is not full. The memory for a pack grows with its chunks, by some 200 bytes each until it is stored, and a
// million of the smallest would fit in.
const maxPackChunks = 1 << 17

func newPacker(s *Session, c Class) (*packer, error) {
	key, entry, err := s.repo.ring.NewSessionKey(c)
	if err != nil {
		return nil, err
	}
	if !s.dryRun {
		s.repo.keys.add(c, &entry, key)
	}
	p := &packer{session: s, class: c, key: key, entry: entry, turn: newTurn()}
	p.builder, err = p.newBuilder()
	return p, err
}

// newMover returns a packer of segments that were sealed elsewhere.
func newMover(s *Session, c Class) (*packer, error) {
	p := &packer{session: s, class: c, moves: true, turn: newTurn()}
	var err error
	p.builder, err = p.newBuilder()
	return p, err
}

func (p *packer) newBuilder() (*pack.Builder, error) {
	params, err := p.session.repo.packParams()
	if err != nil {
		return nil, err
	}
	if p.moves {
		return pack.NewBuilder(params, p.class)
	}
	return pack.NewBuilder(params, p.class, p.entry)
}

// add takes a segment sealed with the packer's key, of which it keeps copies. It waits while too many packs are being uploaded.
func (p *packer) add(ctx context.Context, seg *pack.Segment, sealed []byte) error {
	return p.take(ctx, sealedSegment{segment: *seg, sealed: sealed})
}

// move takes a segment that was sealed elsewhere, with the key of that entry.
func (p *packer) move(ctx context.Context, seg *pack.Segment, sealed []byte, key *crypto.KeyEntry) error {
	return p.take(ctx, sealedSegment{segment: *seg, sealed: sealed, key: key})
}

func (p *packer) take(ctx context.Context, s sealedSegment) error {
	if err := p.turn.take(ctx); err != nil {
		return err
	}
	defer p.turn.pass()
	if p.fits(&s) {
		if err := p.fill(&s); err != nil || p.chunks < maxPackChunks {
			return err
		}
		return p.rotate(ctx, true)
	}
	kept := s
	kept.sealed, kept.segment.Chunks = bytes.Clone(s.sealed), slices.Clone(s.segment.Chunks)
	p.waiting = append(p.waiting, kept)
	if p.bytes += len(s.sealed); p.bytes < maxWaiting*p.session.repo.config.SegmentSize {
		return nil
	}
	return p.rotate(ctx, !p.full())
}

// full reports whether it is bytes that the pack has no room for, rather than keys.
func (p *packer) full() bool { return p.builder.Len() >= p.session.repo.config.PackSize/2 }

// fits reports whether a segment fits into the pack, whose key table has its key then.
func (p *packer) fits(s *sealedSegment) bool {
	if s.key != nil {
		var err error
		if s.segment.Key, err = p.builder.AddKey(*s.key); err != nil {
			return false
		}
	}
	return p.builder.Fits(&s.segment)
}

// fill puts a segment that fits into the pack.
func (p *packer) fill(s *sealedSegment) error {
	p.chunks += len(s.segment.Chunks)
	return p.builder.Add(&s.segment, s.sealed)
}

// rotate sends the pack on its way and starts the next one with what waited. final is for a pack that is not full.
func (p *packer) rotate(ctx context.Context, final bool) error {
	if err := p.session.upload(ctx, p.builder, final); err != nil {
		return err
	}
	b, err := p.newBuilder()
	if err != nil {
		return err
	}
	b.Reset(p.session.buffers.get())
	p.builder, p.chunks = b, 0
	waiting := p.waiting
	p.waiting, p.bytes = nil, 0
	for i := range waiting {
		w := &waiting[i]
		if !p.fits(w) && b.Segments() > 0 {
			p.waiting = append(p.waiting, *w)
			p.bytes += len(w.sealed)
			continue
		}
		if err := p.fill(w); err != nil {
			return fmt.Errorf("packing a segment of %d bytes: %w", len(w.sealed), err)
		}
	}
	return nil
}

// flush uploads all that is left.
func (p *packer) flush(ctx context.Context) error {
	if err := p.turn.take(ctx); err != nil {
		return err
	}
	defer p.turn.pass()
	for p.builder.Segments() > 0 {
		if err := p.rotate(ctx, len(p.waiting) == 0 || !p.full()); err != nil {
			return err
		}
	}
	return nil
}

// buffers keeps the memory of uploaded packs for the next ones.
type buffers struct{ free chan []byte }

func newBuffers(n int) *buffers { return &buffers{free: make(chan []byte, n)} }

func (b *buffers) get() []byte {
	select {
	case buf := <-b.free:
		return buf
	default:
		return nil
	}
}

func (b *buffers) put(buf []byte) {
	select {
	case b.free <- buf:
	default:
	}
}

// upload finishes a pack and stores it, in the background: at most uploads packs at a time. An error ends the session.
func (s *Session) upload(ctx context.Context, b *pack.Builder, final bool) error {
	if err := s.slots.Acquire(ctx, 1); err != nil {
		return s.failure(err)
	}
	s.uploads.Go(func() error {
		defer s.slots.Release(1)
		if err := s.storePack(b, final); err != nil {
			s.fail(err)
		}
		return nil
	})
	return nil
}

func (s *Session) storePack(b *pack.Builder, final bool) error {
	name, body, dir, err := b.Finish(final)
	if err != nil {
		return err
	}
	defer s.buffers.put(body)
	p := index.FromDirectory(index.Name{Session: s.id, Hash: name}, dir)
	if err := s.put(p.PackKey(), body); err != nil {
		return err
	}
	return s.stored(&p)
}

// put stores an object of the session for good.
func (s *Session) put(key string, body []byte) error {
	s.stats.stored.Add(uint64(len(body)))
	if s.dryRun {
		return nil
	}
	if err := backend.PutBytes(s.ctx, s.repo.store, key, body, &backend.PutOptions{IfAbsent: true}); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}
