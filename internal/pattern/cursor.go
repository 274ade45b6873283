package pattern

// node is one component of a path, linked to the one above it; nil is the root.
type node struct {
	up   *node
	name string
}

// Cursor stands at one path and remembers which patterns matched it or a folder above it, so that testing a name in a
// folder looks at each pattern once however deep the folder is. It never changes and is safe for concurrent use.
type Cursor struct {
	list    *List
	node    *node
	matched []uint64 // bit i: pattern i matched here or above
}

// At returns a cursor at the path name.
func (l *List) At(name string) *Cursor {
	c := &Cursor{list: l}
	if l.Len() == 0 {
		return c
	}
	c.matched = make([]uint64, (len(l.patterns)+63)/64)
	c.mark()
	for comp := range l.components(name) {
		c.node = &node{up: c.node, name: comp}
		c.mark()
	}
	return c
}

// Enter returns a cursor at the entry name of the folder that c stands at.
func (c *Cursor) Enter(name string) *Cursor {
	if c.list.Len() == 0 {
		return c
	}
	below := &Cursor{list: c.list, node: &node{up: c.node, name: c.list.canon(name)}}
	below.matched = append([]uint64(nil), c.matched...)
	below.mark()
	return below
}

// mark adds the patterns that match the cursor's own path.
func (c *Cursor) mark() {
	for i := range c.list.patterns {
		if !c.has(i) && c.list.patterns[i].endsAt(c.node) {
			c.matched[i/64] |= 1 << (i % 64)
		}
	}
}

func (c *Cursor) has(i int) bool { return c.matched[i/64]>>(i%64)&1 != 0 }

// Matched reports whether the list matches the cursor's path, like List.Match.
func (c *Cursor) Matched() bool {
	for i := c.list.Len() - 1; i >= 0; i-- {
		if c.has(i) {
			return !c.list.patterns[i].negated
		}
	}
	return false
}

// Match reports whether the list matches the entry name of the folder that c stands at. It is Enter(name).Matched(),
// without the work.
func (c *Cursor) Match(name string) bool {
	if c.list.Len() == 0 {
		return false
	}
	n := node{up: c.node, name: c.list.canon(name)}
	for i := len(c.list.patterns) - 1; i >= 0; i-- {
		if p := &c.list.patterns[i]; c.has(i) || p.endsAt(&n) {
			return !p.negated
		}
	}
	return false
}
