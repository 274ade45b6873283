package s3server

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Link is a poor network in front of a server: it delays what passes, and breaks connections at random.
type Link struct {
	// URL is where the server answers through the link.
	URL string
	// Broken is how many connections were broken.
	Broken atomic.Int64

	listener net.Listener
	target   string
	delay    time.Duration
	breaks   int64
	mu       sync.Mutex
	rng      *rand.Rand
}

// NewLink starts a link to a server, which delays both directions and breaks each connection after 0 to 2*breaks bytes; 0: none.
func (s *Server) NewLink(delay time.Duration, breaks int64, seed uint64) (*Link, error) {
	l := &Link{target: s.URL[len("http://"):], delay: delay, breaks: breaks, rng: rand.New(rand.NewPCG(seed, 0))}
	var err error
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	l.URL = "http://" + l.listener.Addr().String()
	go l.serve()
	return l, nil
}

// Close ends the link.
func (l *Link) Close() error { return l.listener.Close() }

func (l *Link) serve() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		go l.connect(c.(*net.TCPConn))
	}
}

func (l *Link) connect(client *net.TCPConn) {
	c, err := net.Dial("tcp", l.target)
	if err != nil {
		_ = client.Close()
		return
	}
	server := c.(*net.TCPConn)
	left := &atomic.Int64{}
	left.Store(1 << 62)
	if l.breaks > 0 {
		l.mu.Lock()
		left.Store(l.rng.Int64N(2 * l.breaks))
		l.mu.Unlock()
	}
	var both sync.WaitGroup
	both.Go(func() { l.copy(server, client, left) })
	both.Go(func() { l.copy(client, server, left) })
	both.Wait()
	_, _ = client.Close(), server.Close()
}

type late struct {
	at    time.Time
	bytes []byte
}

// copy passes on what comes, later, until the connection is to break.
func (l *Link) copy(to, from *net.TCPConn, left *atomic.Int64) {
	queue := make(chan late, 1024)
	go func() {
		defer close(queue)
		for {
			b := make([]byte, 64<<10)
			n, err := from.Read(b)
			if n > 0 {
				queue <- late{time.Now().Add(l.delay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for part := range queue {
		time.Sleep(time.Until(part.at))
		if left.Add(-int64(len(part.bytes))) < 0 {
			l.Broken.Add(1)
			_, _ = to.SetLinger(0), from.SetLinger(0) // so that both ends hear of a reset
			_, _ = to.Close(), from.Close()
			break
		}
		if _, err := to.Write(part.bytes); err != nil {
			_ = from.Close()
			break
		}
	}
	_ = to.CloseWrite()
	for range queue { // until the reader ends
	}
}

var _ io.Closer = (*Link)(nil)
