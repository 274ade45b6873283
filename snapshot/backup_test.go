package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

var config = repo.Config{ChunkMean: 16 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20}

func newRepo(t testing.TB) *repo.Repository {
	t.Helper()
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(t.Context(), mem.New(nil), &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func files(t testing.TB, path string) snapshot.Item {
	t.Helper()
	tr, err := source.NewTree(nil)
	require.NoError(t, err)
	return snapshot.Files(tr, path)
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, b, 0o644))
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(path, old, old))
}

func read(t testing.TB, r *repo.Repository, m *snapshot.Manifest, path string) []byte {
	t.Helper()
	img, err := snapshot.OpenImage(t.Context(), r, m.ID, path)
	require.NoError(t, err)
	b, err := io.ReadAll(io.NewSectionReader(img, 0, img.Size()))
	require.NoError(t, err)
	return b
}

func TestBackupTree(t *testing.T) {
	r := newRepo(t)
	rng := rand.New(rand.NewPCG(1, 1))
	dir := t.TempDir()
	want := map[string][]byte{
		"empty": nil, "small": []byte("hello"), "a/b/c/deep": random(rng, 300<<10), "a/zeros": make([]byte, 1<<20), "big": random(rng, 3<<20),
	}
	for name, b := range want {
		write(t, filepath.Join(dir, name), b)
	}
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	require.True(t, m.Complete)
	require.EqualValues(t, len(want), m.Stats.FilesNew)
	require.EqualValues(t, 1<<20, m.Stats.HoleBytes)
	for name, b := range want {
		require.True(t, bytes.Equal(b, read(t, r, m, filepath.Join(dir, name))), name)
	}
	for err := range tree.Check(t.Context(), r, m.Root, nil) {
		require.NoError(t, err)
	}
	report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
	require.NoError(t, err)
	require.Empty(t, report.Errors)
	require.NotZero(t, report.BytesRead)

	found, err := snapshot.Find(t.Context(), r, "latest", nil)
	require.NoError(t, err)
	require.Greater(t, m.Stats.BytesStored, found.Stats.BytesStored, "the index and the snapshot itself are stored after what describes them")
	found.Stats.BytesStored, found.Stats.Duration = m.Stats.BytesStored, m.Stats.Duration
	require.Equal(t, m.Stats, found.Stats)
	require.Equal(t, []string{dir}, found.Paths)
}

func TestSecondBackupReadsWhatChanged(t *testing.T) {
	r := newRepo(t)
	rng := rand.New(rand.NewPCG(2, 2))
	dir := t.TempDir()
	for _, name := range []string{"a", "b/x", "b/y", "c"} {
		write(t, filepath.Join(dir, name), random(rng, 200<<10))
	}
	time.Sleep(2100 * time.Millisecond) // ctime cannot be set: wait until the files are not racy any more
	items := func() []snapshot.Item { return []snapshot.Item{files(t, dir)} }
	first, err := snapshot.Backup(t.Context(), r, items(), nil)
	require.NoError(t, err)

	again, err := snapshot.Backup(t.Context(), r, items(), nil)
	require.NoError(t, err)
	require.Equal(t, first.ID, again.Parent)
	require.EqualValues(t, 4, again.Stats.FilesUnmodified)
	require.Zero(t, again.Stats.BytesRead)
	was, err := tree.Resolve(t.Context(), r, first.Root, dir)
	require.NoError(t, err)
	is, err := tree.Resolve(t.Context(), r, again.Root, dir)
	require.NoError(t, err)
	require.Equal(t, was.Dir, is.Dir)

	write(t, filepath.Join(dir, "b/x"), random(rng, 100<<10))
	write(t, filepath.Join(dir, "d"), random(rng, 10))
	require.NoError(t, os.Remove(filepath.Join(dir, "a")))
	third, err := snapshot.Backup(t.Context(), r, items(), nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, third.Stats.FilesNew)
	require.EqualValues(t, 1, third.Stats.FilesChanged)
	require.EqualValues(t, 2, third.Stats.FilesUnmodified)
	require.EqualValues(t, 100<<10+10, third.Stats.BytesRead)

	forced, err := snapshot.Backup(t.Context(), r, items(), &snapshot.BackupOptions{Force: true, SkipIfUnchanged: true})
	require.NoError(t, err)
	require.EqualValues(t, 4, forced.Stats.FilesChanged)
	require.EqualValues(t, 2*200<<10+100<<10+10, forced.Stats.BytesRead)
}

