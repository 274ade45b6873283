package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// rawNames are names that io/fs cannot show as they are, and such as look like escaped ones.
var rawNames = []string{"caf\xe9.txt", "\xff", "back\\slash", "%{E9}", "100%", "a%20b", "new\nline", "ümläut"}

// fixture is a folder with some of everything, and a snapshot of it.
type fixture struct {
	dir   string // where it was, without the leading slash: its place in the snapshot
	repo  *repo.Repository
	m     *snapshot.Manifest
	tree  *snapshot.Tree
	files map[string][]byte // by raw path below dir
}

const bigDir = 60

func newFixture(t testing.TB) *fixture { return newFixtureOf(t, 100<<10) }

// newFixtureOf makes a fixture whose largest files have about size bytes.
func newFixtureOf(t testing.TB, size int) *fixture {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	dir := t.TempDir()
	f := &fixture{dir: strings.TrimPrefix(filepath.ToSlash(dir), "/"), files: map[string][]byte{
		"empty": {}, "small": []byte("hello"), "a/b/c/deep": random(rng, size), "holes": append(make([]byte, size), "end"...),
	}}
	for i := range bigDir {
		f.files[fmt.Sprintf("many/%03d", i)] = fmt.Append(nil, i)
	}
	for _, name := range rawNames {
		f.files["raw/"+name+"/"+name] = []byte(name)
	}
	for name, b := range f.files {
		write(t, filepath.Join(dir, name), b)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "nothing"), 0o700))
	require.NoError(t, os.Chmod(filepath.Join(dir, "small"), 0o751|fs.ModeSetuid))
	require.NoError(t, os.Chmod(filepath.Join(dir, "many"), 0o777|fs.ModeSticky))
	for name, target := range map[string]string{
		"to-file": "small", "to-dir": "a/b", "a/up": "../../../../../../../../../../../" + f.dir + "/small", "absolute": dir + "/a/b/c/deep",
		"chain": "a/../to-dir/../up", "dangling": "not/here", "outside": "/proc/mounts", "loop": "loop", "raw/to\xfe": "\xff/\xff",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	f.repo = newRepo(t)
	disk := &memImage{Reader: bytes.NewReader(random(rng, size))}
	m, err := snapshot.Backup(t.Context(), f.repo, []snapshot.Item{files(t, dir), snapshot.Disk("/images/disk", disk, nil, true)}, nil)
	require.NoError(t, err)
	require.True(t, m.Complete)
	f.m = m
	f.tree, err = snapshot.OpenTree(t.Context(), f.repo, m.ID)
	require.NoError(t, err)
	return f
}

// memImage is an image in memory, a range of which may be unreadable.
type memImage struct {
	*bytes.Reader
	bad, badEnd int64
}

var errBad = errors.New("medium error")

func (m *memImage) ReadAt(p []byte, off int64) (int, error) {
	if off < m.badEnd && off+int64(len(p)) > m.bad {
		return 0, errBad
	}
	return m.Reader.ReadAt(p, off)
}

func (m *memImage) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) {
		if n = min(n, m.Size()-off); n > 0 {
			yield(source.Extent{Off: off, Len: n}, nil)
		}
	}
}

func (*memImage) Changed() error { return nil }
func (*memImage) Close() error   { return nil }

func TestOpenTree(t *testing.T) {
	f := newFixture(t)
	require.Equal(t, f.m.ID, f.tree.Manifest().ID)
	for name, want := range f.files {
		img, err := f.tree.Open("/" + f.dir + "//" + name)
		require.NoError(t, err, name)
		b, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, b), name)
	}
	n, err := f.tree.Lookup(f.dir + "/outside")
	require.NoError(t, err)
	require.Equal(t, "/proc/mounts", n.Target)
	root, err := f.tree.Lookup("/")
	require.NoError(t, err)
	require.Equal(t, tree.Directory, root.Type)
	require.Equal(t, f.m.Root, root.Dir)
	disk, err := f.tree.Lookup("images/disk")
	require.NoError(t, err)
	require.Equal(t, tree.Image, disk.Type)
	attributes, err := f.tree.Xattrs(disk)
	require.NoError(t, err)
	require.Empty(t, attributes)
}

