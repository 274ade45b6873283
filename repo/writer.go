package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// compressor is what a writer needs of a [pack.Compressor].
type compressor interface {
	Compress(dst, plain []byte) (stored []byte, codec pack.Codec)
}

// Writer stores chunks of one class for one goroutine: it names them, leaves out those that are known, and carries the rest from
// plaintext to a sealed and verified segment. It does not allocate for each chunk.
type Writer struct {
	session *Session
	packer  *packer
	hasher  *crypto.Hasher
	sealer  pack.Sealer

	plain  []byte
	chunks []pack.Chunk

	compressor   compressor
	decompressor *pack.Decompressor
	stored       []byte // compressed
	sealed       []byte
	opened       []byte // sealed, opened again
	check        []byte // and decompressed, where it was compressed
}

// NewWriter returns a writer of the session for chunks of the class. Call Flush when there are no more.
func (s *Session) NewWriter(c Class) (*Writer, error) {
	p, err := s.packer(c)
	if err != nil {
		return nil, err
	}
	hasher, err := s.repo.ring.Hasher(c)
	if err != nil {
		return nil, err
	}
	w := &Writer{session: s, packer: p, hasher: hasher}
	w.sealer = pack.Sealer{Suite: s.repo.config.Suite, Domain: s.repo.ring.Domain(), Class: c}
	if w.compressor, err = pack.NewCompressor(s.compression, s.repo.config.maxChunk()); err != nil {
		return nil, err
	}
	if w.decompressor, err = pack.NewDecompressor(); err != nil {
		return nil, err
	}
	return w, nil
}

// makeRoom makes the memory that the writer needs for good, once it has met a new chunk: many never do.
func (w *Writer) makeRoom() {
	size := w.session.repo.config.maxChunk()
	w.plain = make([]byte, 0, size)
	w.stored = make([]byte, 0, size+pack.CompressSlack)
	w.sealed = make([]byte, 0, size+crypto.TagSize)
	w.opened = make([]byte, 0, size)
}

// Save stores a chunk unless it is known, and returns its id. known tells that nothing was added. The chunk must have 1 byte to
// the repository's segment size, or 512 KiB if that is more: a chunk larger than a segment becomes one of its own. Save does not keep it.
func (w *Writer) Save(ctx context.Context, chunk []byte) (id ID, known bool, err error) {
	if limit := w.session.repo.config.maxChunk(); len(chunk) == 0 || len(chunk) > limit {
		return ID{}, false, fmt.Errorf("saving a chunk of %d bytes: must be 1 to %d", len(chunk), limit)
	}
	if w.session.failed.Load() {
		return ID{}, false, w.session.failure(ErrSessionEnded)
	}
	id = w.hasher.Sum(chunk)
	if wanted := w.session.wanted; wanted != nil && !wanted(w.sealer.Class, id) {
		return id, true, nil
	}
	if w.session.known(id) || !w.session.claims.claim(id) {
		return id, true, nil
	}
	if len(w.plain)+len(chunk) > w.session.repo.config.SegmentSize {
		if err := w.Flush(ctx); err != nil {
			return ID{}, false, err
		}
	}
	if w.plain == nil {
		w.makeRoom()
	}
	w.plain = append(w.plain, chunk...)
	w.chunks = append(w.chunks, pack.Chunk{ID: id, Length: uint32(len(chunk))})
	w.session.stats.chunks.Add(1)
	w.session.stats.added.Add(uint64(len(chunk)))
	return id, false, nil
}

// Flush seals the chunks gathered so far and hands them on for upload.
func (w *Writer) Flush(ctx context.Context) error {
	if len(w.plain) == 0 {
		return w.session.failure(nil)
	}
	stored, codec := w.compressor.Compress(w.stored, w.plain)
	if codec != pack.Store {
		w.stored = stored
	}
	length := uint32(len(w.plain))
	sealed, salt := w.sealer.Seal(w.sealed[:0], &w.packer.key, codec, length, stored)
	w.sealed = sealed
	seg := pack.Segment{Codec: codec, Stored: uint32(len(sealed)), Length: length, Salt: salt, Chunks: w.chunks}
	if err := w.verify(&seg, sealed); err != nil {
		w.session.fail(err)
		return err
	}
	if err := w.packer.add(ctx, &seg, sealed); err != nil {
		w.session.fail(err)
		return err
	}
	w.plain, w.chunks = w.plain[:0], w.chunks[:0]
	return w.session.failure(nil)
}

// verify opens and decodes the segment that is about to be stored and compares it with what went in: a fault of memory, of the
// processor or of a library must not become a backup that cannot be restored.
func (w *Writer) verify(seg *pack.Segment, sealed []byte) error {
	plain, err := w.sealer.Open(w.opened[:0], &w.packer.key, seg, sealed)
	if err == nil && seg.Codec != pack.Store {
		w.check, err = w.decompressor.Decompress(w.check, seg.Codec, seg.Length, plain)
		plain = w.check
	}
	if err == nil && !bytes.Equal(plain, w.plain) {
		err = errors.New("it reads back as other bytes")
	}
	if err != nil {
		return fmt.Errorf("verifying a segment before upload (is the memory of this machine sound?): %w", err)
	}
	return nil
}
