package snapshot

import (
	"context"
	"io"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// batchSize is how much of a stream is handed to a worker at a time.
const batchSize = 4 << 20

// streamResult is what became of a stream.
type streamResult struct {
	content content.Content
	size    int64
	holes   int64
	err     error // of the source, after what could be read of it
}

// readStream stores a stream. One goroutine reads it and finds the cuts, which is faster than any source of streams; workers name,
// compress and seal what lies between them. An error of the source is part of the result.
func readStream(ctx context.Context, p *pool, r io.Reader, c chunk.Chunker, saver reftree.Saver) (*streamResult, error) {
	st := &streamer{
		pool: p, reader: r, splitter: &splitter{chunker: c},
		assembly: newAssembly(&contents{chunker: c}, saver), buffers: make(chan []byte, maxBatches),
	}
	for range maxBatches {
		st.buffers <- nil
	}
	if err := st.run(ctx); err != nil {
		return nil, err
	}
	st.assembly.file.size = st.off
	found, err := st.assembly.finish(ctx)
	if err != nil {
		return nil, err
	}
	return &streamResult{content: found, size: st.off, holes: st.assembly.holes, err: st.sourceErr}, nil
}

// maxBatches bounds the memory for a stream.
const maxBatches = 8

type streamer struct {
	pool      *pool
	reader    io.Reader
	splitter  *splitter
	assembly  *assembly
	buffers   chan []byte
	off       int64 // of the next batch in the stream
	batches   int
	carry     []byte // read, and not yet cut
	sourceErr error
}

func (st *streamer) run(ctx context.Context) error {
	for end := false; !end; {
		buf, err := st.buffer(ctx)
		if err != nil {
			return err
		}
		n := copy(buf, st.carry)
		for n < len(buf) && !end {
			var got int
			got, err = st.reader.Read(buf[n:])
			n, end = n+got, err != nil
		}
		if end && err != io.EOF { // wrapped or not, any other error says that something is missing
			st.sourceErr = err
		}
		if err := st.send(buf[:n], end); err != nil {
			return err
		}
	}
	// Every buffer comes back when its batch is stored.
	for range maxBatches {
		if _, err := st.buffer(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (st *streamer) buffer(ctx context.Context) ([]byte, error) {
	select {
	case b := <-st.buffers:
		if b == nil {
			b = make([]byte, max(batchSize, 2*st.splitter.need()))
		}
		return b[:cap(b)], nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-st.pool.ctx.Done():
		return nil, context.Cause(st.pool.ctx)
	}
}

// send cuts a buffer and gives its chunks to a worker. What is left over it keeps for the next one.
func (st *streamer) send(buf []byte, end bool) error {
	var items []item
	start, i := st.off, st.batches
	used, err := st.splitter.split(buf, start, end, func(chunk []byte, hole int64) error {
		it := found(st.off, chunk, hole)
		st.off += it.length
		items = append(items, it)
		return nil
	})
	if err != nil {
		return err
	}
	st.carry = append(st.carry[:0], buf[used:]...)
	st.batches++
	st.assembly.tokens <- struct{}{} // there are fewer buffers than tokens
	return st.pool.submit(func(ctx context.Context, s *scanner) error {
		p := &part{start: start, end: start}
		for _, it := range items {
			if err := s.keep(ctx, p, it); err != nil {
				return err
			}
		}
		s.counters.read.Add(uint64(p.end - start))
		err := st.assembly.add(ctx, s, i, p)
		st.buffers <- buf
		return err
	})
}
