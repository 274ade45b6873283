package content

import (
	"sync"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

const cacheNodes = 64

// nodeCache keeps the nodes used last. The zero value is empty and ready.
type nodeCache struct {
	mu    sync.Mutex
	nodes map[reftree.Ref]*cached
	clock uint64
}

type cached struct {
	node *reftree.MapNode
	used uint64
}

func (c *nodeCache) get(r reftree.Ref) *reftree.MapNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.nodes[r]
	if e == nil {
		return nil
	}
	c.clock++
	e.used = c.clock
	return e.node
}

func (c *nodeCache) put(r reftree.Ref, n *reftree.MapNode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes == nil {
		c.nodes = make(map[reftree.Ref]*cached)
	}
	if len(c.nodes) >= cacheNodes {
		c.dropOldest()
	}
	c.clock++
	c.nodes[r] = &cached{node: n, used: c.clock}
}

func (c *nodeCache) dropOldest() {
	var oldest reftree.Ref
	used := c.clock + 1
	for r, e := range c.nodes {
		if e.used < used {
			oldest, used = r, e.used
		}
	}
	delete(c.nodes, oldest)
}
