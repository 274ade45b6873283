package snapshot_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

func (f *fixture) sub(t testing.TB) fs.FS {
	t.Helper()
	sub, err := fs.Sub(f.tree.FS(), f.dir)
	require.NoError(t, err)
	return sub
}

func TestTreeFSConforms(t *testing.T) {
	f := newFixtureOf(t, 3<<10) // TestFS reads every byte apart, several times
	expected := []string{f.dir + "/dangling", f.dir + "/nothing", "images/disk"}
	for name := range f.files {
		expected = append(expected, f.dir+"/"+snapshot.EscapePath(name))
	}
	require.NoError(t, fstest.TestFS(f.tree.FS(), expected...))
}

func TestTreeFSOfEmptyFolder(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	tr, err := snapshot.OpenTree(t.Context(), r, m.ID)
	require.NoError(t, err)
	sub, err := fs.Sub(tr.FS(), strings.TrimPrefix(filepath.ToSlash(dir), "/"))
	require.NoError(t, err)
	require.NoError(t, fstest.TestFS(sub))
}

func TestTreeFSReadsEverything(t *testing.T) {
	f := newFixture(t)
	fsys := f.sub(t)
	found := map[string]bool{}
	require.NoError(t, fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		require.True(t, fs.ValidPath(p), p)
		raw, err := snapshot.UnescapePath(p)
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		if p != "." {
			require.Equal(t, path.Base(raw), info.Sys().(*tree.Node).Name)
		}
		was, err := os.Lstat("/" + f.dir + "/" + raw)
		require.NoError(t, err)
		require.Equal(t, was.Mode(), info.Mode(), p)
		require.True(t, was.ModTime().Equal(info.ModTime()), p)
		if !d.Type().IsRegular() {
			return nil
		}
		require.Equal(t, was.Size(), info.Size(), p)
		found[raw] = true
		b, err := fs.ReadFile(fsys, p)
		require.NoError(t, err)
		require.True(t, bytes.Equal(f.files[raw], b), p)
		return nil
	}))
	require.Len(t, found, len(f.files))
	_, err := fs.Stat(fsys, "raw/caf%{E9}.txt/caf%{E9}.txt")
	require.NoError(t, err)
	b, err := fs.ReadFile(fsys, "raw/%{25}{E9}/%{25}{E9}")
	require.NoError(t, err)
	require.Equal(t, "%{E9}", string(b))
}

func TestTreeFSLinks(t *testing.T) {
	f := newFixture(t)
	fsys := f.sub(t)
	for name, want := range map[string]string{
		"to-file": "small", "absolute": "a/b/c/deep", "a/up": "small", "chain": "small", "to-dir/c/deep": "a/b/c/deep", "raw/to%{FE}": "raw/\xff/\xff",
	} {
		b, err := fs.ReadFile(fsys, name)
		require.NoError(t, err, name)
		require.True(t, bytes.Equal(f.files[want], b), name)
		info, err := fs.Stat(fsys, name)
		require.NoError(t, err)
		require.True(t, info.Mode().IsRegular(), name)
		require.Equal(t, path.Base(name), info.Name())
	}
	list, err := fs.ReadDir(fsys, "to-dir")
	require.NoError(t, err)
	require.Len(t, list, 1)
	target, err := fs.ReadLink(fsys, "raw/to%{FE}")
	require.NoError(t, err)
	require.Equal(t, "%{FF}/%{FF}", target)
	_, err = fs.ReadLink(fsys, "small")
	require.ErrorIs(t, err, fs.ErrInvalid)

	for _, name := range []string{"dangling", "outside", "loop"} {
		info, err := fs.Stat(fsys, name)
		require.NoError(t, err)
		require.Equal(t, fs.ModeSymlink, info.Mode().Type())
		_, err = fs.ReadFile(fsys, name)
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = fs.Stat(fsys, name+"/x")
		require.Error(t, err)
	}
	_, err = fs.Stat(fsys, "dangling/x")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = fs.Stat(fsys, "to-file/x")
	require.ErrorIs(t, err, tree.ErrNotDirectory)
}

func TestTreeFSNames(t *testing.T) {
	f := newFixture(t)
	fsys := f.sub(t)
	for _, name := range []string{"none", "raw/caf\xe9.txt", "raw/back\\slash", "raw/%{E9}", "%{73}mall", "%{2E}", "raw%{2F}100%", "raw/%{ff}"} {
		for op, err := range map[string]error{
			"open": second(fsys.Open(name)), "stat": second(fs.Stat(fsys, name)), "lstat": second(fs.Lstat(fsys, name)),
			"readfile": second(fs.ReadFile(fsys, name)), "readdir": second(fs.ReadDir(fsys, name)), "readlink": second(fs.ReadLink(fsys, name)),
		} {
			want := fs.ErrNotExist
			if !fs.ValidPath(name) {
				want = fs.ErrInvalid
			}
			require.ErrorIs(t, err, want, "%s %q", op, name)
			require.IsType(t, &fs.PathError{}, err)
		}
	}
	require.ErrorIs(t, second(fs.ReadFile(f.tree.FS(), "../x")), fs.ErrInvalid)
	require.Error(t, second(fs.ReadFile(fsys, "many")))
	require.ErrorIs(t, second(fs.ReadDir(fsys, "small")), tree.ErrNotDirectory)
}

