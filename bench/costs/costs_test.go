package costs

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/mem"
	"github.com/holdfast-backup/holdfast/backend/meter"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// cost is what one step took. Bytes are counted where they pass: read from the source, put into and got from the store, written by the restore.
type cost struct {
	Allocations, AllocatedBytes int64
	SourceBytes, WrittenBytes   int64
	Puts, PutBytes              int64
	Gets, GetBytes              int64
	Stats, Lists, Deletes       int64
}

// stated is what each step may cost, with one worker, for a disk of 24 MiB of data in about 400 chunks. A Put is an object. Where a number rises because a change is worth it, state the new one here and say why in the commit;
// where one falls, lower it in the same change, so that what was won is kept. A test that fails prints the line to paste.
var stated = map[string]cost{
	"init":                              {Allocations: 304, AllocatedBytes: 189744, Puts: 3, PutBytes: 3588, Gets: 1, Stats: 8, Lists: 5},
	"first backup":                      {Allocations: 2346, AllocatedBytes: 77217640, SourceBytes: 25231440, Puts: 7, PutBytes: 14732027, Gets: 3, Stats: 21},
	"unchanged, read again":             {Allocations: 1085, AllocatedBytes: 2340000, SourceBytes: 25165824, Puts: 3, PutBytes: 1001, Gets: 5, GetBytes: 18225, Stats: 21},
	"unchanged by its times":            {Allocations: 830, AllocatedBytes: 405400, Puts: 3, PutBytes: 987, Gets: 3, Stats: 21},
	"eight bytes changed":               {Allocations: 1310, AllocatedBytes: 22151248, SourceBytes: 25165824, Puts: 7, PutBytes: 800000, Gets: 3, Stats: 21}, // eight chunks of any length
	"open with a cold cache":            {Allocations: 490, AllocatedBytes: 171632, Gets: 17, GetBytes: 5875, Stats: 7, Lists: 1},                            // entries are read ahead, some of them beyond the head
	"list":                              {Allocations: 39, AllocatedBytes: 6160},
	"restore":                           {Allocations: 1475, AllocatedBytes: 4842352, WrittenBytes: 33554432, Gets: 29, GetBytes: 14510756},
	"restore in place, nothing differs": {Allocations: 245, AllocatedBytes: 1512344},
	"check of every byte":               {Allocations: 2129, AllocatedBytes: 19237784, Gets: 36, GetBytes: 15406572, Stats: 21, Lists: 2}, // the ledger is read once more after the listing
}

// slack is how far above what is stated a cost may lie: chunks are cut by a secret that differs from run to run, and so does, a little, all
// that depends on their number.
func slack(name string, n int64) int64 {
	switch name {
	case "Allocations":
		return n/8 + 200
	case "AllocatedBytes":
		return n/8 + 64<<10
	case "SourceBytes", "WrittenBytes", "PutBytes", "GetBytes":
		return n/20 + 4<<10
	}
	return 1 + n/10 // requests
}

// disk is an image in memory that counts what is read of it.
type disk struct {
	data []byte
	read atomic.Int64
}

const hole = 8 << 20

// newDisk makes 32 MiB: a quarter each of noise, a hole, and twice text that compresses.
func newDisk() *disk {
	d := &disk{data: make([]byte, 32<<20)}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range hole {
		d.data[i] = byte(rng.Uint32())
	}
	words := strings.Fields("a disk holds many words that come again and again in another order with numbers between")
	for i := 2 * hole; i < len(d.data); {
		i += copy(d.data[i:], fmt.Sprintf("%s %d ", words[rng.IntN(len(words))], rng.IntN(1e6)))
	}
	return d
}

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, d.data[off:])
	d.read.Add(int64(n))
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (d *disk) Size() int64    { return int64(len(d.data)) }
func (d *disk) Changed() error { return nil }
func (d *disk) Close() error   { return nil }

func (d *disk) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) {
		end := min(off+n, d.Size())
		for off < end {
			e := source.Extent{Off: off, Len: min(end, (off/hole+1)*hole) - off, Kind: source.Data}
			if off/hole == 1 {
				e.Kind = source.Hole
			} else if off/hole == 2 {
				e.Len = end - off
			}
			if !yield(e, nil) {
				return
			}
			off += e.Len
		}
	}
}

// target takes what is restored.
type target struct {
	data    []byte
	written atomic.Int64
}

func (t *target) WriteAt(p []byte, off int64) (int, error) {
	t.written.Add(int64(len(p)))
	return copy(t.data[off:], p), nil
}

func (t *target) ReadAt(p []byte, off int64) (int, error) { return copy(p, t.data[off:]), nil }

// lab is a repository whose store is metered, and a disk to back up.
type lab struct {
	t     *testing.T
	store *meter.Store
	repo  *repo.Repository
	disk  *disk
	out   target
}

