package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"iter"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// disk is a disk in memory. Reading its byte number bad, if that is not 0, fails.
type disk struct {
	data []byte
	bad  int64
	read atomic.Int64
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	d.read.Add(int64(len(p)))
	if d.bad > 0 && off <= d.bad && off+int64(len(p)) > d.bad {
		return 0, fs.ErrInvalid
	}
	return bytes.NewReader(d.data).ReadAt(p, off)
}

func (d *disk) Size() int64    { return int64(len(d.data)) }
func (d *disk) Changed() error { return nil }
func (d *disk) Close() error   { return nil }

func (d *disk) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) {
		if n = min(n, d.Size()-off); n > 0 {
			yield(source.Extent{Off: off, Len: n}, nil)
		}
	}
}

// since returns the disk with a map of changes, given by their offsets and lengths.
func (d *disk) since(t testing.TB, id repo.ID, changes ...int64) snapshot.Item {
	t.Helper()
	var list []source.Extent
	pos := int64(0)
	add := func(end int64, k source.Kind) {
		if end > pos {
			list = append(list, source.Extent{Off: pos, Len: end - pos, Kind: k})
			pos = end
		}
	}
	for i := 0; i < len(changes); i += 2 {
		add(changes[i], source.Unchanged)
		add(changes[i]+changes[i+1], source.Data)
	}
	add(d.Size(), source.Unchanged)
	m, err := source.NewChangeMap("test", list)
	require.NoError(t, err)
	return d.item().Since(id, m)
}

func (d *disk) item() snapshot.Item { return snapshot.Disk("/vm/disk", d, nil, true) }

// deltas is a repository with one disk in it, and the events of its last backup.
type deltas struct {
	t      *testing.T
	r      *repo.Repository
	disk   *disk
	rng    *rand.Rand
	events []snapshot.Event
}

func newDeltas(t *testing.T, size int) *deltas {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	return &deltas{t: t, r: newRepo(t), disk: &disk{data: random(rng, size)}, rng: rng}
}

func (d *deltas) backup(o snapshot.BackupOptions, items ...snapshot.Item) *snapshot.Manifest {
	d.t.Helper()
	d.events = nil
	d.disk.read.Store(0)
	o.Workers = 1
	o.Report = func(e snapshot.Event) {
		if e.Err != nil {
			d.events = append(d.events, e)
		}
	}
	m, err := snapshot.Backup(d.t.Context(), d.r, items, &o)
	require.NoError(d.t, err)
	require.True(d.t, d.disk.bad > 0 || bytes.Equal(d.disk.data, read(d.t, d.r, m, "/vm/disk")))
	return m
}

// write writes to the disk and returns where.
func (d *deltas) write(off, n int64) (int64, int64) {
	copy(d.disk.data[off:], random(d.rng, int(n)))
	return off, n
}

func (d *deltas) note(want string) {
	d.t.Helper()
	require.Len(d.t, d.events, 1)
	require.Equal(d.t, snapshot.EventNote, d.events[0].Kind)
	require.ErrorContains(d.t, d.events[0].Err, want)
	require.GreaterOrEqual(d.t, d.disk.read.Load(), d.disk.Size())
}

func TestDelta(t *testing.T) {
	d := newDeltas(t, 4<<20)
	first := d.backup(snapshot.BackupOptions{}, d.disk.item())
	require.Empty(t, first.Deltas)
	second := d.backup(snapshot.BackupOptions{}, d.disk.since(t, first.ID, 0, 0))
	require.Zero(t, d.disk.read.Load())
	require.Empty(t, d.events)
	was, err := tree.Resolve(t.Context(), d.r, first.Root, "/vm/disk")
	require.NoError(t, err)
	is, err := tree.Resolve(t.Context(), d.r, second.Root, "/vm/disk")
	require.NoError(t, err)
	require.Equal(t, was.Content, is.Content)

	off, n := d.write(1<<20, 4096)
	third := d.backup(snapshot.BackupOptions{}, d.disk.since(t, repo.ID{}, off, n))
	require.Less(t, d.disk.read.Load(), int64(1<<20))
	require.Less(t, third.Stats.BytesAdded, uint64(300<<10))
	require.Len(t, third.Deltas, 1)
	want := snapshot.Delta{Path: "/vm/disk", Parent: second.ID, Kind: "test", Map: third.Deltas[0].Map, Deltas: 2, FullRead: first.Time.UTC()}
	got := third.Deltas[0]
	require.True(t, want.FullRead.Equal(got.FullRead))
	got.FullRead = want.FullRead
	require.Equal(t, want, got)
	list, err := snapshot.List(t.Context(), d.r, nil)
	require.NoError(t, err)
	require.Equal(t, want.Map, list[2].Deltas[0].Map)
	require.EqualValues(t, 2, list[2].Deltas[0].Deltas)
	require.True(t, want.FullRead.Equal(list[2].Deltas[0].FullRead))
	report, err := d.r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
	require.NoError(t, err)
	require.Empty(t, report.Errors)

	// Longer, shorter, and read in full, after which counting begins anew.
	d.disk.data = append(d.disk.data, random(d.rng, 100_000)...)
	d.backup(snapshot.BackupOptions{}, d.disk.since(t, third.ID, 0, 0))
	require.Less(t, d.disk.read.Load(), int64(1<<20))
	d.disk.data = d.disk.data[:3<<20]
	m := d.backup(snapshot.BackupOptions{}, d.disk.since(t, repo.ID{}, 0, 0))
	require.EqualValues(t, 4, m.Deltas[0].Deltas)
	d.backup(snapshot.BackupOptions{}, d.disk.item())
	m = d.backup(snapshot.BackupOptions{}, d.disk.since(t, repo.ID{}, 0, 0))
	require.EqualValues(t, 1, m.Deltas[0].Deltas)
}

