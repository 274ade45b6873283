package restore_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// item is a node with what it contains.
type item struct {
	tree.Node
	data  []byte
	bad   []span
	below []*item
}

const testTime int64 = 1_600_000_000_123_456_789

func common(name string, typ tree.Type, mode uint32) tree.Node {
	return tree.Node{
		Name: name, Type: typ, Mode: mode, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), ModTime: testTime, AccessTime: testTime - 5e9, Links: 1,
	}
}

func dir(name string, below ...*item) *item {
	return &item{Node: common(name, tree.Directory, 0o755), below: below}
}

func file(name string, data []byte) *item {
	return &item{Node: common(name, tree.File, 0o644), data: data}
}

func text(name, s string) *item { return file(name, []byte(s)) }

func symlink(name, target string) *item {
	it := &item{Node: common(name, tree.Symlink, 0o777)}
	it.Target = target
	return it
}

// linked gives items one inode.
func linked(inode uint64, items ...*item) []*item {
	for _, it := range items {
		it.Device, it.Inode, it.Links = 7, inode, uint32(len(items))
	}
	return items
}

func (it *item) with(change func(n *tree.Node)) *item {
	change(&it.Node)
	return it
}

// saveTree stores items as a directory.
func (b *bench) saveTree(items []*item) repo.Pair {
	b.t.Helper()
	items = slices.Clone(items)
	slices.SortFunc(items, func(x, y *item) int { return strings.Compare(x.Name, y.Name) })
	d := tree.NewDirBuilder(b.session)
	for _, it := range items {
		switch {
		case it.Type == tree.Directory:
			it.Dir = b.saveTree(it.below)
		case it.Type.HasContent():
			it.Content = b.save(it.data, it.bad...)
		}
		require.NoError(b.t, d.Add(b.t.Context(), &it.Node))
	}
	p, err := d.Finish(b.t.Context())
	require.NoError(b.t, err)
	return p
}

// stored makes a repository with one tree.
func stored(t testing.TB, items ...*item) (*bench, *repo.Repository, repo.Pair) {
	t.Helper()
	b := newBench(t, small)
	root := b.saveTree(items)
	return b, b.commitTree(root), root
}

// events gathers what is reported, by path.
type events struct {
	mu   sync.Mutex
	list map[string][]restore.Event
}

func (e *events) report(ev restore.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.list == nil {
		e.list = map[string][]restore.Event{}
	}
	e.list[ev.Path] = append(e.list[ev.Path], ev)
}

// kinds returns the kinds of events of a path.
func (e *events) kinds(path string) (kinds []restore.EventKind) {
	for _, ev := range e.list[path] {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}

// paths returns the paths that have an event of a kind, sorted.
func (e *events) paths(kind restore.EventKind) (paths []string) {
	for p, list := range e.list {
		for _, ev := range list {
			if ev.Kind == kind {
				paths = append(paths, p)
			}
		}
	}
	slices.Sort(paths)
	return paths
}

// restoreTree restores without an error.
func restoreTree(t testing.TB, r *repo.Repository, root repo.Pair, dir string, o *restore.TreeOptions) *restore.Stats {
	t.Helper()
	stats, err := restore.Tree(t.Context(), r, root, dir, o)
	require.NoError(t, err)
	return stats
}

// requireTree compares a folder with items: names, types, contents and common attributes.
func requireTree(t testing.TB, path string, items []*item) {
	t.Helper()
	list, err := os.ReadDir(path)
	require.NoError(t, err)
	var have, want []string
	for _, e := range list {
		have = append(have, e.Name())
	}
	for _, it := range items {
		want = append(want, it.Name)
	}
	slices.Sort(want)
	slices.Sort(have)
	require.Equal(t, want, have, path)
	for _, it := range items {
		requireItem(t, filepath.Join(path, it.Name), it)
	}
}

func requireItem(t testing.TB, path string, it *item) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	requireAttributes(t, path, info, &it.Node)
	switch it.Type {
	case tree.File, tree.Image:
		require.True(t, info.Mode().IsRegular())
		requireFile(t, path, it.data)
	case tree.Directory:
		require.True(t, info.IsDir())
		requireTree(t, path, it.below)
	case tree.Symlink:
		target, err := os.Readlink(path)
		require.NoError(t, err)
		require.Equal(t, it.Target, target)
	}
	if it.Type != tree.Directory { // reading folders changes nothing that was compared before
		require.Equal(t, it.ModTime, info.ModTime().UnixNano(), path)
	}
}