func second[T any](_ T, err error) error { return err }

func TestTreeFSFile(t *testing.T) {
	f := newFixture(t)
	want := f.files["a/b/c/deep"]
	file, err := f.sub(t).Open("a/b/c/deep")
	require.NoError(t, err)
	at, seeker := file.(io.ReaderAt), file.(io.Seeker)
	b := make([]byte, 10)
	for _, off := range []int64{int64(len(want)), math.MaxInt64} {
		n, err := at.ReadAt(b, off)
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
	n, err := at.ReadAt(b, int64(len(want))-4)
	require.Equal(t, 4, n)
	require.Equal(t, io.EOF, err)
	_, err = at.ReadAt(b, -1)
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = seeker.Seek(-1, io.SeekStart)
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = seeker.Seek(math.MaxInt64, io.SeekEnd)
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = seeker.Seek(0, 3)
	require.ErrorIs(t, err, fs.ErrInvalid)
	pos, err := seeker.Seek(-5, io.SeekEnd)
	require.NoError(t, err)
	require.EqualValues(t, len(want)-5, pos)
	rest, err := io.ReadAll(file)
	require.NoError(t, err)
	require.Equal(t, want[len(want)-5:], rest)

	require.NoError(t, file.Close())
	_, err = file.Read(b)
	require.ErrorIs(t, err, fs.ErrClosed)
	_, err = at.ReadAt(b, 0)
	require.ErrorIs(t, err, fs.ErrClosed)
	require.ErrorIs(t, second(file.Stat()), fs.ErrClosed)
	require.ErrorIs(t, file.Close(), fs.ErrClosed)
}

func TestTreeFSStreamsDirectories(t *testing.T) {
	f := newFixture(t)
	file, err := f.sub(t).Open("many")
	require.NoError(t, err)
	dir := file.(fs.ReadDirFile)
	_, err = dir.Read(make([]byte, 1))
	require.Error(t, err)
	var names []string
	for {
		list, err := dir.ReadDir(7)
		if err == io.EOF {
			require.Empty(t, list)
			break
		}
		require.NoError(t, err)
		require.LessOrEqual(t, len(list), 7)
		for _, d := range list {
			names = append(names, d.Name())
		}
	}
	require.Len(t, names, bigDir)
	require.Equal(t, fmt.Sprintf("%03d", bigDir-1), names[bigDir-1])
	require.NoError(t, dir.Close())
	_, err = dir.ReadDir(1)
	require.ErrorIs(t, err, fs.ErrClosed)

	half, err := f.sub(t).Open("many")
	require.NoError(t, err)
	_, err = half.(fs.ReadDirFile).ReadDir(1)
	require.NoError(t, err)
	require.NoError(t, half.Close())
}

func TestTreeFSCopies(t *testing.T) {
	f := newFixture(t)
	sub, err := fs.Sub(f.sub(t), "raw")
	require.NoError(t, err)
	out := t.TempDir()
	require.NoError(t, os.CopyFS(out, sub))
	for _, name := range rawNames {
		shown := snapshot.EscapePath(name)
		b, err := os.ReadFile(filepath.Join(out, shown, shown))
		require.NoError(t, err)
		require.Equal(t, name, string(b))
	}
	b, err := os.ReadFile(filepath.Join(out, "to%{FE}"))
	require.NoError(t, err, "the target of a symlink is escaped as the name it leads to")
	require.Equal(t, "\xff", string(b))
}

// TestTreeFSDamagedDirectory damages each pack at several places: what is left of a folder is listed beside the error.
func TestTreeFSDamagedDirectory(t *testing.T) {
	const entries = 700
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(9, 9))
	for range entries { // long names, so that the folder fills several segments
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%x", random(rng, 120))), nil, 0o644))
	}
	_, key := crypto.NewKeyFile()
	store := mem.New(nil)
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	require.NoError(t, r.Close())

	partial := 0
	damageEach(t, store, func() {
		r, err := repo.Open(t.Context(), store, &repo.Options{Credential: key})
		require.NoError(t, err)
		defer r.Close()
		tr, err := snapshot.OpenTree(t.Context(), r, m.ID)
		require.NoError(t, err)
		sub, err := fs.Sub(tr.FS(), strings.TrimPrefix(filepath.ToSlash(dir), "/"))
		require.NoError(t, err)
		list, err := fs.ReadDir(sub, ".")
		if err == nil {
			require.Len(t, list, entries)
			return
		}
		var corrupt *repo.CorruptError
		require.ErrorAs(t, err, &corrupt)
		require.Less(t, len(list), entries)
		if len(list) == 0 {
			return
		}
		partial++
		requireSameInSteps(t, sub, list)
	})
	require.NotZero(t, partial)
}

