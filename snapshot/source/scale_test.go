package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// memoryDir is a folder that lives in memory where the system has such, since disks take minutes to make many files.
func memoryDir(t testing.TB) string {
	for _, base := range []string{"/dev/shm", os.TempDir()} {
		if dir, err := os.MkdirTemp(base, "holdfast"); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			return dir
		}
	}
	return t.TempDir()
}

// many makes a folder with n symlinks, which are the quickest to make.
func many(t testing.TB, n int) string {
	dir := memoryDir(t)
	for i := range n {
		// An order that is not that of the names.
		name := fmt.Sprintf("some-mail-box.%07d.example.org", (i*7919+13)%n)
		if err := os.Symlink("x", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestBigFolder(t *testing.T) { checkBigFolder(t, 100_000) }

func TestSoakHugeFolder(t *testing.T) {
	if os.Getenv("SOAKTIME") == "" {
		t.Skip("SOAKTIME is not set: make soak")
	}
	checkBigFolder(t, 2_000_000)
}

// checkBigFolder measures the memory for the names of a folder: 40 bytes each and the name, at most.
func checkBigFolder(t *testing.T, n int) {
	root := many(t, n)
	d := openDir(t, newTree(t, nil), root)
	before := heap()
	names, err := d.Names(bg)
	require.NoError(t, err)
	used := heap() - before
	require.Equal(t, n, names.Len())
	length := len(names.At(0))
	per := float64(used)/float64(n) - float64(length)
	t.Logf("%d names of %d bytes: %.1f bytes each besides", n, length, per)
	require.Less(t, per, 40.0)
	last := ""
	for name := range names.All() {
		if strings.Compare(last, name) >= 0 {
			t.Fatalf("%q does not come after %q", name, last)
		}
		last = name
	}
}

// bigTree is a tree of folders with files, as source code has.
func bigTree(b *testing.B) (string, int) {
	root := memoryDir(b)
	entries := 0
	for i := range 20 {
		for j := range 20 {
			dir := fmt.Sprintf("%s/project%d/package%d", root, i, j)
			require.NoError(b, os.MkdirAll(dir, 0o755))
			entries++
			for k := range 50 {
				require.NoError(b, os.WriteFile(fmt.Sprintf("%s/file%d.go", dir, k), nil, 0o644))
				entries++
			}
		}
		entries++
	}
	return root, entries
}

func BenchmarkWalk(b *testing.B) {
	root, entries := bigTree(b)
	var patterns []string
	for i := range 20 {
		patterns = append(patterns, fmt.Sprintf("*.ext%d", i), fmt.Sprintf("/home/*/dir%d/**/tmp", i))
	}
	filter, err := source.NewFilter(&source.FilterOptions{Exclude: patterns, ExcludeCaches: true, OneFileSystem: true})
	require.NoError(b, err)
	for name, o := range map[string]*source.TreeOptions{
		"all": nil, "no-xattrs": {NoXattrs: true}, "filter": {Filter: filter},
	} {
		b.Run(name, func(b *testing.B) {
			tree, err := source.NewTree(o)
			require.NoError(b, err)
			d := openDir(b, tree, root)
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := source.Walk(bg, d, func(_ *source.Dir, _ *source.Entry, err error) error { n++; return err })
				if err != nil || n != entries {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func BenchmarkNames(b *testing.B) {
	const n = 200_000
	d := openDir(b, newTree(b, nil), many(b, n))
	b.ReportAllocs()
	for b.Loop() {
		names, err := d.Names(bg)
		if err != nil || names.Len() != n {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "names/s")
}

func BenchmarkOpenReadClose(b *testing.B) {
	dir := memoryDir(b)
	write(b, filepath.Join(dir, "f"), "hello")
	d := openDir(b, newTree(b, nil), dir)
	e, err := d.Lstat(bg, "f")
	require.NoError(b, err)
	buf := make([]byte, 5)
	b.ReportAllocs()
	for b.Loop() {
		f, err := d.OpenFile(bg, e)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.ReadAt(buf, 0); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAt(b *testing.B) {
	path := filepath.Join(memoryDir(b), "f")
	require.NoError(b, os.WriteFile(path, make([]byte, 64<<20), 0o600))
	disk, err := source.OpenDisk(bg, path, nil)
	require.NoError(b, err)
	defer disk.Close()
	p := make([]byte, 256<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	off := int64(0)
	for b.Loop() {
		if bad, err := source.ReadFull(bg, disk, p, off); err != nil || len(bad) > 0 {
			b.Fatal(bad, err)
		}
		off = (off + int64(len(p))) % disk.Size()
	}
}
