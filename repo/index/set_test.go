package index

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/stretchr/testify/require"
)

// ids lists the ids of all chunks of a file.
func (f *File) ids() (ids []crypto.ID) {
	for i := range f.Packs {
		f.Packs[i].spots(func(id crypto.ID, _ spot, _ *pack.Segment) { ids = append(ids, id) })
	}
	return ids
}

func runFiles(t *testing.T, dir string) []string {
	paths, err := filepath.Glob(filepath.Join(dir, runPattern))
	require.NoError(t, err)
	return paths
}

// TestConcurrent looks chunks up while others are added, files come in, and runs are merged: what was added is always found.
func TestConcurrent(t *testing.T) {
	r := newRand(t)
	s := openSet(t, &Options{Dir: t.TempDir(), MemoryChunks: 2000, MaxRuns: 3})
	const rounds = 60
	files := make([]*File, rounds)
	for i := range files {
		files[i] = fileOf(r, 700)
	}
	unknown := strangers(r, 1000)
	var added atomic.Int64
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if done := int(added.Load()); done > 0 {
					f := files[n%done]
					f.Packs[n%len(f.Packs)].spots(func(id crypto.ID, want spot, _ *pack.Segment) {
						l, err := s.Lookup(id)
						if !s.Has(id) || err != nil || spotOf(&l) != want {
							t.Errorf("chunk of file %d: %v", n%done, err)
						}
					})
				}
				if s.Has(unknown[n%len(unknown)]) {
					t.Error("unknown chunk found")
				}
				if n%50 == 0 {
					for range s.Packs() {
					}
				}
			}
		})
	}
	var names []Name
	for i, f := range files {
		for j := range f.Packs {
			require.NoError(t, s.Add(t.Context(), &f.Packs[j]))
		}
		added.Add(1)
		if i%2 == 0 {
			names = append(names, randomName(r))
			require.NoError(t, s.AddFile(t.Context(), names[len(names)-1], f))
		}
		if i%10 == 9 {
			missing, err := s.Sync(names, nil)
			require.NoError(t, err)
			require.Empty(t, missing)
		}
	}
	require.NoError(t, s.Settle(t.Context()))
	close(stop)
	group.Wait()
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Add(t.Context(), &files[0].Packs[0]), ErrClosed)
	require.ErrorIs(t, s.AddFile(t.Context(), names[0], files[0]), ErrClosed)
	_, err := s.Sync(nil, nil)
	require.ErrorIs(t, err, ErrClosed)
}

func TestDamagedRunIsRebuilt(t *testing.T) {
	r := newRand(t)
	opt := &Options{Dir: t.TempDir(), Repository: testRepository}
	key := crypto.NewKey()
	opt.Key = &key
	f, name := fileOf(r, 3000), randomName(r)
	s := openSet(t, opt)
	require.NoError(t, s.AddFile(t.Context(), name, f))
	at := s.view.runs[0].header.section[sectionEntries].offset
	require.NoError(t, s.Close())

	// Damage in a table is found when the run is opened.
	path := runFiles(t, opt.Dir)[0]
	flip(t, path, blockSize+5)
	s = openSet(t, opt)
	require.Len(t, s.Damage(), 1)
	require.ErrorIs(t, s.Damage()[0], ErrDamaged)
	require.Empty(t, runFiles(t, opt.Dir))
	missing, err := s.Sync([]Name{name}, nil)
	require.NoError(t, err)
	require.Equal(t, []Name{name}, missing)
	require.NoError(t, s.AddFile(t.Context(), name, f))
	require.NoError(t, s.Close())

	// Damage in a block is found by the first lookup that needs it; chunks elsewhere are found still.
	flip(t, path, int64(at)+100)
	s = openSet(t, opt)
	missing, err = s.Sync([]Name{name}, nil)
	require.NoError(t, err)
	require.Empty(t, missing)
	reported, found := 0, 0
	for _, id := range f.ids() {
		_, err := s.Lookup(id)
		var bad *RunError
		require.Equal(t, err == nil, s.Has(id))
		if err == nil {
			found++
		} else {
			require.ErrorAs(t, err, &bad)
			require.NotErrorIs(t, err, ErrNotFound)
			reported++
		}
	}
	require.Positive(t, found)
	require.Positive(t, reported)
	require.Equal(t, 1, s.Stats().Damaged)
	missing, err = s.Sync([]Name{name}, nil)
	require.NoError(t, err)
	require.Equal(t, []Name{name}, missing)
	require.NoError(t, s.AddFile(t.Context(), name, f))
	for _, id := range f.ids() {
		require.True(t, s.Has(id))
	}
	require.Len(t, s.Damage(), 1)
	require.NoError(t, s.Close())
}