// TestDeltaDoesNotFit: what a change map cannot be used for is read in full.
func TestDeltaDoesNotFit(t *testing.T) {
	d := newDeltas(t, 1<<20)
	other := d.backup(snapshot.BackupOptions{}, d.disk.since(t, repo.ID{}, 0, 0))
	d.note("there is no parent snapshot")
	require.Empty(t, other.Deltas)
	d.backup(snapshot.BackupOptions{}, d.disk.item())
	d.backup(snapshot.BackupOptions{}, d.disk.since(t, other.ID, 0, 0))
	d.note("since snapshot " + other.ShortID())
	d.backup(snapshot.BackupOptions{Parent: other.ID}, d.disk.since(t, other.ID, 0, 0))
	require.Empty(t, d.events)
	d.backup(snapshot.BackupOptions{Chunker: chunk.Rabin}, d.disk.since(t, repo.ID{}, 0, 0))
	d.note("another chunker")
	for want, extents := range map[string][]source.Extent{
		"gap":                     {{Off: 1, Len: 1<<20 - 1, Kind: source.Unchanged}},
		"overlap":                 {{Off: 0, Len: 5, Kind: source.Unchanged}, {Off: 0, Len: 1 << 20, Kind: source.Unchanged}},
		"it is of 9 bytes":        {{Off: 0, Len: 9, Kind: source.Unchanged}},
		"it is of 1048577 bytes,": {{Off: 0, Len: 1<<20 + 1, Kind: source.Unchanged}},
	} {
		m, err := source.NewChangeMap("", extents)
		require.NoError(t, err)
		d.backup(snapshot.BackupOptions{}, d.disk.item().Since(repo.ID{}, m))
		d.note(want)
	}
	d.disk.bad = 77_777
	incomplete := d.backup(snapshot.BackupOptions{}, d.disk.item())
	require.False(t, incomplete.Complete)
	d.disk.bad = 0
	d.backup(snapshot.BackupOptions{}, d.disk.since(t, repo.ID{}, 0, 0))
	d.note("not complete")

	m, err := source.NewChangeMap("", nil)
	require.NoError(t, err)
	_, err = snapshot.Backup(t.Context(), d.r, []snapshot.Item{files(t, t.TempDir()).Since(repo.ID{}, m)}, nil)
	require.ErrorContains(t, err, "only a disk")
	require.NoError(t, errors.Unwrap(err))
}

func TestDeltaIsVerified(t *testing.T) {
	d := newDeltas(t, 4<<20)
	day := 24 * time.Hour
	start := time.Now().Add(-100 * day)
	n := 0
	next := func(o snapshot.BackupOptions, step time.Duration, changes ...int64) *snapshot.Manifest {
		start = start.Add(step)
		n++
		o.Time = start
		return d.backup(o, d.disk.since(t, repo.ID{}, changes...))
	}
	d.backup(snapshot.BackupOptions{Time: start}, d.disk.item())
	for i := range 30 {
		m := next(snapshot.BackupOptions{}, time.Hour)
		require.EqualValues(t, i+1, m.Deltas[0].Deltas)
		require.Zero(t, d.disk.read.Load())
	}
	full := func(m *snapshot.Manifest) {
		t.Helper()
		require.Empty(t, m.Deltas)
		require.Empty(t, d.events)
		require.GreaterOrEqual(t, d.disk.read.Load(), d.disk.Size())
	}
	off, length := d.write(2<<20, 5000)
	full(next(snapshot.BackupOptions{}, time.Hour, off, length)) // the 31st
	next(snapshot.BackupOptions{}, 30*day-time.Second)
	require.Zero(t, d.disk.read.Load())
	full(next(snapshot.BackupOptions{}, time.Second)) // after 30 days
	m := next(snapshot.BackupOptions{MaxDeltaAge: -1}, 31*day)
	require.Len(t, m.Deltas, 1)
	full(next(snapshot.BackupOptions{MaxDeltaAge: -1, MaxDeltas: 1}, time.Hour))
	full(next(snapshot.BackupOptions{VerifyChangeMaps: true}, time.Hour))
	full(next(snapshot.BackupOptions{Force: true}, time.Hour))

	// A map that misses a write: the snapshot is right, and the alarm names the place.
	_, _ = d.write(1<<20, 5000)
	_, _ = d.write(3<<20+1, 10)
	off, length = d.write(2<<20, 10)
	m = next(snapshot.BackupOptions{VerifyChangeMaps: true}, time.Hour, off, length)
	require.Empty(t, m.Deltas)
	require.True(t, m.Complete)
	require.Len(t, d.events, 1)
	require.Equal(t, snapshot.EventAlarm, d.events[0].Kind)
	var wrong *snapshot.ChangeMapError
	require.ErrorAs(t, d.events[0].Err, &wrong)
	require.Equal(t, 2, wrong.Count)
	require.Len(t, wrong.Ranges, 2)
	require.Equal(t, wrong.Ranges[0].Length+wrong.Ranges[1].Length, wrong.Bytes)
	for i, at := range []int64{1 << 20, 3<<20 + 1} {
		r := wrong.Ranges[i]
		require.True(t, r.Offset <= at && r.Offset+r.Length > at && r.Length < 300<<10, "%+v", r)
	}
}

