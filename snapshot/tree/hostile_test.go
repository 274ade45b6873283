package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

func fifos(names ...string) (list []*Node) {
	for _, name := range names {
		list = append(list, &Node{Type: FIFO, Name: name})
	}
	return list
}

// leaf saves a directory node of these entries, and its reference node, as they are.
func leaf(t testing.TB, s *store, nodes ...*Node) reftree.Pair {
	p := appendDirHeader(nil, 0, len(nodes))
	var refs []reftree.Reference
	for _, n := range nodes {
		p = appendNode(p, n)
		refs = n.appendReferences(refs)
	}
	return reftree.Pair{Meta: s.put(t, reftree.Meta, p), Map: s.put(t, reftree.Map, reftree.AppendReferenceNode(nil, refs))}
}

// branch saves a directory node of these children, and its reference node, as they are.
func branch(t testing.TB, s *store, level uint8, children ...child) reftree.Pair {
	p := appendDirHeader(nil, level, len(children))
	var refs []reftree.Reference
	for i := range children {
		p = appendChild(p, &children[i])
		refs = append(refs, reftree.Reference{Kind: reftree.RefDirectory, Pair: children[i].pair})
	}
	return reftree.Pair{Meta: s.put(t, reftree.Meta, p), Map: s.put(t, reftree.Map, reftree.AppendReferenceNode(nil, refs))}
}

// fullLeaf saves a node that ends by the rule, with names that start with prefix.
func fullLeaf(t testing.TB, s *store, prefix string) child {
	var nodes []*Node
	for i := range reftree.MaxEntries {
		name := fmt.Sprintf("%s%04d", prefix, i)
		nodes = append(nodes, &Node{Type: FIFO, Name: name})
		if ends(0, i+1, 0, name) {
			break
		}
	}
	return child{last: nodes[len(nodes)-1].Name, pair: leaf(t, s, nodes...), entries: uint64(len(nodes))}
}

func TestHostileDirectories(t *testing.T) {
	s := newStore()
	a, b := fullLeaf(t, s, "a"), fullLeaf(t, s, "b")
	require.Len(t, walkAll(t, s, branch(t, s, 1, a, b)), int(a.entries+b.entries))
	with := func(c child, change func(c *child)) child {
		change(&c)
		return c
	}
	long := fifos()
	for i := range 200 {
		long = append(long, fifos(fmt.Sprintf("%04d", i))...)
	}
	short := child{last: "a1", pair: leaf(t, s, fifos("a0", "a1")...), entries: 2}
	late := child{last: "c", pair: leaf(t, s, fifos("aa", "c")...), entries: 2}
	empty := child{last: "b", pair: leaf(t, s), entries: 1}
	for name, root := range map[string]reftree.Pair{
		"names not in order":         leaf(t, s, fifos("b", "a")...),
		"a name twice":               leaf(t, s, fifos("a", "a")...),
		"a bad name":                 leaf(t, s, fifos("a/b")...),
		"too many entries":           leaf(t, s, long...),
		"past its end":               leaf(t, s, long[:100]...),
		"no children":                branch(t, s, 1),
		"level":                      branch(t, s, 17, a),
		"wrong level":                branch(t, s, 2, a, b),
		"wrong last name":            branch(t, s, 1, with(a, func(c *child) { c.last = "az" }), b),
		"wrong count":                branch(t, s, 1, with(a, func(c *child) { c.entries++ }), b),
		"children not in order":      branch(t, s, 1, b, a),
		"a child twice":              branch(t, s, 1, a, a),
		"ends too early":             branch(t, s, 1, short, b),
		"starts before the one left": branch(t, s, 1, b, late),
		"an empty child":             branch(t, s, 1, a, empty),
		"child of nothing":           branch(t, s, 1, with(a, func(c *child) { c.entries = 0 })),
		"reference node for it":      {Meta: a.pair.Map, Map: a.pair.Map},
	} {
		errs := 0
		require.NoError(t, Walk(t.Context(), s, root, func(_ string, _ *Node, err error) error {
			if err == nil {
				return nil
			}
			errs++
			var typed *Error
			require.ErrorAs(t, err, &typed, name)
			return nil
		}))
		require.Positive(t, errs, name)
		require.Error(t, CheckPair(t.Context(), s, root, "x"), name)
		failed := false
		for _, err := range Diff(t.Context(), s, root, b.pair) {
			failed = failed || err != nil
		}
		require.True(t, failed, name)
	}
}