func flip(t *testing.T, path string, at int64) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[at] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

// TestMergeOfDamage merges runs of which one is damaged: the others stay, and nothing fails.
func TestMergeOfDamage(t *testing.T) {
	r := newRand(t)
	opt := &Options{Dir: t.TempDir(), MaxRuns: 2}
	s := openSet(t, opt)
	var names []Name
	var files []*File
	for range 5 {
		names, files = append(names, randomName(r)), append(files, fileOf(r, 500))
	}
	_, err := s.Sync(append(names, randomName(r)), nil) // one stays missing, so that runs gather
	require.NoError(t, err)
	for i := range names {
		require.NoError(t, s.AddFile(t.Context(), names[i], files[i]))
	}
	at := s.view.runs[0].header.section[sectionEntries].offset
	require.NoError(t, s.Close())
	flip(t, runFiles(t, opt.Dir)[0], int64(at)+10)
	s = openSet(t, opt)
	missing, err := s.Sync(names, nil)
	require.NoError(t, err)
	require.Empty(t, missing)
	require.Equal(t, 5, s.Stats().Runs)
	require.NoError(t, s.Settle(t.Context()))
	require.NotEmpty(t, s.Damage())
	require.NoError(t, s.Settle(t.Context()))
	missing, err = s.Sync(names, nil)
	require.NoError(t, err)
	require.Len(t, missing, 1)
	for i, f := range files {
		if names[i] == missing[0] {
			require.NoError(t, s.AddFile(t.Context(), names[i], f))
		}
	}
	for _, f := range files {
		for _, id := range f.ids() {
			require.True(t, s.Has(id))
		}
	}
	require.NoError(t, s.Close())
}

// TestLeftovers opens a folder as a crash leaves it: merged runs beside those they were made of, temporary files, strange files.
func TestLeftovers(t *testing.T) {
	r := newRand(t)
	opt := &Options{Dir: t.TempDir(), MaxRuns: 2}
	s := openSet(t, opt)
	var names []Name
	var all File
	for range 6 {
		names = append(names, randomName(r))
	}
	missing, err := s.Sync(append(names, randomName(r)), nil) // one stays missing, so that runs gather
	require.NoError(t, err)
	require.Len(t, missing, 7)
	for _, n := range names {
		f := fileOf(r, 100)
		all.Packs = append(all.Packs, f.Packs...)
		require.NoError(t, s.AddFile(t.Context(), n, f))
	}
	before := map[string][]byte{}
	for _, path := range runFiles(t, opt.Dir) {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		before[path] = b
	}
	require.Len(t, before, 6)
	require.NoError(t, s.Settle(t.Context()))
	require.Len(t, runFiles(t, opt.Dir), 1)
	require.NoError(t, s.Close())
	for path, b := range before {
		require.NoError(t, os.WriteFile(path, b, 0o600))
	}
	old, young := filepath.Join(opt.Dir, "tmp-1.idx"), filepath.Join(opt.Dir, "tmp-2.idx")
	foreign := filepath.Join(opt.Dir, "run-foreign.idx")
	for _, path := range []string{old, young, foreign} {
		require.NoError(t, os.WriteFile(path, make([]byte, 10000), 0o600))
	}
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-48*time.Hour)))

	s = openSet(t, opt)
	require.Len(t, s.Damage(), 1)
	require.ErrorIs(t, s.Damage()[0], ErrForeign)
	missing, err = s.Sync(names, nil)
	require.NoError(t, err)
	require.Empty(t, missing)
	require.NoFileExists(t, old)
	require.FileExists(t, young)
	require.FileExists(t, foreign)
	require.Len(t, runFiles(t, opt.Dir), 2, "the merged run, and the foreign file")
	for _, id := range all.ids() {
		list, err := s.LookupAll(id)
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
	require.NoError(t, s.Close())
}

