package s3

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go/middleware"
	"golang.org/x/time/rate"

	"github.com/holdfast-backup/holdfast/backend"
)

// traffic counts what goes over the network, everything included, and holds it back.
type traffic struct {
	requests, sent, received atomic.Int64
	up, down                 *rate.Limiter // nil: as fast as can be
}

// burst is how many bytes pass at once: as many as TLS has in a record.
const burst = 16 << 10

// stalled is how long nothing may come or go on a connection before it is given up.
const stalled = 2 * time.Minute

func newTraffic(up, down int64) *traffic {
	limit := func(n int64) *rate.Limiter {
		if n <= 0 {
			return nil
		}
		return rate.NewLimiter(rate.Limit(n), burst)
	}
	return &traffic{up: limit(up), down: limit(down)}
}

// Traffic implements [backend.Traffic].
func (s *Store) Traffic() backend.TrafficCount {
	t := s.traffic
	return backend.TrafficCount{Requests: t.requests.Load(), Sent: t.sent.Load(), Received: t.received.Load()}
}

// count counts each attempt of each request.
func (t *traffic) count(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("count requests", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		t.requests.Add(1)
		return next.HandleFinalize(ctx, in)
	}), "Retry", middleware.After)
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// dial returns a dialer of connections whose bytes are counted and held back.
func (t *traffic) dial(inner dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := inner(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, traffic: t, done: make(chan struct{})}, nil
	}
}

type conn struct {
	net.Conn
	traffic *traffic
	close   sync.Once
	done    chan struct{} // closed with it
}

// Read implements io.Reader.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p[:min(len(p), burst)])
	c.traffic.received.Add(int64(n))
	if werr := c.pass(c.traffic.down, n); err == nil {
		err = werr
	}
	return n, err
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (done int, err error) {
	for len(p) > 0 && err == nil {
		part := p[:min(len(p), burst)]
		if err = c.pass(c.traffic.up, len(part)); err != nil {
			break
		}
		if err = c.SetDeadline(time.Now().Add(stalled)); err != nil { // of the reply, too, which comes later
			break
		}
		var n int
		n, err = c.Conn.Write(part)
		c.traffic.sent.Add(int64(n))
		done, p = done+n, p[n:]
	}
	return done, err
}

// pass waits until n bytes may pass, or the connection is closed.
func (c *conn) pass(l *rate.Limiter, n int) error {
	if l == nil || n == 0 {
		return nil
	}
	select {
	case <-time.After(l.ReserveN(time.Now(), n).Delay()):
		return nil
	case <-c.done:
		return net.ErrClosed
	}
}

// Close implements io.Closer.
func (c *conn) Close() error {
	c.close.Do(func() { close(c.done) })
	return c.Conn.Close()
}