// sample is a tree of many kinds of things.
func sample(t testing.TB) []*item {
	rng := newRand(t)
	big := randomImage(rng, 2<<20)
	many := dir("many")
	for i := range 300 {
		many.below = append(many.below, file("f"+strings.Repeat("x", i%50)+string(rune('a'+i%26))+string(rune('A'+i/26)), randomBytes(rng, rng.IntN(9000))))
	}
	hard := linked(99, text("hard1", "one inode"), text("hard2", "one inode"))
	return []*item{
		text("a", "hello"), file("empty", nil), file("big", big), file("bigger", append(slices.Clone(big), 1)), file("hole", make([]byte, 1<<20)),
		dir("d", text("x", "x"), dir("empty"), symlink("up", "../a"), hard[0]), hard[1], many,
		symlink("dangling", "/nowhere/at/all"), text("name\xff\xfe\n", "not UTF-8"),
		text("read-only", "r").with(func(n *tree.Node) { n.Mode = 0o400 }),
		dir("closed", dir("more", text("f", "f")), text("g", "g")).with(func(n *tree.Node) { n.Mode = 0o500 }),
	}
}

func TestTree(t *testing.T) {
	items := sample(t)
	_, r, root := stored(t, items...)
	path := filepath.Join(t.TempDir(), "new", "target")
	t.Cleanup(func() { makeWritable(path) })
	var last restore.Progress
	var ev events
	o := &restore.TreeOptions{Options: restore.Options{Verify: true, Report: ev.report, Progress: func(p restore.Progress) { last = p }}}
	stats := restoreTree(t, r, root, path, o)
	requireTree(t, path, items)
	require.EqualValues(t, 312, stats.Files)
	require.EqualValues(t, 5, stats.Folders)
	require.EqualValues(t, 2, stats.Others)
	require.Equal(t, last.BytesTotal, last.Bytes)
	require.Equal(t, last.FilesTotal, last.Files)
	require.Equal(t, stats.Bytes-int64(len("one inode")), stats.Verified)
	require.Empty(t, ev.paths(restore.EventError))
	require.Empty(t, ev.paths(restore.EventNote))
	require.Contains(t, ev.paths(restore.EventRestored), "/d/x")
	require.Contains(t, ev.paths(restore.EventRestored), "/d/")

	// Once more: all is there.
	ev = events{}
	stats = restoreTree(t, r, root, path, o)
	requireTree(t, path, items)
	require.LessOrEqual(t, stats.Written, int64(len("one inode")), "only what has further names is made anew")
	require.Contains(t, ev.paths(restore.EventUnchanged), "/d/x")

	// Some of it changed.
	require.NoError(t, os.WriteFile(filepath.Join(path, "a"), []byte("other and longer"), 0o600))
	require.NoError(t, os.Remove(filepath.Join(path, "d", "x")))
	require.NoError(t, os.Remove(filepath.Join(path, "d", "up")))
	require.NoError(t, os.Symlink("elsewhere", filepath.Join(path, "d", "up")))
	ev = events{}
	restoreTree(t, r, root, path, o)
	requireTree(t, path, items)
	require.Equal(t, []restore.EventKind{restore.EventUpdated}, ev.kinds("/a"))
	require.Equal(t, []restore.EventKind{restore.EventRestored}, ev.kinds("/d/x"))
	require.Equal(t, []restore.EventKind{restore.EventUpdated}, ev.kinds("/d/up"))
	require.Equal(t, []restore.EventKind{restore.EventUnchanged}, ev.kinds("/big"))
}

// makeWritable lets a test of an ordinary user clean up.
func makeWritable(path string) {
	_ = filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
}

func TestHardLinks(t *testing.T) {
	items := append(linked(5, text("a", "x"), text("b", "x"), text("z", "x")), linked(6, symlink("s1", "t"), symlink("s2", "t"))...)
	odd := linked(8, text("o1", "x"), text("o2", "different"))
	items = append(append(items, odd...), dir("d", linked(9, text("only", "one of two"))...))
	items[len(items)-1].below[0].Links = 2
	_, r, root := stored(t, items...)
	path := t.TempDir()
	for range 2 {
		restoreTree(t, r, root, path, nil)
		requireTree(t, path, items)
		same := func(a, b string) bool {
			x, err := os.Lstat(filepath.Join(path, a))
			require.NoError(t, err)
			y, err := os.Lstat(filepath.Join(path, b))
			require.NoError(t, err)
			return os.SameFile(x, y)
		}
		require.True(t, same("a", "b"))
		require.True(t, same("a", "z"))
		require.True(t, same("s1", "s2"))
		require.False(t, same("o1", "o2"), "they differ, whatever the inode")
	}
}