// TestCovered checks that a session's own packs are given up once files list them, in memory and in runs.
func TestCovered(t *testing.T) {
	r := newRand(t)
	s := openSet(t, &Options{Dir: t.TempDir(), MemoryChunks: 1000, MaxRuns: 2})
	all := &File{}
	for range 20 {
		f := fileOf(r, 500)
		all.Packs = append(all.Packs, f.Packs...)
		for i := range f.Packs {
			require.NoError(t, s.Add(t.Context(), &f.Packs[i]))
		}
	}
	require.Empty(t, runFiles(t, s.opt.Dir), "a session's own runs have no name")
	require.Positive(t, s.Stats().Runs)
	require.LessOrEqual(t, s.Stats().Runs, 2)
	require.Equal(t, uint64(10000), s.Stats().Chunks)
	require.NoError(t, s.AddFile(t.Context(), randomName(r), all))
	require.Equal(t, 1, s.Stats().Runs)
	require.Zero(t, s.Stats().MemoryChunks)
	require.Len(t, runFiles(t, s.opt.Dir), 1)
	for _, id := range all.ids() {
		list, err := s.LookupAll(id)
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
	require.NoError(t, s.Close())
}

// TestBulk adds many files, as for a lost cache: they are merged when the last is there.
func TestBulk(t *testing.T) {
	r := newRand(t)
	s := openSet(t, &Options{Dir: t.TempDir()})
	files := map[Name]*File{}
	var names []Name
	for range 100 {
		n := randomName(r)
		names, files[n] = append(names, n), fileOf(r, 50)
	}
	missing, err := s.Sync(append(names, names[0]), nil)
	require.NoError(t, err)
	require.Equal(t, names, missing)
	for i, n := range missing {
		require.NoError(t, s.AddFile(t.Context(), n, files[n]))
		if i < 64 {
			require.Equal(t, i+1, s.Stats().Runs)
		}
	}
	require.LessOrEqual(t, s.Stats().Runs, 8)
	require.Len(t, runFiles(t, s.opt.Dir), s.Stats().Runs)
	for _, f := range files {
		for _, id := range f.ids() {
			require.True(t, s.Has(id))
		}
	}
	require.NoError(t, s.Close())
}

// TestFilesAtOnce adds many files as one run, of which each can be given up alone.
func TestFilesAtOnce(t *testing.T) {
	r := newRand(t)
	opt := &Options{Dir: t.TempDir()}
	s := openSet(t, opt)
	var files []NamedFile
	var names []Name
	for range 30 {
		files = append(files, NamedFile{randomName(r), fileOf(r, 50)})
		names = append(names, files[len(files)-1].Name)
	}
	_, err := s.Sync(names, nil)
	require.NoError(t, err)
	require.NoError(t, s.AddFiles(t.Context(), files[:1]))
	require.NoError(t, s.AddFiles(t.Context(), files))
	require.NoError(t, s.AddFiles(t.Context(), files), "what is there already is not added again")
	require.Equal(t, 2, s.Stats().Runs)
	require.NoError(t, s.Close())

	s = openSet(t, opt)
	missing, err := s.Sync(names[5:], nil)
	require.NoError(t, err)
	require.Empty(t, missing)
	for i, f := range files {
		for _, id := range f.ids() {
			list, err := s.LookupAll(id)
			if i < 5 {
				require.ErrorIs(t, err, ErrNotFound)
				require.False(t, s.Has(id))
				continue
			}
			require.NoError(t, err)
			require.Len(t, list, 1)
			require.True(t, s.Has(id))
		}
	}
	require.NoError(t, s.Close())
}

func TestOptions(t *testing.T) {
	for _, o := range []*Options{{MaxRuns: 1}, {MaxRuns: 65}, {MemoryChunks: -1}} {
		_, err := Open(o)
		require.Error(t, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(&Options{Dir: file})
	require.Error(t, err)
	s := openSet(t, nil)
	bad := Pack{}
	require.Error(t, s.Add(t.Context(), &bad))
	_, err = s.Lookup(crypto.ID{})
	require.True(t, errors.Is(err, ErrNotFound))
	require.NoError(t, s.Close())
}