func TestStream(t *testing.T) {
	r := newRepo(t)
	rng := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{0, 1, 100 << 10, 30 << 20} {
		data := random(rng, n)
		m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{snapshot.Stream("/dump.sql", source.NewStream(t.Context(), bytes.NewReader(data)))}, nil)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, read(t, r, m, "dump.sql")))
		require.True(t, bytes.Equal(data, read(t, r, m, "")))
	}
}

func TestFailingStreamCommitsNothing(t *testing.T) {
	r := newRepo(t)
	bad := errors.New("bad")
	item := func() []snapshot.Item {
		return []snapshot.Item{snapshot.Stream("/s", source.NewStream(t.Context(), io.MultiReader(strings.NewReader("start"), failing{bad})))}
	}
	_, err := snapshot.Backup(t.Context(), r, item(), nil)
	require.ErrorIs(t, err, bad)
	list, err := snapshot.List(t.Context(), r, nil)
	require.NoError(t, err)
	require.Empty(t, list)

	m, err := snapshot.Backup(t.Context(), r, item(), &snapshot.BackupOptions{AllowFailure: true})
	require.NoError(t, err)
	require.False(t, m.Complete)
	require.Equal(t, "start", string(read(t, r, m, "/s")))
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestNothingToBackUp(t *testing.T) {
	r := newRepo(t)
	var events []snapshot.Event
	_, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, "/does/not/exist")}, &snapshot.BackupOptions{
		Report: func(e snapshot.Event) {
			if e.Kind == snapshot.EventError {
				events = append(events, e)
			}
		},
	})
	require.ErrorIs(t, err, snapshot.ErrNothing)
	require.Len(t, events, 1)
	require.Equal(t, "/does/not/exist", events[0].Path)
}

func TestMissingAmongGood(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), []byte("x"))
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir), files(t, filepath.Join(dir, "../gone"))}, nil)
	require.NoError(t, err)
	require.False(t, m.Complete)
	require.EqualValues(t, 1, m.Stats.Errors)
}

func TestDryRunLeavesNoTrace(t *testing.T) {
	_, key := crypto.NewKeyFile()
	store := mem.New(nil)
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	count := func() (n int) {
		for _, err := range store.List(t.Context(), "") {
			require.NoError(t, err)
			n++
		}
		return n
	}
	before := count()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), random(rand.New(rand.NewPCG(4, 4)), 3<<20))
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{DryRun: true})
	require.NoError(t, err)
	require.True(t, m.ID.IsZero())
	require.NotZero(t, m.Stats.BytesAdded)
	require.Equal(t, before, count())
}

// TestDryRunOfAReadOnlyRepository: what need not write must not ask for it.
func TestDryRunOfAReadOnlyRepository(t *testing.T) {
	_, key := crypto.NewKeyFile()
	place, dir := t.TempDir(), t.TempDir()
	store, err := local.Open(place, nil)
	require.NoError(t, err)
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(4, 4))
	write(t, filepath.Join(dir, "x"), random(rng, 1<<20))
	_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	require.NoError(t, errors.Join(r.Close(), store.Close()))

	write(t, filepath.Join(dir, "y"), random(rng, 1<<20))
	store, err = local.Open(place, &local.Options{ReadOnly: true})
	require.NoError(t, err)
	r, err = repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.NoError(t, err)
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{DryRun: true})
	require.NoError(t, err)
	require.InDelta(t, 1<<20, m.Stats.BytesAdded, 4<<10)
	require.Greater(t, m.Stats.BytesStored, uint64(1<<20), "what it would take")
	_, err = snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.Error(t, err)
	require.NoError(t, errors.Join(r.Close(), store.Close()))
}

func TestCancelledBackupIsContinued(t *testing.T) {
	r := newRepo(t)
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(6, 6))
	for i := range 40 {
		write(t, filepath.Join(dir, string(rune('a'+i%26))+string(rune('0'+i/26))), random(rng, 500<<10))
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := snapshot.Backup(ctx, r, []snapshot.Item{files(t, dir)}, &snapshot.BackupOptions{Workers: 1, Report: func(e snapshot.Event) {
		if strings.HasSuffix(e.Path, "/y0") {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{files(t, dir)}, nil)
	require.NoError(t, err)
	require.Less(t, m.Stats.BytesAdded, uint64(30*500<<10), "what was uploaded is not uploaded again")
	require.EqualValues(t, 40*500<<10, m.Stats.BytesRead)
	for i := range 40 {
		require.Len(t, read(t, r, m, filepath.Join(dir, string(rune('a'+i%26))+string(rune('0'+i/26)))), 500<<10)
	}
}
