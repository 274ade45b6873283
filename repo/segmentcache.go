package repo

import (
	"container/list"
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

// get returns the segment, calling load if it is not there. A failed load is not kept.
func (c *segmentCache) get(name segmentName, load func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	if e, ok := c.items[name]; ok {
		c.order.MoveToFront(e)
		s := e.Value.(*cachedSegment)
		c.mu.Unlock()
		<-s.ready
		return s.plain, s.err
	}
	s := &cachedSegment{name: name, ready: make(chan struct{})}
	e := c.order.PushFront(s)
	c.items[name] = e
	c.mu.Unlock()

	s.plain, s.err = load()
	close(s.ready)
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil {
		c.remove(e)
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
		default: // being loaded: not counted yet
		}
		e = prev
	}
}

func (c *segmentCache) remove(e *list.Element) {
	c.order.Remove(e)
	delete(c.items, e.Value.(*cachedSegment).name)
}
