package tree

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

// modelDiff does what Diff does, from the models.
func modelDiff(t testing.TB, s *store, path string, a, b *model) (out []Change) {
	names := map[string]bool{}
	for name := range a.nodes {
		names[name] = true
	}
	for name := range b.nodes {
		names[name] = true
	}
	all := newModel()
	for name := range names {
		all.nodes[name] = nil
	}
	for _, name := range all.names() {
		c := Change{Path: join(path, name), Kind: Modified}
		if n := a.nodes[name]; n != nil {
			c.A = stored(t, s, n)
		}
		if n := b.nodes[name]; n != nil {
			c.B = stored(t, s, n)
		}
		switch {
		case c.A == nil:
			c.Kind = Added
		case c.B == nil:
			c.Kind = Removed
		default:
			c.Aspect = compare(c.A, c.B)
		}
		if c.Kind != Modified || c.Aspect != 0 {
			out = append(out, c)
		}
		da, db := a.dirs[name], b.dirs[name]
		if da == nil {
			da = newModel()
		}
		if db == nil {
			db = newModel()
		}
		out = append(out, modelDiff(t, s, c.Path, da, db)...)
	}
	return out
}

// edit makes a few changes anywhere in a tree.
func (m *model) edit(r *rand.Rand, changes int) {
	names := m.names()
	for range changes {
		if len(names) == 0 || r.IntN(4) == 0 {
			m.add(randomNode(r, randomName(r)))
			continue
		}
		name := names[r.IntN(len(names))]
		n := m.nodes[name]
		switch {
		case n == nil:
		case m.dirs[name] != nil && r.IntN(3) > 0:
			m.dirs[name].edit(r, 2)
		case r.IntN(3) == 0:
			delete(m.nodes, name)
			delete(m.dirs, name)
		case r.IntN(3) == 0:
			m.add(randomNode(r, name))
		default:
			n.Mode ^= 1
			n.AccessTime++
		}
	}
}

func TestDiffIsTheModel(t *testing.T) {
	r := newRand(t)
	for i := range 40 {
		s := newStore()
		a := newModel()
		a.grow(r, 1+i*3, 3)
		b := a.clone()
		b.edit(r, r.IntN(10))
		if i%10 == 0 {
			b = newModel()
			b.grow(r, 1+i*3, 3)
		}
		pa, pb := a.save(t, s), b.save(t, s)
		var got []Change
		for c, err := range Diff(t.Context(), s, pa, pb) {
			require.NoError(t, err)
			got = append(got, c)
		}
		require.Equal(t, modelDiff(t, s, "", a, b), got)
		for range Diff(t.Context(), s, pa, pb) {
			break
		}
	}
}

func TestDiffReadsLittle(t *testing.T) {
	s := newStore()
	m := flat(20_000)
	m.add(&Node{Type: Directory, Name: "sub"})
	m.dirs["sub"] = flat(3000)
	before := m.save(t, s)
	s.loads = 0
	for range Diff(t.Context(), s, before, before) {
		t.Fatal("a change where there is none")
	}
	require.Zero(t, s.loads)
	m.nodes[flatName(7000)].Inode++
	delete(m.nodes, flatName(9000))
	m.add(&Node{Type: FIFO, Name: flatName(11000) + "x"})
	after := m.save(t, s)
	s.loads = 0
	var got []Change
	for c, err := range Diff(t.Context(), s, before, after) {
		require.NoError(t, err)
		got = append(got, c)
	}
	require.Len(t, got, 3)
	require.Equal(t, "modified removed added", got[0].Kind.String()+" "+got[1].Kind.String()+" "+got[2].Kind.String())
	require.Equal(t, StatusChanged, got[0].Aspect)
	t.Logf("%d loads", s.loads)
	require.LessOrEqual(t, s.loads, 3*2*8)
}

func TestAspects(t *testing.T) {
	base := Node{Type: File, Name: "a"}
	for want, change := range map[Aspect]func(n *Node){
		0:               func(n *Node) {},
		TypeChanged:     func(n *Node) { n.Type = FIFO },
		ContentChanged:  func(n *Node) { n.Content.Size = 1 },
		MetadataChanged: func(n *Node) { n.Xattrs = []Xattr{{Name: "a"}} },
		StatusChanged:   func(n *Node) { n.Flags = Racy },
	} {
		n := base
		change(&n)
		require.Equal(t, want, compare(&base, &n))
		require.Equal(t, want, compare(&n, &base))
	}
	dir := base
	dir.Dir = reftree.Pair{Meta: reftree.Ref{Length: 1}}
	require.Zero(t, compare(&base, &dir))
}
