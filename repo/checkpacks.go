package repo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/fnv"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/index"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// Subset chooses packs by their hashes. The zero value chooses none, a nil *Subset neither.
type Subset struct {
	// Part of Of: the packs are divided into Of parts, the same ones in each run; Part counts from 1. Of 1 chooses all.
	Part, Of uint64
	// Share chooses that share of the packs, 0 to 1, by chance: Seed decides which.
	Share float64
	// Seed makes chance repeatable.
	Seed uint64

	only map[ID]bool // chooses these packs, by their hashes, and no others
}

// ReadAll returns the subset of all packs.
func ReadAll() *Subset { return &Subset{Part: 1, Of: 1} }

func (s *Subset) has(p *index.Pack) bool {
	if s == nil {
		return false
	}
	if s.only != nil {
		return s.only[p.Hash]
	}
	if s.Of > 0 {
		return binary.BigEndian.Uint64(p.Hash[:])%s.Of+1 == s.Part
	}
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64(nil, s.Seed))
	h.Write(p.Hash[:])
	return float64(h.Sum64()>>11)/(1<<53) < s.Share
}

// readPacks reads the chosen packs. The index files that tell of them are read one by one meanwhile, so that memory is bounded.
func (c *checker) readPacks(ctx context.Context) error {
	if c.opts.ReadData == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan *index.Pack)
	g.Go(func() error {
		defer close(work)
		return c.choose(ctx, work)
	})
	for range c.opts.Workers {
		g.Go(func() error {
			v := &packVerifier{checker: c}
			for p := range work {
				if err := v.verify(ctx, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// choose sends the chosen packs of all index files.
func (c *checker) choose(ctx context.Context, work chan<- *index.Pack) error {
	var files []ledger.IndexFile
	c.repo.chain.view(func(st *ledger.State) { files = st.NamedFiles() })
	for _, f := range files {
		if c.lost[fileName(f)] {
			continue // as was told before
		}
		packs, err := c.readable(ctx, f)
		if err != nil {
			return err
		}
		for i := range packs {
			if !c.opts.ReadData.has(&packs[i]) {
				continue
			}
			select {
			case work <- &packs[i]:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// readable returns the packs of an index file, with what the file says of their segments if this key can open it.
func (c *checker) readable(ctx context.Context, f ledger.IndexFile) ([]index.Pack, error) {
	read := c.repo.readIndexFile
	if c.repo.ring == nil {
		read = c.repo.inventory
	}
	packs, err := read(ctx, f)
	if err != nil {
		return nil, c.fault(err)
	}
	return packs, nil
}

// packVerifier verifies packs for one goroutine.
type packVerifier struct {
	checker *checker
	reader  *Reader
	buf     []byte
	plain   []byte
}

// verify reads a pack and notes its faults.
func (v *packVerifier) verify(ctx context.Context, p *index.Pack) error {
	c := v.checker
	if cap(v.buf) < int(p.Size) {
		v.buf = make([]byte, p.Size)
	}
	body := v.buf[:p.Size]
	err := backend.ReadFull(ctx, c.repo.store, p.PackKey(), 0, body)
	if err == nil {
		err = v.contents(p, body)
	}
	if err != nil {
		if err := c.fault(missing(p.PackKey(), err)); err != nil {
			return err
		}
	} else if c.opts.verified != nil {
		c.opts.verified(p)
	}
	c.mu.Lock()
	c.report.PacksRead++
	c.report.BytesRead += uint64(p.Size)
	c.done += uint64(p.Size)
	done, total := c.done, c.total
	c.mu.Unlock()
	if c.opts.Progress != nil {
		c.opts.Progress(done, total)
	}
	return nil
}

var errWrongHash = errors.New("its bytes do not have the hash that names it")

// contents verifies the hash of a pack, and then, as far as this key goes, its directory and each of its segments and chunks.
func (v *packVerifier) contents(p *index.Pack, body []byte) error {
	r := v.checker.repo
	var dir *pack.Directory
	var hash ID
	var err error
	if r.ring == nil {
		hash = hashOf(body)
	} else {
		dir, hash, err = pack.OpenHashed(body, r.ring)
	}
	if hash != p.Hash {
		err = errWrongHash
	}
	if err != nil {
		return &CorruptError{Key: p.PackKey(), Offset: -1, Err: err}
	}
	if r.ring == nil {
		return nil
	}
	if !bytes.Equal(pack.AppendSegments(nil, dir.Segments), pack.AppendSegments(nil, p.Segments)) || dir.BodyOffset() != p.BodyOffset {
		return &CorruptError{Key: p.PackKey(), Offset: -1, Err: errOtherIndex}
	}
	if !r.CanRead(p.Class) {
		return nil
	}
	if v.reader == nil {
		if v.reader, err = r.NewReader(); err != nil {
			return err
		}
	}
	for offset, seg := range dir.All() {
		if err := v.segment(p, dir, offset, seg, body); err != nil {
			return err
		}
	}
	return nil
}

func (v *packVerifier) segment(p *index.Pack, dir *pack.Directory, offset uint32, seg *pack.Segment, body []byte) error {
	plain, err := v.reader.openSegment(v.plain, p.Class, &dir.Keys[seg.Key], seg, body[offset:offset+seg.Stored])
	if err != nil {
		return &CorruptError{Key: p.PackKey(), Offset: int64(offset), Err: err}
	}
	v.plain = plain
	h, err := v.reader.hasher(p.Class)
	if err != nil {
		return err
	}
	for _, ch := range seg.Chunks {
		if h.Sum(plain[:ch.Length]) != ch.ID {
			return &CorruptError{Key: p.PackKey(), Offset: int64(offset), Chunk: ch.ID, Err: errWrongID}
		}
		plain = plain[ch.Length:]
	}
	return nil
}
