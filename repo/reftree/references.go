package reftree

import "fmt"

// Target is one chunk that a node refers to.
type Target struct {
	ID     ID
	Length uint32 // bytes
	Class  Class
	tag    uint8 // what node it must be: TagMap, TagReference, or 0 for none
	level  uint8 // the level it must have, for TagMap
	size   int64 // the bytes it must cover, for TagMap; 0: not said
}

// Node reports whether the chunk is a node of class MAP, which refers to more.
func (t *Target) Node() bool { return t.tag != 0 }

// References decodes p, the bytes of t, and returns what it refers to. Errors wrap ErrFormat; a node of another kind, level or
// size than the node above says is one. t must be a node.
func (t *Target) References(p []byte) ([]Target, error) {
	tag, level, size, list, err := targets(p)
	switch {
	case err != nil:
		return nil, err
	case tag != t.tag || level != t.level:
		return nil, fmt.Errorf("%w: node with tag %d at level %d, referred to as %d at level %d", ErrFormat, tag, level, t.tag, t.level)
	case t.size != 0 && size != t.size:
		return nil, fmt.Errorf("%w: node covers %d bytes, referred to as %d", ErrFormat, size, t.size)
	}
	return list, nil
}

// References returns the chunks that a node of class MAP refers to, in order: content map nodes and reference nodes alike. A
// repeated chunk is there once. Errors wrap ErrFormat.
func References(node []byte) ([]Target, error) {
	_, _, _, list, err := targets(node)
	return list, err
}

// Targets returns the directory node and the reference node that p names, in this order.
func (p Pair) Targets() []Target {
	return []Target{
		{ID: p.Meta.ID, Length: p.Meta.Length, Class: Meta},
		{ID: p.Map.ID, Length: p.Map.Length, Class: Map, tag: TagReference},
	}
}

// Target returns the topmost node of a content map as a Target.
func (r Root) Target() Target {
	return Target{ID: r.ID, Length: r.Length, Class: Map, tag: TagMap, level: r.Level}
}

func targets(p []byte) (tag, level uint8, size int64, list []Target, err error) {
	if len(p) > 0 && p[0] == TagMap {
		n, err := DecodeMapNode(p)
		if err != nil {
			return 0, 0, 0, nil, err
		}
		return TagMap, n.Level, n.Size, n.targets(), nil
	}
	add := func(r *Reference) { list = r.appendTargets(list) }
	if err := eachReference(p, func(n int) { list = make([]Target, 0, n) }, add); err != nil {
		return 0, 0, 0, nil, err
	}
	return TagReference, 0, 0, list, nil
}

func (n *MapNode) targets() []Target {
	list := make([]Target, 0, n.Len())
	for i := range n.Spans {
		if s := &n.Spans[i]; s.Kind == Chunk {
			list = append(list, Target{ID: s.ID, Length: uint32(s.Length), Class: Data})
		}
	}
	for i := range n.Children {
		c := &n.Children[i]
		list = append(list, Target{ID: c.ID, Length: c.Length, Class: Map, tag: TagMap, level: n.Level - 1, size: c.Covered})
	}
	return list
}

func (r *Reference) appendTargets(list []Target) []Target {
	switch r.Kind {
	case RefContent:
		return append(list, r.Content.Target())
	case RefDirectory:
		return append(list, r.Pair.Targets()...)
	case RefMeta:
		return append(list, Target{ID: r.Ref.ID, Length: r.Ref.Length, Class: Meta})
	default:
		return append(list, Target{ID: r.Ref.ID, Length: r.Ref.Length, Class: Data})
	}
}
