package source_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

var errDisk = errors.New("input/output error")

// flaky is a disk with bad blocks of 4 KiB. A read stops with an error where it meets one.
type flaky struct {
	data  []byte
	bad   map[int64]bool
	reads int
}

func (f *flaky) ReadAt(p []byte, off int64) (int, error) {
	f.reads++
	n := 0
	for n < len(p) && off+int64(n) < int64(len(f.data)) {
		at := off + int64(n)
		if f.bad[at/4096] {
			return n, errDisk
		}
		end := min((at/4096+1)*4096, off+int64(len(p)), int64(len(f.data)))
		n += copy(p[n:], f.data[at:end])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestReadFull(t *testing.T) {
	rng := newRand(t)
	for range 60 {
		f := &flaky{data: randomBytes(rng, rng.IntN(100_000)), bad: map[int64]bool{}}
		for range rng.IntN(5) {
			f.bad[rng.Int64N(25)] = true
		}
		checkReadFull(t, f, rng)
	}
}

func checkReadFull(t *testing.T, f *flaky, rng *rand.Rand) {
	off := rng.Int64N(int64(len(f.data)) + 1)
	p := bytes.Repeat([]byte{0xaa}, rng.IntN(100_000))
	want, unread := make([]byte, len(p)), make([]bool, len(p))
	for i := range p {
		at := off + int64(i)
		if unread[i] = at >= int64(len(f.data)) || f.bad[at/4096]; !unread[i] {
			want[i] = f.data[at]
		}
	}
	bad, err := source.ReadFull(context.Background(), f, p, off)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, p), "content")
	last := int64(-1)
	for _, r := range bad {
		require.Greater(t, r.Off, last, "ranges are sorted and apart")
		require.Positive(t, r.Len)
		last = r.Off + r.Len
		require.NotContains(t, unread[r.Off-off:last-off], false, "only unreadable bytes are named")
		clear(unread[r.Off-off : last-off])
		require.True(t, errors.Is(r.Err, errDisk) || errors.Is(r.Err, io.ErrUnexpectedEOF))
	}
	require.NotContains(t, unread, true, "all unreadable bytes are named")
}

func TestReadFullGood(t *testing.T) {
	f := &flaky{data: make([]byte, 1<<20)}
	bad, err := source.ReadFull(context.Background(), f, make([]byte, 1<<20), 0)
	require.NoError(t, err)
	require.Empty(t, bad)
	require.Equal(t, 1, f.reads, "good data is read at once")
}

type stub func(p []byte, off int64) (int, error)

func (s stub) ReadAt(p []byte, off int64) (int, error) { return s(p, off) }

func TestReadFullGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	reads := 0
	_, err := source.ReadFull(ctx, stub(func([]byte, int64) (int, error) {
		if reads++; reads == 3 {
			cancel()
		}
		return 0, errDisk
	}), make([]byte, 1<<20), 0)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 3, reads)

	_, err = source.ReadFull(context.Background(), stub(func([]byte, int64) (int, error) { return 0, fs.ErrClosed }), make([]byte, 10), 0)
	require.ErrorIs(t, err, fs.ErrClosed)

	p := []byte("xxxxx")
	bad, err := source.ReadFull(context.Background(), stub(func([]byte, int64) (int, error) { return 0, nil }), p, 8192)
	require.NoError(t, err)
	require.Equal(t, []source.Range{{Off: 8192, Len: 5, Err: io.ErrNoProgress}}, bad, "a reader that does nothing")
	require.Equal(t, make([]byte, 5), p)
}

func extents(t *testing.T, img source.Image, off, n int64) []source.Extent {
	t.Helper()
	var got []source.Extent
	for x, err := range img.Extents(context.Background(), off, n) {
		require.NoError(t, err)
		got = append(got, x)
	}
	return got
}

// checkExtents asserts the promises of Extents, and that holes are zero.
func checkExtents(t *testing.T, img source.Image, off, n int64) (holes int64) {
	t.Helper()
	pos := off
	kind := source.Kind(255)
	for _, x := range extents(t, img, off, n) {
		require.Equal(t, pos, x.Off)
		require.Positive(t, x.Len)
		require.NotEqual(t, kind, x.Kind, "neighbours differ")
		pos, kind = x.Off+x.Len, x.Kind
		if x.Kind == source.Hole {
			holes += x.Len
			buf := make([]byte, x.Len)
			_, err := img.ReadAt(buf, x.Off)
			require.True(t, err == nil || err == io.EOF && x.Off+x.Len == img.Size(), "%v", err)
			require.Equal(t, make([]byte, x.Len), buf)
		}
	}
	require.Equal(t, min(off+n, img.Size()), pos)
	return holes
}

// sparse makes a file with a data block at each of the offsets.
func sparse(t *testing.T, dir string, size int64, offs ...int64) string {
	t.Helper()
	path := filepath.Join(dir, "sparse")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(size))
	for _, off := range offs {
		_, err = f.WriteAt(bytes.Repeat([]byte("x"), 100), off)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	return path
}

