package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo/reftree"
)

type visited struct {
	path string
	node *Node
}

func walkAll(t testing.TB, l reftree.Loader, root reftree.Pair) (out []visited) {
	require.NoError(t, Walk(t.Context(), l, root, func(path string, n *Node, err error) error {
		require.NoError(t, err)
		out = append(out, visited{path, n})
		return nil
	}))
	return out
}

func TestRandomTrees(t *testing.T) {
	r := newRand(t)
	for i := range 30 {
		m := newModel()
		m.grow(r, 1+i*3, 4)
		s := newStore()
		root := m.save(t, s)
		require.Equal(t, root, m.save(t, newStore()), "the same tree gives the same nodes")
		var want []visited
		m.each("", func(path string, n *Node) {
			want = append(want, visited{path, stored(t, s, n)})
			list, err := LoadXattrs(t.Context(), s, stored(t, s, n))
			require.NoError(t, err)
			require.Equal(t, n.Xattrs, list)
		})
		require.Equal(t, want, walkAll(t, s, root))
		for _, v := range want {
			got, err := Resolve(t.Context(), s, root, v.path)
			require.NoError(t, err)
			require.Equal(t, v.node, got)
		}
		for err := range Check(t.Context(), s, root, nil) {
			require.NoError(t, err)
		}
		checkMarked(t, s, root, want)
	}
}

// checkMarked: the reference tree leads to exactly what the nodes of the file system need.
func checkMarked(t *testing.T, s *store, root reftree.Pair, nodes []visited) {
	got, want := map[reftree.ID]bool{}, map[reftree.ID]bool{}
	roots := map[reftree.ID]bool{} // content maps, which are not there to be entered
	for _, v := range nodes {
		for _, ref := range v.node.appendReferences(nil) {
			switch ref.Kind {
			case reftree.RefContent:
				want[ref.Content.ID], roots[ref.Content.ID] = true, true
			case reftree.RefDirectory:
				want[ref.Pair.Meta.ID], want[ref.Pair.Map.ID] = true, true
			default:
				want[ref.Ref.ID] = true
			}
		}
	}
	load := func(ctx context.Context, id reftree.ID, length uint32) ([]byte, error) {
		return s.Load(ctx, reftree.Map, id, length)
	}
	require.NoError(t, reftree.Walk(t.Context(), load, root, func(c reftree.Class, id reftree.ID, _ uint32) (bool, error) {
		got[id] = true
		return !roots[id], nil
	}))
	for id := range want {
		require.True(t, got[id], "not marked")
		delete(got, id)
	}
	for id := range got { // what is left are nodes of directories
		require.Contains(t, s.chunks, id)
	}
}

func flatName(i int) string { return fmt.Sprintf("file-%07d", i*3) }

func flat(n int) *model {
	m := newModel()
	for i := range n {
		m.add(&Node{Type: File, Name: flatName(i), Mode: 0o644, Links: 1, User: "root", Group: "root", Inode: uint64(i)})
	}
	return m
}

func TestLargeDirectory(t *testing.T) {
	const n = 200_000
	m := flat(n)
	s := newStore()
	root := m.save(t, s)
	require.InDelta(t, 2*n/40, s.added, n/40, "about 40 entries a node")
	rewritten := func(what string) {
		s.added = 0
		next := m.save(t, s)
		require.NotEqual(t, root, next)
		t.Logf("%s: %d nodes", what, s.added)
		require.LessOrEqual(t, s.added, 2*8, what)
	}
	m.nodes[flatName(n/2)].ModTime++
	rewritten("changed")
	m.add(&Node{Type: FIFO, Name: flatName(n/3) + "a"})
	rewritten("added")
	delete(m.nodes, flatName(n/4))
	rewritten("removed")

	d := OpenDir(s, m.save(t, s))
	size, err := d.Len(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, n, size)
	for _, i := range []int{0, 1, 12345, n - 1} {
		s.loads = 0
		got, err := d.Lookup(t.Context(), flatName(i))
		require.NoError(t, err)
		require.Equal(t, m.nodes[flatName(i)], got)
		require.LessOrEqual(t, s.loads, 5)
	}
	for _, name := range []string{flatName(n / 4), "", "a", "zz", flatName(7) + "0"} {
		_, err := d.Lookup(t.Context(), name)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
	s.loads = 0
	for got, err := range d.EntriesFrom(t.Context(), flatName(n/2)+"x") {
		require.NoError(t, err)
		require.Equal(t, flatName(n/2+1), got.Name)
		break
	}
	require.LessOrEqual(t, s.loads, 5)
}

func TestEntriesFrom(t *testing.T) {
	r := newRand(t)
	m := newModel()
	m.grow(r, 400, 1)
	s := newStore()
	d := OpenDir(s, m.save(t, s))
	names := m.names()
	for range 300 {
		from := randomName(r)
		if r.IntN(2) == 0 {
			from = names[r.IntN(len(names))]
		}
		var got []string
		for n, err := range d.EntriesFrom(t.Context(), from) {
			require.NoError(t, err)
			got = append(got, n.Name)
		}
		i, _ := slices.BinarySearch(names, from)
		require.Equal(t, append([]string(nil), names[i:]...), got)
	}
}

func TestEmptyDirectory(t *testing.T) {
	s := newStore()
	root := newModel().save(t, s)
	require.Equal(t, []byte{2, 0, 0}, s.chunks[root.Meta.ID])
	require.Equal(t, []byte{3, 0}, s.chunks[root.Map.ID])
	require.Empty(t, walkAll(t, s, root))
	_, err := OpenDir(s, root).Lookup(t.Context(), "a")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, CheckPair(t.Context(), s, root, ""))
	n, err := Resolve(t.Context(), s, root, "//")
	require.NoError(t, err)
	require.Equal(t, &Node{Type: Directory, Dir: root}, n)
}