// damageEach calls fn with one byte of one pack inverted, at sixteen places of each.
func damageEach(t *testing.T, store *mem.Store, fn func()) {
	t.Helper()
	put := func(key string, b []byte) {
		require.NoError(t, store.Put(t.Context(), key, bytes.NewReader(b), int64(len(b)), nil))
	}
	var keys []string
	for info, err := range store.List(t.Context(), "packs/") {
		require.NoError(t, err)
		keys = append(keys, info.Key)
	}
	for _, key := range keys {
		body, err := store.Get(t.Context(), key, 0, -1)
		require.NoError(t, err)
		b, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		for i := range 16 {
			at := len(b) * i / 16
			b[at] ^= 0xff
			put(key, b)
			fn()
			b[at] ^= 0xff
		}
		put(key, b)
	}
}

// requireSameInSteps reads a damaged folder three entries at a time: the errors come in between, and everything else too.
func requireSameInSteps(t *testing.T, fsys fs.FS, want []fs.DirEntry) {
	t.Helper()
	file, err := fsys.Open(".")
	require.NoError(t, err)
	defer file.Close()
	found, failures := 0, 0
	for {
		list, err := file.(fs.ReadDirFile).ReadDir(3)
		found += len(list)
		if err == io.EOF {
			break
		}
		if err != nil {
			failures++
		}
		require.Less(t, failures, 1000)
	}
	require.NotZero(t, failures)
	require.Equal(t, len(want), found)
}

// BenchmarkTreeFSRead reads in the pieces of io.Copy, through a file of the file system and straight from the image.
func BenchmarkTreeFSRead(b *testing.B) {
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(b.Context(), mem.New(nil), &repo.InitOptions{Sealer: key})
	require.NoError(b, err)
	defer r.Close()
	disk := &memImage{Reader: bytes.NewReader(random(rand.New(rand.NewPCG(1, 1)), 16<<20))}
	m, err := snapshot.Backup(b.Context(), r, []snapshot.Item{snapshot.Disk("/disk", disk, nil, false)}, nil)
	require.NoError(b, err)
	tr, err := snapshot.OpenTree(b.Context(), r, m.ID)
	require.NoError(b, err)
	img, err := tr.Open("disk")
	require.NoError(b, err)
	file, err := tr.FS().Open("disk")
	require.NoError(b, err)
	defer file.Close()
	buf := make([]byte, 32<<10)
	for name, from := range map[string]io.ReadSeeker{"file": file.(io.ReadSeeker), "image": io.NewSectionReader(img, 0, img.Size())} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(img.Size())
			b.ReportAllocs()
			for b.Loop() {
				_, err := from.Seek(0, io.SeekStart)
				require.NoError(b, err)
				n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{from}, buf)
				require.NoError(b, err)
				require.Equal(b, img.Size(), n)
			}
		})
	}
}

var linkNames = []string{"a", "b", "c", "d", "e", "f"}

func randomPath(rng *rand.Rand) string {
	var parts []string
	for range 1 + rng.IntN(4) {
		parts = append(parts, append(linkNames, "..", ".", "", "a")[rng.IntN(len(linkNames)+4)])
	}
	return strings.Join(parts, "/")
}

// newLinks makes a folder of random files and symlinks.
func newLinks(t *testing.T, rng *rand.Rand) string {
	t.Helper()
	dir := t.TempDir()
	folders := []string{"", "a", "a/b", "c"}
	for _, sub := range folders {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o755))
		for _, name := range linkNames {
			p, target := filepath.Join(dir, sub, name), randomPath(rng)
			switch {
			case slices.Contains(folders, path.Join(sub, name)):
			case rng.IntN(4) == 0:
				require.NoError(t, os.WriteFile(p, []byte(p), 0o644))
			case rng.IntN(3) == 0:
				require.NoError(t, os.Symlink(dir+"/"+target, p))
			case target != "":
				require.NoError(t, os.Symlink(target, p))
			}
		}
	}
	return dir
}

// TestTreeFSFollowsLikeTheSystem compares paths through random symlinks with what the system makes of them.
func TestTreeFSFollowsLikeTheSystem(t *testing.T) {
	const seed = 7
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	dir := newLinks(t, rng)
	r := newRepo(t)
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	tr, err := snapshot.OpenTree(t.Context(), r, m.ID)
	require.NoError(t, err)
	fsys, err := fs.Sub(tr.FS(), strings.TrimPrefix(filepath.ToSlash(dir), "/"))
	require.NoError(t, err)
	found, missing := 0, 0
	for range 2000 {
		name := path.Clean(strings.ReplaceAll("./"+randomPath(rng), "..", "a"))
		want, wantErr := os.Stat(filepath.Join(dir, name))
		got, err := fs.Stat(fsys, name)
		if wantErr != nil {
			missing++
			require.True(t, err != nil || got.Mode().Type() == fs.ModeSymlink, name)
			continue
		}
		found++
		require.NoError(t, err, name)
		require.Equal(t, want.Mode(), got.Mode(), name)
		if want.Mode().IsRegular() {
			b, err := fs.ReadFile(fsys, name)
			require.NoError(t, err)
			is, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, string(is), string(b), name)
		}
	}
	t.Logf("%d found, %d missing", found, missing)
	require.Greater(t, min(found, missing), 300)
}