func TestExtents(t *testing.T) {
	path := sparse(t, t.TempDir(), 64<<20+100, 1<<20, 8<<20, 8<<20+4096, 40<<20)
	img, err := source.OpenDisk(context.Background(), path, nil)
	require.NoError(t, err)
	defer img.Close()
	require.EqualValues(t, 64<<20+100, img.Size())
	holes := checkExtents(t, img, 0, img.Size())
	if holes == 0 {
		t.Skip("the temporary folder's file system has no holes")
	}
	require.Greater(t, holes, int64(60<<20))
	rng := newRand(t)
	for range 10 {
		checkExtents(t, img, rng.Int64N(img.Size()), 1+rng.Int64N(20<<20))
	}
	require.Empty(t, extents(t, img, img.Size(), 10))
	require.Empty(t, extents(t, img, 0, 0))
	for x, err := range img.Extents(context.Background(), 0, img.Size()) {
		require.NoError(t, err)
		require.Zero(t, x.Off)
		break // stopping early is allowed
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range img.Extents(ctx, 0, 10) {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, img.Changed())
}

func TestShrunkFileIsNoHole(t *testing.T) {
	path := sparse(t, t.TempDir(), 8<<20, 0)
	img, err := source.OpenDisk(context.Background(), path, nil)
	require.NoError(t, err)
	defer img.Close()
	require.NoError(t, os.Truncate(path, 2<<20))
	for _, x := range extents(t, img, 0, img.Size()) {
		require.False(t, x.Kind == source.Hole && x.Off+x.Len > 2<<20, "a hole past the end: %v", x)
	}
	p := make([]byte, 1<<20)
	bad, err := source.ReadFull(context.Background(), img, p, 2<<20-100)
	require.NoError(t, err)
	require.Equal(t, []source.Range{{Off: 2 << 20, Len: 1<<20 - 100, Err: io.ErrUnexpectedEOF}}, bad)
	var changed *source.ChangedError
	require.ErrorAs(t, img.Changed(), &changed)
	require.Equal(t, path, changed.Path)
}

func TestGrownFileKeepsItsSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "hello")
	img, err := source.OpenDisk(context.Background(), path, nil)
	require.NoError(t, err)
	defer img.Close()
	require.NoError(t, os.WriteFile(path, []byte("hello world"), 0o644))
	p := make([]byte, 20)
	n, err := img.ReadAt(p, 0)
	require.Equal(t, io.EOF, err)
	require.Equal(t, "hello", string(p[:n]))
	n, err = img.ReadAt(p[:5], 0)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	_, err = img.ReadAt(p, 5)
	require.Equal(t, io.EOF, err)
	_, err = img.ReadAt(p, -1)
	require.Error(t, err)
	require.NotEqual(t, io.EOF, err)
	require.Error(t, img.Changed())
}

func TestChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for name, change := range map[string]func(){
		"content": func() { _ = os.WriteFile(path, []byte("world"), 0o644) },
		"back in time": func() {
			_ = os.WriteFile(path, []byte("world"), 0o644)
			_ = os.Chtimes(path, time.Time{}, time.Unix(1e9, 0))
		},
		"size": func() { _ = os.Truncate(path, 2) },
	} {
		write(t, path, "hello")
		require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)))
		time.Sleep(10 * time.Millisecond) // the clock of file times has steps
		if e, err := newTree(t, nil).Lstat(context.Background(), path); name == "back in time" && err == nil && e.CTime == 0 {
			continue // nothing could tell on this system
		}
		img, err := source.OpenDisk(context.Background(), path, nil)
		require.NoError(t, err)
		require.NoError(t, img.Changed())
		change()
		var changed *source.ChangedError
		require.ErrorAs(t, img.Changed(), &changed, name)
		require.NoError(t, img.Close())
	}
}

func TestOpenDiskRefuses(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	_, err := source.OpenDisk(ctx, dir, nil)
	require.ErrorIs(t, err, source.ErrNoDisk)
	_, err = source.OpenDisk(ctx, os.DevNull, nil)
	require.ErrorIs(t, err, source.ErrNoDisk)
	_, err = source.OpenDisk(ctx, filepath.Join(dir, "none"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	_, err = source.OpenDisk(ctx, dir, nil)
	require.ErrorIs(t, err, context.Canceled)
}

func TestConcurrentReads(t *testing.T) {
	rng := newRand(t)
	data := randomBytes(rng, 4<<20)
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, string(data))
	link := path + ".link"
	require.NoError(t, os.Symlink(path, link))
	for _, o := range []*source.DiskOptions{nil, {DropCache: true}} {
		img, err := source.OpenDisk(context.Background(), link, o)
		require.NoError(t, err)
		require.False(t, img.Device())
		require.Nil(t, img.InUse())
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				p := make([]byte, 256<<10)
				for off := int64(w) * (1 << 20); off < int64(w+1)*(1<<20); off += int64(len(p)) {
					img.Prefetch(off, int64(len(p)))
					_, err := img.ReadAt(p, off)
					if err != nil || !bytes.Equal(p, data[off:off+int64(len(p))]) {
						t.Errorf("at %d: wrong data (%v)", off, err)
					}
					for range img.Extents(context.Background(), off, 1<<20) {
					}
				}
			})
		}
		wg.Wait()
		require.NoError(t, img.Close())
		_, err = img.ReadAt(make([]byte, 1), 0)
		require.ErrorIs(t, err, fs.ErrClosed)
	}
}

func ExampleOpenDisk() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "disk.img")
	_ = os.WriteFile(path, make([]byte, 8192), 0o600)

	disk, err := source.OpenDisk(context.Background(), path, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer disk.Close()
	buf := make([]byte, disk.Size())
	bad, err := source.ReadFull(context.Background(), disk, buf, 0)
	fmt.Println(disk.Size(), len(bad), err, disk.Changed())
	// Output: 8192 0 <nil> <nil>
}