// TestVerifyTrustsNoHole: when all is read, that is also what the map calls holes.
func TestVerifyTrustsNoHole(t *testing.T) {
	d := newDeltas(t, 1<<20)
	d.backup(snapshot.BackupOptions{}, d.disk.item())
	d.write(0, 1<<20)
	m, err := source.NewChangeMap("test", []source.Extent{{Off: 0, Len: 1 << 20, Kind: source.Hole}})
	require.NoError(t, err)
	d.backup(snapshot.BackupOptions{VerifyChangeMaps: true}, d.disk.item().Since(repo.ID{}, m))
	require.GreaterOrEqual(t, d.disk.read.Load(), d.disk.Size())
}

// TestDeltaInherited: a disk that is not read again since its attributes are the same keeps what is known of how it was read.
func TestDeltaInherited(t *testing.T) {
	d := newDeltas(t, 1<<20)
	e := &source.Entry{Mode: 0o600, MTime: 1, CTime: 2, Inode: 3}
	item := func() snapshot.Item { return snapshot.Disk("/vm/disk", d.disk, e, false) }
	d.backup(snapshot.BackupOptions{}, item())
	m, err := source.NewChangeMap("test", []source.Extent{{Off: 0, Len: 1 << 20, Kind: source.Unchanged}})
	require.NoError(t, err)
	first := d.backup(snapshot.BackupOptions{}, item().Since(repo.ID{}, m))
	second := d.backup(snapshot.BackupOptions{}, item())
	require.EqualValues(t, 1, second.Stats.FilesUnmodified)
	require.Len(t, first.Deltas, 1)
	list, err := snapshot.List(t.Context(), d.r, nil)
	require.NoError(t, err)
	require.Equal(t, list[1].Deltas, list[2].Deltas)
}

// TestDeltaOfDamagedParent: a parent whose content map cannot be read is no reason to fail: all is read.
func TestDeltaOfDamagedParent(t *testing.T) {
	store := mem.New(nil)
	_, key := crypto.NewKeyFile()
	r, err := repo.Init(t.Context(), store, &repo.InitOptions{Config: config, Sealer: key})
	require.NoError(t, err)
	d := newDeltas(t, 4<<20)
	d.r = r
	first := d.backup(snapshot.BackupOptions{}, d.disk.item())
	n, err := tree.Resolve(t.Context(), r, first.Root, "/vm/disk")
	require.NoError(t, err)
	loc, found, err := r.Locate(t.Context(), repo.Map, n.Content.Root.ID)
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, r.Close())
	require.NoError(t, store.Delete(t.Context(), loc.Pack.PackKey()))

	r, err = repo.Open(t.Context(), store, &repo.Options{Credential: key})
	require.NoError(t, err)
	off, length := d.write(1<<20, 5000)
	var notes []string
	report := func(e snapshot.Event) {
		if e.Err != nil {
			notes = append(notes, e.Err.Error())
		}
	}
	m, err := snapshot.Backup(t.Context(), r, []snapshot.Item{d.disk.since(t, repo.ID{}, off, length)}, &snapshot.BackupOptions{Report: report})
	require.NoError(t, err)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], "its change map is not used: content map at offset")
	require.Empty(t, m.Deltas)
	require.EqualValues(t, 1, m.Stats.FilesChanged)
	require.GreaterOrEqual(t, m.Stats.BytesRead, uint64(4<<20))
	require.NoError(t, r.Close())
}