func TestOpenTreeErrors(t *testing.T) {
	f := newFixture(t)
	_, err := snapshot.OpenTree(t.Context(), f.repo, repo.ID{1})
	require.ErrorIs(t, err, repo.ErrNotFound)
	_, err = f.tree.Open(f.dir + "/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	var te *tree.Error
	require.ErrorAs(t, err, &te)
	require.Equal(t, f.dir+"/none", te.Path)
	_, err = f.tree.Open(f.dir + "/small/x")
	require.ErrorIs(t, err, tree.ErrNotDirectory)
	for _, name := range []string{"", f.dir, f.dir + "/to-file"} {
		_, err = f.tree.Open(name)
		require.ErrorIs(t, err, snapshot.ErrNotFile, name)
	}
	for _, err := range f.tree.Entries(f.dir + "/small") {
		require.ErrorIs(t, err, tree.ErrNotDirectory)
	}
	require.ErrorIs(t, f.tree.Walk("none", nil), fs.ErrNotExist)

	ctx, cancel := context.WithCancel(t.Context())
	other := f.tree.WithContext(ctx)
	cancel()
	_, err = other.Lookup(f.dir)
	require.ErrorIs(t, err, context.Canceled)
	_, err = fs.Stat(other.FS(), f.dir)
	require.ErrorIs(t, err, context.Canceled)
	_, err = fs.ReadDir(other.FS(), ".")
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.tree.Lookup(f.dir)
	require.NoError(t, err)
}

func TestTreeEntriesAndWalk(t *testing.T) {
	f := newFixture(t)
	var names []string
	for n, err := range f.tree.Entries(f.dir + "/many/") {
		require.NoError(t, err)
		names = append(names, n.Name)
		if len(names) == bigDir/2 {
			break
		}
	}
	require.Equal(t, "000", names[0])
	require.Len(t, names, bigDir/2)

	walk := func(root, below string) {
		found := 0
		require.NoError(t, f.tree.Walk(root, func(p string, n *tree.Node, err error) error {
			require.NoError(t, err)
			require.Equal(t, path.Base(p), n.Name)
			if name, ok := strings.CutPrefix(p, f.dir+"/"); ok && n.Type == tree.File {
				want, ok := f.files[name]
				require.True(t, ok, name)
				require.EqualValues(t, len(want), n.Content.Size)
				found++
			}
			return nil
		}))
		want := 0
		for name := range f.files {
			if strings.HasPrefix(name, below) {
				want++
			}
		}
		require.Equal(t, want, found)
	}
	walk("", "")
	walk("//"+f.dir, "")
	walk(f.dir+"/raw/", "raw/")
}

func TestUnreadRange(t *testing.T) {
	r := newRepo(t)
	data := random(rand.New(rand.NewPCG(8, 8)), 2<<20)
	const bad, badEnd = 700 << 10, 708 << 10
	image := &memImage{Reader: bytes.NewReader(data), bad: bad, badEnd: badEnd}
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{snapshot.Disk("/disk", image, nil, false)}, nil)
	require.NoError(t, err)
	require.False(t, m.Complete)
	tr, err := snapshot.OpenTree(t.Context(), r, m.ID)
	require.NoError(t, err)

	check := func(got []byte, err error) {
		t.Helper()
		var unread *snapshot.UnreadError
		require.ErrorAs(t, err, &unread)
		require.LessOrEqual(t, unread.Offset, int64(bad))
		require.GreaterOrEqual(t, unread.Offset+unread.Length, int64(bad+1))
		require.Len(t, got, int(unread.Offset))
		require.True(t, bytes.Equal(data[:len(got)], got))
	}
	check(fs.ReadFile(tr.FS(), "disk"))
	file, err := tr.FS().Open("disk")
	require.NoError(t, err)
	defer file.Close()
	check(io.ReadAll(file))
	b := make([]byte, len(data))
	n, err := file.(io.ReaderAt).ReadAt(b, 0)
	check(b[:n], err)

	_, err = file.(io.Seeker).Seek(badEnd+64<<10, io.SeekStart)
	require.NoError(t, err)
	rest, err := io.ReadAll(file)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data[badEnd+64<<10:], rest))
}

func TestTreeSurvivesForeignTimes(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "old"), []byte("x"))
	want := time.Date(1955, 3, 4, 5, 6, 7, 8, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "old"), want, want))
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{Time: want})
	require.NoError(t, err)
	tr, err := snapshot.OpenTree(t.Context(), r, m.ID)
	require.NoError(t, err)
	info, err := fs.Stat(tr.FS(), ".")
	require.NoError(t, err)
	require.Equal(t, want, info.ModTime())
	info, err = fs.Stat(tr.FS(), strings.TrimPrefix(filepath.ToSlash(dir), "/")+"/old")
	require.NoError(t, err)
	require.Equal(t, want, info.ModTime())
}