func TestOverwrite(t *testing.T) {
	old, newer := time.Unix(1_500_000_000, 0), time.Unix(1_700_000_000, 0)
	write := func(path, s string, when time.Time) {
		require.NoError(t, os.WriteFile(path, []byte(s), 0o600))
		require.NoError(t, os.Chtimes(path, when, when))
	}
	for _, c := range []struct {
		o                       restore.Overwrite
		older, newer, lookalike string
	}{
		{restore.OverwriteAlways, "stored", "stored", "stored"},
		{restore.OverwriteIfChanged, "stored", "stored", "STORED"},
		{restore.OverwriteIfNewer, "stored", "newer", "STORED"},
		{restore.OverwriteNever, "older", "newer", "STORED"},
	} {
		t.Run(c.o.String(), func(t *testing.T) {
			o, err := restore.ParseOverwrite(c.o.String())
			require.NoError(t, err)
			require.Equal(t, c.o, o)
			items := []*item{text("older", "stored"), text("newer", "stored"), text("lookalike", "stored"), text("missing", "stored"), dir("d", text("f", "stored"))}
			_, r, root := stored(t, items...)
			path := t.TempDir()
			write(filepath.Join(path, "older"), "older", old)
			write(filepath.Join(path, "newer"), "newer", newer)
			write(filepath.Join(path, "lookalike"), "STORED", time.Unix(0, testTime))
			require.NoError(t, os.Mkdir(filepath.Join(path, "d"), 0o711))
			stats := restoreTree(t, r, root, path, &restore.TreeOptions{Overwrite: c.o})
			for name, want := range map[string]string{"older": c.older, "newer": c.newer, "lookalike": c.lookalike, "missing": "stored", "d/f": "stored"} {
				requireFile(t, filepath.Join(path, name), []byte(want))
			}
			info, err := os.Stat(filepath.Join(path, "d"))
			require.NoError(t, err)
			kept := c.o == restore.OverwriteNever || c.o == restore.OverwriteIfNewer
			require.Equal(t, kept, info.Mode().Perm() == 0o711)
			require.EqualValues(t, 5, stats.Files+stats.Skipped)
		})
	}
	_, err := restore.ParseOverwrite("sometimes")
	require.Error(t, err)
}

// TestOtherTypes puts things of other types in the way.
func TestOtherTypes(t *testing.T) {
	items := []*item{text("file", "f"), dir("dir", text("x", "x")), symlink("link", "t"), text("full", "f")}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.Mkdir(outside, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(outside, "x"), []byte("mine"), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(outside, "x"), filepath.Join(path, "file")))
	require.NoError(t, os.Symlink(outside, filepath.Join(path, "dir")))
	require.NoError(t, os.Mkdir(filepath.Join(path, "link"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(path, "full", "of", "things"), 0o700))
	_, err := restore.Tree(t.Context(), r, root, path, nil)
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.Len(t, inc.Failures, 1)
	require.ErrorContains(t, inc.Failures[0], "/full")
	require.DirExists(t, filepath.Join(path, "full", "of"))
	requireFile(t, filepath.Join(outside, "x"), []byte("mine"))
	restoreTree(t, r, root, path, &restore.TreeOptions{Delete: true})
	requireTree(t, path, items)
	requireFile(t, filepath.Join(outside, "x"), []byte("mine"))
}

// TestFurtherNames makes sure that a file in the way that has other names is replaced, not written to.
func TestFurtherNames(t *testing.T) {
	items := []*item{text("file", "new")}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.WriteFile(outside, []byte("old"), 0o640))
	require.NoError(t, os.Link(outside, filepath.Join(path, "file")))
	restoreTree(t, r, root, path, nil)
	requireTree(t, path, items)
	requireFile(t, outside, []byte("old"))
	info, err := os.Stat(outside)
	require.NoError(t, err)
	require.EqualValues(t, 0o640, info.Mode().Perm())
}

