package local_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/backendtest"
	"github.com/holdfast-backup/holdfast/backend/local"
)

func create(t testing.TB, dir string) *local.Store {
	t.Helper()
	s, err := local.Create(dir, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func put(t testing.TB, s backend.Store, key, value string) {
	t.Helper()
	require.NoError(t, backend.PutBytes(t.Context(), s, key, []byte(value), nil))
}

func requireValue(t testing.TB, s backend.Store, key, value string) {
	t.Helper()
	b, err := backend.ReadAll(t.Context(), s, key, 1<<20)
	require.NoError(t, err)
	require.Equal(t, value, string(b))
}

func keys(t testing.TB, s backend.Store) []string {
	t.Helper()
	var keys []string
	for info, err := range s.List(t.Context(), "") {
		require.NoError(t, err)
		keys = append(keys, info.Key)
	}
	return keys
}

func requireEmptyFolder(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func Benchmark(b *testing.B) {
	backendtest.Benchmark(b, func(b *testing.B) backend.Store {
		s, err := local.Create(b.TempDir(), nil)
		require.NoError(b, err)
		return s
	})
}

func TestOpenNeedsFolder(t *testing.T) {
	dir := t.TempDir()
	_, err := local.Open(filepath.Join(dir, "missing"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, filepath.Join(dir, "missing"))

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = local.Open(file, nil)
	require.Error(t, err)
	_, err = local.Create(file, nil)
	require.Error(t, err)
	_, err = local.Create(filepath.Join(file, "below"), nil)
	require.Error(t, err)
	_, err = local.Open("", nil)
	require.ErrorIs(t, err, fs.ErrInvalid)
	_, err = local.Create("", nil)
	require.ErrorIs(t, err, fs.ErrInvalid)
}

func TestCreateAndOpenAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s, err := local.Create(dir, nil)
	require.NoError(t, err)
	put(t, s, "packs/x/y", "hello")
	require.Equal(t, dir, s.Location())
	require.NoError(t, s.Close())

	for _, open := range []func(string, *local.Options) (*local.Store, error){local.Open, local.Create} {
		s, err := open(dir, nil)
		require.NoError(t, err)
		requireValue(t, s, "packs/x/y", "hello")
		require.NoError(t, s.Close())
	}
}

func TestRelativePathIsKept(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := create(t, "store")
	t.Chdir(t.TempDir())
	put(t, s, "a", "1")
	require.FileExists(t, filepath.Join(dir, "store", "a"))
	require.Equal(t, filepath.Join(dir, "store"), s.Location())
}

func TestReadOnlyOption(t *testing.T) {
	dir := t.TempDir()
	put(t, create(t, dir), "a", "1")
	old := filepath.Join(dir, "tmp", "old")
	require.NoError(t, os.WriteFile(old, nil, 0o600))
	makeOld(t, old)

	s, err := local.Open(dir, &local.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	requireValue(t, s, "a", "1")
	require.Equal(t, []string{"a"}, keys(t, s))
	err = backend.PutBytes(t.Context(), s, "b", nil, nil)
	require.ErrorIs(t, err, local.ErrReadOnly)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.True(t, backend.IsPermanent(err))
	require.ErrorIs(t, s.Delete(t.Context(), "a"), local.ErrReadOnly)
	_, err = s.TryLock(t.Context(), "l")
	require.ErrorIs(t, err, local.ErrReadOnly)
	require.Equal(t, backend.PrimitiveNone, s.CreateIfAbsent())
	require.FileExists(t, old)
	_, err = local.Create(filepath.Join(dir, "new"), &local.Options{ReadOnly: true})
	require.ErrorIs(t, err, local.ErrReadOnly)
}

func makeOld(t *testing.T, path string) {
	t.Helper()
	when := time.Now().Add(-25 * time.Hour)
	require.NoError(t, os.Chtimes(path, when, when))
}

func TestFailedPutsLeaveNoFiles(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	put(t, s, "there", "1")
	require.Error(t, s.Put(t.Context(), "a/b", backend.Bytes(nil), 10, nil))
	require.Error(t, backend.PutBytes(t.Context(), s, "there", nil, &backend.PutOptions{IfAbsent: true}))
	require.Error(t, backend.PutBytes(t.Context(), s, "there/below", nil, nil))
	require.Error(t, backend.PutBytes(t.Context(), s, "there/below", nil, &backend.PutOptions{IfAbsent: true}))
	requireEmptyFolder(t, filepath.Join(dir, "tmp"))
	require.NoDirExists(t, filepath.Join(dir, "a"))
}

func TestEmptyFoldersGo(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	put(t, s, "packs/session/a/x", "1")
	put(t, s, "packs/session/b/y", "1")
	require.NoError(t, s.Delete(t.Context(), "packs/session/a/x"))
	require.NoDirExists(t, filepath.Join(dir, "packs/session/a"))
	require.DirExists(t, filepath.Join(dir, "packs/session/b"))
	require.NoError(t, s.Delete(t.Context(), "packs/session/b/y"))
	requireEmptyFolder(t, filepath.Join(dir, "packs"))
	put(t, s, "packs/session/a/x", "2")
	requireValue(t, s, "packs/session/a/x", "2")
}

// TestFoldersOfOthersGo takes folders away behind the back of a store that has them open.
func TestFoldersOfOthersGo(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	other := create(t, dir)
	for range 3 {
		put(t, s, "a/b/c/d", "1")
		require.NoError(t, other.Delete(t.Context(), "a/b/c/d"))
		require.NoDirExists(t, filepath.Join(dir, "a/b"))
		put(t, other, "a/b/x", "2")
		put(t, s, "a/b/c/d", "3")
		requireValue(t, other, "a/b/c/d", "3")
		require.NoError(t, other.Delete(t.Context(), "a/b/c/d"))
		require.NoError(t, s.Delete(t.Context(), "a/b/x"))
	}
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "tmp")))
	put(t, s, "a/b", "4")
	requireValue(t, s, "a/b", "4")
}

func TestManyFolders(t *testing.T) {
	s := create(t, t.TempDir())
	for i := range 3 {
		for j := range byte(60) {
			put(t, s, "packs/"+string([]byte{'a' + j%20, 'a' + j/20})+"/"+string([]byte{'a' + byte(i)}), "x")
		}
	}
	require.Len(t, keys(t, s), 180)
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	put(t, s, "packs/a", "1")
	for _, name := range []string{"README", ".hidden", "packs/.nfs0001", "packs/B", "locks/x", "tmp/y", "lost+found/z"} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte("foreign"), 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "packs", "dir"), 0o700))
	require.Equal(t, []string{"packs/a"}, keys(t, s))
	require.ErrorIs(t, s.Delete(t.Context(), "packs/dir"), fs.ErrNotExist)
	require.DirExists(t, filepath.Join(dir, "packs", "dir"), "an empty folder is no object")
	for _, opts := range []*backend.PutOptions{nil, {IfAbsent: true}} {
		err := backend.PutBytes(t.Context(), s, "packs/dir", nil, opts)
		require.ErrorIs(t, err, backend.ErrConflict)
	}
}

