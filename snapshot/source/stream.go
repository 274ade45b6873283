package source

import (
	"context"
	"io"
	"io/fs"
	"sync"
	"time"
)

// Stream is data that can be read once. Read and Close are for one goroutine, Close may interrupt Read from another.
// Only io.EOF means that the data is complete; after any other error what was read must not count as a backup.
type Stream interface {
	io.Reader
	io.Closer
}

// deadliner is a file or connection whose Read can be interrupted.
type deadliner interface{ SetReadDeadline(time.Time) error }

// NewStream returns a Stream over r, standard input for example. When ctx ends, Read fails with its error; a Read that
// is waiting is interrupted if r can be (pipes, terminals and connections can), else it ends with the next data. Close
// does not close r.
func NewStream(ctx context.Context, r io.Reader) Stream {
	s := &reader{ctx: ctx, r: r, stop: func() bool { return true }}
	if d, ok := r.(deadliner); ok {
		s.stop = context.AfterFunc(ctx, func() { _ = d.SetReadDeadline(time.Unix(1, 0)) })
	}
	return s
}

type reader struct {
	ctx  context.Context
	r    io.Reader
	stop func() bool

	mu     sync.Mutex
	closed bool
}

func (s *reader) Read(p []byte) (int, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return 0, fs.ErrClosed
	}
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF && s.ctx.Err() != nil {
		err = s.ctx.Err()
	}
	return n, err
}

func (s *reader) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fs.ErrClosed
	}
	s.closed = true
	s.stop()
	return nil
}
