package main

import (
	"context"
	"io"
)

// stdin reads standard input in a way that the end of a context interrupts. A pipe that the program was started with cannot be: its
// reads are left waiting when the program ends.
type stdin struct {
	ctx    context.Context
	full   chan []byte
	empty  chan []byte
	err    error // set before full is closed
	rest   []byte
	buffer []byte // that rest is in
}

// stdinBuffer is what is read at once, in bytes. Two buffers let reading go on while the last one is being used.
const stdinBuffer = 1 << 20

func newStdin(ctx context.Context, r io.Reader) io.Reader {
	s := &stdin{ctx: ctx, full: make(chan []byte), empty: make(chan []byte, 2)}
	for range cap(s.empty) {
		s.empty <- make([]byte, stdinBuffer)
	}
	go s.fill(r)
	return s
}

// fill reads ahead until the end, an error, or the end of the context.
func (s *stdin) fill(r io.Reader) {
	defer close(s.full)
	for {
		var buf []byte
		select {
		case buf = <-s.empty:
		case <-s.ctx.Done():
			s.err = context.Cause(s.ctx)
			return
		}
		n, err := r.Read(buf)
		select {
		case s.full <- buf[:n]:
		case <-s.ctx.Done():
			s.err = context.Cause(s.ctx)
			return
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// Read implements io.Reader.
func (s *stdin) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.buffer != nil {
			s.empty <- s.buffer
			s.buffer = nil
		}
		select {
		case b, ok := <-s.full:
			if !ok {
				return 0, s.err
			}
			s.rest, s.buffer = b, b[:cap(b)]
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