func TestStaleFilesGo(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	put(t, s, "a", "1")
	tmp := filepath.Join(dir, "tmp")
	for _, name := range []string{"old", "young"} {
		require.NoError(t, os.WriteFile(filepath.Join(tmp, name), []byte("x"), 0o600))
	}
	require.NoError(t, os.Link(filepath.Join(dir, "a"), filepath.Join(tmp, "second-name")))
	require.NoError(t, os.Mkdir(filepath.Join(tmp, "folder"), 0o700))
	for _, name := range []string{"old", "second-name", "folder"} {
		makeOld(t, filepath.Join(tmp, name))
	}
	again, err := local.Open(dir, nil)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	require.NoFileExists(t, filepath.Join(tmp, "old"))
	require.NoFileExists(t, filepath.Join(tmp, "second-name"))
	require.FileExists(t, filepath.Join(tmp, "young"))
	require.DirExists(t, filepath.Join(tmp, "folder"))
	requireValue(t, s, "a", "1")
}

// openingSource opens the store anew while a Put is running whose file looks old.
type openingSource struct {
	t   *testing.T
	dir string
}

// ReadAt implements io.ReaderAt.
func (o openingSource) ReadAt(p []byte, _ int64) (int, error) {
	files, err := filepath.Glob(filepath.Join(o.dir, "tmp", "*"))
	require.NoError(o.t, err)
	require.Len(o.t, files, 1)
	makeOld(o.t, files[0])
	s, err := local.Open(o.dir, nil)
	require.NoError(o.t, err)
	return len(p), s.Close()
}

func TestFilesBeingWrittenAreNotStale(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	require.NoError(t, s.Put(t.Context(), "a", openingSource{t, dir}, 10, nil))
	requireValue(t, s, "a", string(make([]byte, 10)))
}

func TestShortenedWhileReading(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	put(t, s, "a", string(make([]byte, 1000)))
	r, err := s.Get(t.Context(), "a", 0, -1)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(filepath.Join(dir, "a"), 500))
	n, err := r.Read(make([]byte, 1000))
	require.Equal(t, 500, n)
	require.ErrorContains(t, err, "unexpected EOF")
	require.False(t, errors.Is(err, syscall.ENOENT))
	require.NoError(t, r.Close())
}

// TestListBesideRemovals lists folders that come and go meanwhile.
func TestListBesideRemovals(t *testing.T) {
	s, err := local.Create(t.TempDir(), nil)
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, backend.PutBytes(t.Context(), s, "kept", []byte("kept"), nil))
	done := make(chan error)
	go func() {
		var err error
		for i := 0; i < 100 && err == nil; i++ {
			key := fmt.Sprintf("packs/%d/pack", i%3)
			err = backend.PutBytes(t.Context(), s, key, []byte("a pack"), nil)
			err = errors.Join(err, s.Delete(t.Context(), key))
		}
		done <- err
	}()
	for {
		select {
		case err := <-done:
			require.NoError(t, err)
			return
		default:
			require.Contains(t, keys(t, s), "kept")
		}
	}
}
