package repo

import "sync"

// claims are the chunks that a session is storing and that are in no finished pack yet. The first writer to claim a chunk
// stores it; whoever meets it after that refers to it. Safe for concurrent use.
type claims struct {
	shards [64]struct {
		sync.Mutex
		ids map[ID]struct{}
	}
}

func newClaims() *claims {
	c := &claims{}
	for i := range c.shards {
		c.shards[i].ids = map[ID]struct{}{}
	}
	return c
}

// claim reports whether the caller is the first.
func (c *claims) claim(id ID) bool {
	s := &c.shards[id[31]&63]
	s.Lock()
	defer s.Unlock()
	if _, ok := s.ids[id]; ok {
		return false
	}
	s.ids[id] = struct{}{}
	return true
}

// has reports whether a chunk is claimed.
func (c *claims) has(id ID) bool {
	s := &c.shards[id[31]&63]
	s.Lock()
	defer s.Unlock()
	_, ok := s.ids[id]
	return ok
}

// release forgets a chunk whose pack is in the index.
func (c *claims) release(id ID) {
	s := &c.shards[id[31]&63]
	s.Lock()
	defer s.Unlock()
	delete(s.ids, id)
}

// len returns how many chunks are claimed.
func (c *claims) len() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.Lock()
		n += len(s.ids)
		s.Unlock()
	}
	return n
}