func TestDamageDoesNotHideTheRest(t *testing.T) {
	s := newStore()
	m := flat(1000)
	root := m.save(t, s)
	n, err := decodeDirNode(s.chunks[root.Meta.ID])
	require.NoError(t, err)
	require.Positive(t, n.level)
	lost := n.children[1]
	delete(s.chunks, lost.pair.Meta.ID)

	seen, errs := 0, 0
	require.NoError(t, Walk(t.Context(), s, root, func(path string, n *Node, err error) error {
		if err != nil {
			var typed *Error
			require.ErrorAs(t, err, &typed)
			require.Equal(t, "", typed.Path)
			require.NotErrorIs(t, err, fs.ErrNotExist)
			errs++
			return nil
		}
		seen++
		return nil
	}))
	require.Equal(t, 1, errs)
	require.Equal(t, 1000-int(lost.entries), seen)

	_, err = OpenDir(s, root).Lookup(t.Context(), lost.last)
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist, "a lost node does not mean that the file is not there")
	_, err = Resolve(t.Context(), s, root, lost.last)
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	all := 0
	for err := range Check(t.Context(), s, root, nil) {
		require.Error(t, err)
		all++
	}
	require.Equal(t, 1, all)
}

func TestCheckFindsWrongReferences(t *testing.T) {
	s := newStore()
	inner := leaf(t, s, fifos("x")...)
	other := leaf(t, s, &Node{Type: Directory, Name: "d", Dir: inner})
	wrong := reftree.Pair{Meta: other.Meta, Map: inner.Map} // says nothing of inner
	root := leaf(t, s, &Node{Type: Directory, Name: "a", Dir: wrong}, &Node{Type: Directory, Name: "b", Dir: other})
	var errs []error
	for err := range Check(t.Context(), s, root, nil) {
		errs = append(errs, err)
	}
	require.Len(t, errs, 1)
	var typed *Error
	require.ErrorAs(t, errs[0], &typed)
	require.Equal(t, "a", typed.Path)
	require.ErrorIs(t, errs[0], ErrReferences)
	require.NoError(t, CheckPair(t.Context(), s, root, ""))
	require.ErrorIs(t, CheckPair(t.Context(), s, wrong, "a"), ErrReferences)

	for err := range Check(t.Context(), s, root, func(p reftree.Pair) bool { return p == wrong }) {
		require.NoError(t, err)
	}
}

func TestNestingIsBounded(t *testing.T) {
	s := newStore()
	nest := func(depth int, name string) reftree.Pair {
		p := leaf(t, s)
		for range depth - 1 {
			p = leaf(t, s, &Node{Type: Directory, Name: name, Dir: p})
		}
		return p
	}
	require.Len(t, walkAll(t, s, nest(MaxDepth, "d")), MaxDepth-1)
	require.Len(t, walkAll(t, s, nest(17, strings.Repeat("d", MaxName-1))), 16)
	refusesDepth(t, s, nest(MaxDepth+1, "d"))
	refusesDepth(t, s, nest(18, strings.Repeat("d", MaxName-1)))
}

func refusesDepth(t *testing.T, s *store, p reftree.Pair) {
	var deep error
	require.NoError(t, Walk(t.Context(), s, p, func(_ string, n *Node, err error) error {
		if err != nil {
			deep = err
		}
		return nil
	}))
	require.ErrorIs(t, deep, ErrTooDeep)
	for err := range Check(t.Context(), s, p, nil) {
		require.ErrorIs(t, err, ErrTooDeep)
	}
	var last error
	for _, err := range Diff(t.Context(), s, leaf(t, s), p) {
		last = err
	}
	require.ErrorIs(t, last, ErrTooDeep)
}

func TestWalkControl(t *testing.T) {
	s := newStore()
	m := newModel()
	for _, name := range []string{"a", "b", "c"} {
		m.add(&Node{Type: Directory, Name: name})
		for _, sub := range []string{"1", "2", "3"} {
			m.dirs[name].add(&Node{Type: FIFO, Name: sub})
		}
	}
	root := m.save(t, s)
	stop := errors.New("stop")
	for _, c := range []struct {
		at   string
		give error
		want string
		err  error
	}{
		{"b", fs.SkipDir, "a a/1 a/2 a/3 b c c/1 c/2 c/3 ", nil},
		{"b/1", fs.SkipDir, "a a/1 a/2 a/3 b b/1 c c/1 c/2 c/3 ", nil},
		{"b/1", fs.SkipAll, "a a/1 a/2 a/3 b b/1 ", nil},
		{"a/2", stop, "a a/1 a/2 ", stop},
	} {
		got := ""
		err := Walk(t.Context(), s, root, func(path string, _ *Node, err error) error {
			got += path + " "
			if path == c.at {
				return c.give
			}
			return err
		})
		require.Equal(t, c.want, got)
		require.ErrorIs(t, err, c.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := Walk(ctx, s, root, func(string, *Node, error) error { cancel(); return nil })
	require.ErrorIs(t, err, context.Canceled)

	for path, want := range map[string]error{"a/1/x": ErrNotDirectory, "a/9": fs.ErrNotExist, "..": fs.ErrNotExist, "q/1": fs.ErrNotExist} {
		_, err := Resolve(t.Context(), s, root, path)
		require.ErrorIs(t, err, want, path)
		var typed *Error
		require.ErrorAs(t, err, &typed)
	}
	_, err = Resolve(t.Context(), s, root, "/a//1/")
	require.NoError(t, err)
}
