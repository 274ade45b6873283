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

// NewStream returns a Stream over r, standard input for example. When ctx ends, Read fails with its error. A Read that is
// waiting then, or when the stream is closed, is interrupted if r can be: connections and, on Unix, all files can; elsewhere
// files that the process was started with cannot, and it ends with the next data. Close does not close r, but after an
// interruption r must not be read any more.
func NewStream(ctx context.Context, r io.Reader) Stream {
	s := &reader{ctx: ctx, r: r, interrupt: func() {}, release: func() {}}
	if d, ok := r.(deadliner); ok {
		s.interrupt = func() { _ = d.SetReadDeadline(time.Unix(1, 0)) }
	}
	s.waitOutside()
	s.stop = context.AfterFunc(ctx, s.interrupt)
	return s
}

type reader struct {
	ctx       context.Context
	r         io.Reader
	interrupt func() // makes a waiting Read of r return
	release   func() // gives up what interrupt needs
	stop      func() bool

	mu              sync.Mutex
	reading, closed bool
}

func (s *reader) Read(p []byte) (int, error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	return n, s.end(err)
}

func (s *reader) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fs.ErrClosed
	}
	s.reading = s.ctx.Err() == nil
	return s.ctx.Err()
}

// end says what the result of a read means.
func (s *reader) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reading = false
	switch {
	case err == nil || err == io.EOF:
		return err
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case s.closed:
		return fs.ErrClosed
	}
	return err
}

func (s *reader) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fs.ErrClosed
	}
	s.closed = true
	s.stop()
	if s.reading {
		s.interrupt()
	}
	s.release()
	return nil
}
