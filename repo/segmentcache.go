package repo

import (
	"container/list"
	"context"
	"errors"
	"sync"

	"github.com/holdfast-backup/holdfast/repo/index"
)

// segmentCacheBytes bounds the decoded segments kept for random reads.
const segmentCacheBytes = 32 << 20

// segmentName names a segment: its pack, and its place in it in bytes.
type segmentName struct {
	pack   index.Name
	offset uint32
}

// segmentCache keeps the least recently used decoded segments out, up to a number of bytes, and decodes a segment once when several
// want it at the same time. Its slices are shared and never written to. Safe for concurrent use.
type segmentCache struct {
	limit int

	mu    sync.Mutex
	size  int
	order *list.List // of *cachedSegment, most recent first
	items map[segmentName]*list.Element
}

type cachedSegment struct {
	name  segmentName
	ready chan struct{}
	plain []byte
	err   error
}

func newSegmentCache(limit int) *segmentCache {
	return &segmentCache{limit: limit, order: list.New(), items: map[segmentName]*list.Element{}}
}

// get returns the segment, calling load if it is not there. A failed load is not kept. Who waits for another's load that is given up, and is not
// given up on itself, loads again.
func (c *segmentCache) get(ctx context.Context, name segmentName, load func() ([]byte, error)) ([]byte, error) {
	for {
		s, mine := c.find(name)
		if mine {
			return c.fill(name, s, load)
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if s.err == nil || ctx.Err() != nil || !errors.Is(s.err, context.Canceled) && !errors.Is(s.err, context.DeadlineExceeded) {
			return s.plain, s.err
		}
	}
}

// find returns the place of a segment, and whether the caller has to fill it.
func (c *segmentCache) find(name segmentName) (s *cachedSegment, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[name]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*cachedSegment), false
	}
	s = &cachedSegment{name: name, ready: make(chan struct{})}
	c.items[name] = c.order.PushFront(s)
	return s, true
}

func (c *segmentCache) fill(name segmentName, s *cachedSegment, load func() ([]byte, error)) ([]byte, error) {
	s.plain, s.err = load()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(s.ready)
	if s.err != nil {
		c.remove(c.items[name])
		return nil, s.err
	}
	c.size += len(s.plain)
	c.evict()
	return s.plain, nil
}

func (c *segmentCache) evict() {
	for e := c.order.Back(); e != nil && c.size > c.limit; {
		prev := e.Prev()
		s := e.Value.(*cachedSegment)
		select {
		case <-s.ready:
			c.size -= len(s.plain)
			c.remove(e)
		default: // being loaded
		}
		e = prev
	}
}

func (c *segmentCache) remove(e *list.Element) {
	c.order.Remove(e)
	delete(c.items, e.Value.(*cachedSegment).name)
}