// forgetful saves nothing.
type forgetful struct{ n uint64 }

func (f *forgetful) Save(context.Context, reftree.Class, []byte) (reftree.ID, error) {
	f.n++
	return reftree.ID{byte(f.n), byte(f.n >> 8), byte(f.n >> 16)}, nil
}

func TestBuilderMemory(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	b := NewDirBuilder(&forgetful{})
	for i := range 500_000 {
		if err := b.Add(t.Context(), &Node{Type: File, Name: flatName(i), User: "root"}); err != nil {
			t.Fatal(err)
		}
	}
	used := heap() - before
	_, err := b.Finish(t.Context())
	require.NoError(t, err)
	t.Logf("%d bytes held", used)
	require.Less(t, used, int64(1<<20))
}

func TestLargeEntriesEndNodes(t *testing.T) {
	s := newStore()
	m := newModel()
	for i := range 300 {
		m.add(&Node{Type: Symlink, Name: fmt.Sprintf("%0500d", i), Target: strings.Repeat("t", 60000)})
	}
	root := m.save(t, s)
	require.Len(t, walkAll(t, s, root), 300)
	for _, p := range s.chunks {
		require.Less(t, len(p), 2*maxNodeSize)
	}
}

func TestDirBuilderErrors(t *testing.T) {
	ctx := t.Context()
	file := func(name string) *Node { return &Node{Type: File, Name: name} }
	for _, names := range [][2]string{{"b", "a"}, {"a", "a"}, {"\xff", "a"}} {
		b := NewDirBuilder(newStore())
		require.NoError(t, b.Add(ctx, file(names[0])))
		require.ErrorIs(t, b.Add(ctx, file(names[1])), ErrOrder)
		require.ErrorIs(t, b.Add(ctx, file("z")), ErrOrder)
		_, err := b.Finish(ctx)
		require.ErrorIs(t, err, ErrOrder)
	}
	full := errors.New("disk full")
	s := newStore()
	s.fail = full
	b := NewDirBuilder(s)
	_, err := b.Finish(ctx)
	require.ErrorIs(t, err, full)
	b = NewDirBuilder(s)
	big := file("a")
	big.Xattrs = []Xattr{{Name: "user.x", Value: strings.Repeat("x", 5000)}}
	require.ErrorIs(t, b.Add(ctx, big), full)
	big.Xattrs[0].Value = strings.Repeat("x", MaxXattrs)
	require.ErrorIs(t, NewDirBuilder(newStore()).Add(ctx, big), reftree.ErrFormat)
	b = NewDirBuilder(newStore())
	_, err = b.Finish(ctx)
	require.NoError(t, err)
	_, err = b.Finish(ctx)
	require.ErrorIs(t, err, ErrFinished)
	require.ErrorIs(t, b.Add(ctx, file("a")), ErrFinished)
}

func BenchmarkDirBuilder(b *testing.B) {
	names := make([]string, 1<<16)
	for i := range names {
		names[i] = flatName(i)
	}
	n := &Node{Type: File, User: "root", Group: "root"}
	b.ReportAllocs()
	for i := 0; b.Loop(); {
		d := NewDirBuilder(&forgetful{})
		for _, n.Name = range names {
			if err := d.Add(b.Context(), n); err != nil {
				b.Fatal(err)
			}
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(names)), "ns/entry")
}

func BenchmarkEntries(b *testing.B) {
	s := newStore()
	m := flat(1 << 14)
	root := m.save(b, s)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range OpenDir(s, root).Entries(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<14), "ns/entry")
}