func TestNode(t *testing.T) {
	items := sample(t)
	_, r, root := stored(t, items...)
	path := t.TempDir()
	for _, name := range []string{"d", "big", "dangling"} {
		n, err := tree.Resolve(t.Context(), r, root, name)
		require.NoError(t, err)
		_, err = restore.Node(t.Context(), r, n, path, &restore.TreeOptions{Delete: true, Options: restore.Options{Verify: true}})
		require.NoError(t, err)
	}
	var want []*item
	for _, it := range items {
		if it.Name == "d" || it.Name == "big" || it.Name == "dangling" {
			want = append(want, it)
		}
	}
	requireTree(t, path, want)
}

// TestManyFiles has more files and folders than may be open at once, whose contents lie in the same segments.
func TestManyFiles(t *testing.T) {
	rng := newRand(t)
	var items []*item
	shared := randomBytes(rng, 20_000)
	for i := range 150 {
		d := dir("d" + string(rune('A'+i/26)) + string(rune('a'+i%26)))
		for k := range 3 {
			data := append(append(slices.Clone(shared), randomBytes(rng, 100)...), shared...)
			d.below = append(d.below, file(string(rune('a'+k)), data))
		}
		items = append(items, d)
	}
	_, r, root := stored(t, items...)
	for _, o := range []restore.Options{{Workers: 4, Verify: true}, manyWindows(restore.Options{Workers: 3, Verify: true}).Options} {
		path := t.TempDir()
		stats := restoreTree(t, r, root, path, &restore.TreeOptions{Options: o})
		require.EqualValues(t, 450, stats.Files)
		requireTree(t, path, items)
	}
}

func TestTreeDamage(t *testing.T) {
	rng := newRand(t)
	items := []*item{
		dir("d", file("one", randomBytes(rng, 3<<20)), file("two", randomBytes(rng, 3<<20)), text("small", "s")),
		{Node: common("unread", tree.File, 0o600), data: randomBytes(rng, 1<<20), bad: []span{{5000, 60_000}}},
	}
	b, r, root := stored(t, items...)
	keys := b.dataPacks()
	b.damage(keys[rng.IntN(len(keys))], "flip")
	path := t.TempDir()
	_, err := restore.Tree(t.Context(), r, root, path, &restore.TreeOptions{Options: restore.Options{Verify: true}})
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.Empty(t, inc.Failures)
	data := map[string][]byte{"/d/one": items[0].below[0].data, "/d/two": items[0].below[1].data, "/unread": items[1].data, "/d/small": []byte("s")}
	for _, d := range inc.Damages {
		clear(data[d.Path][d.Off:][:d.Len])
	}
	require.Positive(t, inc.Lost)
	require.LessOrEqual(t, inc.Lost, int64(1<<20+60_000))
	for name, want := range data {
		requireFile(t, filepath.Join(path, name), want)
	}
	requireItemTimes(t, filepath.Join(path, "d"))
}

func requireItemTimes(t testing.TB, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.EqualValues(t, testTime, info.ModTime().UnixNano(), path)
}

// TestDamagedFolder damages a directory and expects the rest, and that nothing is deleted for what cannot be read.
func TestDamagedFolder(t *testing.T) {
	items := []*item{text("a", "a"), dir("d", text("x", "x"))}
	_, r, root := stored(t, items...)
	path := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(path, "d"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(path, "d", "keep"), []byte("k"), 0o600))
	bad := items[1].Node
	bad.Dir.Meta.ID[0] ^= 1
	_, err := restore.Node(t.Context(), r, &bad, path, &restore.TreeOptions{Delete: true})
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.Len(t, inc.Damages, 1)
	require.Equal(t, "/d/", inc.Damages[0].Path)
	require.ErrorIs(t, err, repo.ErrNotFound)
	require.FileExists(t, filepath.Join(path, "d", "keep"))
	_ = root
}

func BenchmarkTree(b *testing.B) {
	x := newBench(b, repo.Config{})
	rng := newRand(b)
	var items []*item
	for i := range 50 {
		d := dir("d" + string(rune('A'+i/26)) + string(rune('a'+i%26)))
		for k := range 200 {
			d.below = append(d.below, file("file"+string(rune('a'+k/26))+string(rune('a'+k%26)), randomBytes(rng, 1+rng.IntN(8<<10))))
		}
		items = append(items, d)
	}
	root := x.saveTree(items)
	r := x.commitTree(root)
	base := b.TempDir()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		stats := restoreTree(b, r, root, filepath.Join(base, time.Duration(n).String()), nil)
		b.SetBytes(stats.Bytes)
		require.EqualValues(b, 10_000, stats.Files)
	}
	b.ReportMetric(10_000*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