func (l *lab) now() cost {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	count := func(op backend.Op) meter.Count { return l.store.Count(op) }
	put, get := count(backend.OpPut), count(backend.OpGet)
	return cost{
		Allocations: int64(m.Mallocs), AllocatedBytes: int64(m.TotalAlloc), SourceBytes: l.disk.read.Load(), WrittenBytes: l.out.written.Load(),
		Puts: put.Calls, PutBytes: put.Bytes, Gets: get.Calls, GetBytes: get.Bytes,
		Stats: count(backend.OpStat).Calls, Lists: count(backend.OpList).Calls, Deletes: count(backend.OpDelete).Calls,
	}
}

// fields lists the names and values of a cost.
func (c *cost) fields() iter.Seq2[string, *int64] {
	return func(yield func(string, *int64) bool) {
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			if !yield(v.Type().Field(i).Name, v.Field(i).Addr().Interface().(*int64)) {
				return
			}
		}
	}
}

// step runs do and holds what it costs against what is stated.
func (l *lab) step(name string, do func() error) {
	l.t.Helper()
	runtime.GC()
	start, before := time.Now(), l.now()
	err := do()
	got, took := l.now(), time.Since(start)
	require.NoError(l.t, err, name)
	want := stated[name]
	var line strings.Builder
	var over []string
	for field, n := range got.fields() {
		for f, b := range before.fields() {
			if f == field {
				*n -= *b
			}
		}
		if *n != 0 {
			fmt.Fprintf(&line, "%s: %d, ", field, *n)
		}
		for f, w := range want.fields() {
			if f != field || strings.HasPrefix(f, "Alloc") && raceDetector {
				continue
			}
			if most := *w + slack(f, *w); *n > most {
				over = append(over, fmt.Sprintf("%s is %d, at most %d is stated", f, *n, most))
			}
		}
	}
	text := fmt.Sprintf("%q: {%s},", name, strings.TrimSuffix(line.String(), ", "))
	l.t.Logf("%s // %v", text, took.Round(time.Millisecond))
	if len(over) > 0 {
		l.t.Errorf("%s costs more than is stated:\n  %s\nIf that is worth it, put this into `stated`, and say in the commit why:\n  %s", name, strings.Join(over, "\n  "), text)
	}
}

func (l *lab) backup(o snapshot.BackupOptions) (*snapshot.Manifest, error) {
	o.Workers, o.Host = 1, "host"
	entry := &source.Entry{Mode: 0o600, MTime: 1, CTime: 1}
	return snapshot.Backup(l.t.Context(), l.repo, []snapshot.Item{snapshot.Disk("/disk", l.disk, entry, false)}, &o)
}

// TestCosts runs everything with one worker and without the garbage collector, so that numbers come out the same each time.
func TestCosts(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	l := &lab{t: t, store: meter.New(mem.New(nil)), disk: newDisk(), out: target{data: make([]byte, 32<<20)}}
	_, key := crypto.NewKeyFile()
	l.step("init", func() (err error) {
		l.repo, err = repo.Init(t.Context(), l.store, &repo.InitOptions{Options: repo.Options{CacheDir: t.TempDir()}, Sealer: key})
		return err
	})
	var first *snapshot.Manifest
	l.step("first backup", func() (err error) {
		first, err = l.backup(snapshot.BackupOptions{})
		return err
	})
	l.step("unchanged, read again", func() error {
		_, err := l.backup(snapshot.BackupOptions{Force: true})
		return err
	})
	l.step("unchanged by its times", func() error {
		_, err := l.backup(snapshot.BackupOptions{})
		return err
	})
	l.changed()
	require.NoError(t, l.repo.Close())
	l.step("open with a cold cache", func() (err error) {
		l.repo, err = repo.Open(t.Context(), l.store, &repo.Options{CacheDir: t.TempDir(), Credential: key})
		return err
	})
	l.step("list", func() error {
		list, err := snapshot.List(t.Context(), l.repo, nil)
		require.Len(t, list, 4)
		return err
	})
	l.restores(first)
	l.step("check of every byte", func() error {
		report, err := l.repo.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll(), Workers: 1})
		if err == nil {
			require.Empty(t, report.Errors)
		}
		return err
	})
	require.NoError(t, l.repo.Close())
}

// changed backs up the disk with a byte changed in each of eight places.
func (l *lab) changed() {
	for i := range 8 {
		l.disk.data[i*(1<<20)] ^= 1
	}
	l.step("eight bytes changed", func() error {
		_, err := l.backup(snapshot.BackupOptions{Force: true})
		return err
	})
	for i := range 8 {
		l.disk.data[i*(1<<20)] ^= 1
	}
}

// restores brings the first backup back: to nothing, and over itself.
func (l *lab) restores(m *snapshot.Manifest) {
	for _, inPlace := range []bool{false, true} {
		name := map[bool]string{false: "restore", true: "restore in place, nothing differs"}[inPlace]
		l.step(name, func() error {
			img, err := snapshot.OpenImage(l.t.Context(), l.repo, m.ID, "/disk")
			if err != nil {
				return err
			}
			_, err = restore.Image(l.t.Context(), l.repo, img.Node().Content, &l.out, &restore.ImageOptions{InPlace: inPlace, Options: restore.Options{Workers: 1}})
			return err
		})
		require.True(l.t, string(l.out.data) == string(l.disk.data), "wrong bytes came back")
	}
}
