package restore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/fault"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
)

// TestImage restores images to everything that takes one, and expects their bytes.
func TestImage(t *testing.T) {
	rng := newRand(t)
	for _, size := range []int{0, 1, 4095, 4096, 70_000, 3 << 20, 12<<20 + 77} {
		b := newBench(t, small)
		data := randomImage(rng, size)
		c := b.save(data)
		r := b.commit(c)
		for _, o := range []restore.ImageOptions{
			{},
			{Options: restore.Options{Workers: 1}},
			{Options: restore.Options{NoSparse: true, Verify: true}},
			{Options: restore.Options{Workers: 5, Verify: true}, InPlace: true},
			manyWindows(restore.Options{Verify: true}), {Options: manyWindows(restore.Options{Workers: 4, Verify: true}).Options, InPlace: true},
		} {
			path := tempFile(t)
			stats, err := restore.ImageFile(t.Context(), r, c, path, &o)
			require.NoError(t, err)
			requireFile(t, path, data)
			require.EqualValues(t, size, stats.Bytes)
			if o.Verify {
				require.EqualValues(t, size, stats.Verified)
			}
			require.EqualValues(t, 1, stats.Files)

			// Over something else, longer or shorter.
			other := randomImage(rng, size/2+rng.IntN(size+2))
			require.NoError(t, os.WriteFile(path, other, 0o600))
			_, err = restore.ImageFile(t.Context(), r, c, path, &o)
			require.NoError(t, err)
			requireFile(t, path, data)
		}
		m := &memFile{data: randomBytes(rng, size)}
		_, err := restore.Image(t.Context(), r, c, writerOnly{m}, nil)
		require.NoError(t, err)
		requireBytes(t, data, m.data)
		require.EqualValues(t, size, m.written)

		m = &memFile{data: make([]byte, size)}
		_, err = restore.Image(t.Context(), r, c, m, &restore.ImageOptions{Zeroed: true, Options: restore.Options{Verify: true}})
		require.NoError(t, err)
		requireBytes(t, data, m.data)

		m = &memFile{data: randomImage(rng, size)}
		_, err = restore.Image(t.Context(), r, c, m, &restore.ImageOptions{InPlace: true})
		require.NoError(t, err)
		requireBytes(t, data, m.data)
	}
}

// manyWindows are options for windows of a few places.
func manyWindows(o restore.Options) restore.ImageOptions {
	restore.SmallWindows(&o, 50, 3, 100_000)
	return restore.ImageOptions{Options: o}
}

// TestInPlace changes few places of a restored image and expects that only what is around them is written again.
func TestInPlace(t *testing.T) {
	rng := newRand(t)
	b := newBench(t, small)
	data := randomImage(rng, 8<<20)
	data = append(data, bytes.Repeat([]byte{7}, 1<<20)...) // a run of equal chunks
	c := b.save(data)
	r := b.commit(c)
	m := &memFile{data: bytes.Clone(data)}
	o := &restore.ImageOptions{InPlace: true, Path: "it"}
	stats, err := restore.Image(t.Context(), r, c, m, o)
	require.NoError(t, err)
	require.Zero(t, m.written)
	require.Zero(t, stats.Written)
	require.EqualValues(t, 1, stats.Unchanged)
	changed := []int64{0, int64(len(data)) - 1}
	for range 20 {
		changed = append(changed, rng.Int64N(int64(len(data))))
	}
	for _, off := range changed {
		m.data[off] ^= 0x55
	}
	stats, err = restore.Image(t.Context(), r, c, m, o)
	require.NoError(t, err)
	requireBytes(t, data, m.data)
	require.Less(t, m.written, int64(len(changed))*64<<10)
	require.Equal(t, m.written, stats.Written)
	require.EqualValues(t, len(data), stats.Bytes)
	require.Greater(t, stats.Same, int64(len(data))/2)
	for _, w := range m.ranges {
		near := false
		for _, off := range changed {
			near = near || w.off <= off+256<<10 && off-256<<10 <= w.off+w.n
		}
		require.True(t, near, "%d bytes were written at %d", w.n, w.off)
	}
}

// TestResume stops a restore by an error of the target and expects the second run to write the rest only.
func TestResume(t *testing.T) {
	rng := newRand(t)
	b := newBench(t, small)
	data := randomBytes(rng, 8<<20)
	c := b.save(data)
	r := b.commit(c)
	broken := errors.New("broken")
	m := &memFile{data: make([]byte, len(data)), failAt: 6 << 20, err: broken}
	_, err := restore.Image(t.Context(), r, c, m, &restore.ImageOptions{Options: restore.Options{Workers: 2}, Zeroed: true})
	require.ErrorIs(t, err, broken)
	first := m.written
	require.Positive(t, first)
	m.failAt = 0
	_, err = restore.Image(t.Context(), r, c, m, &restore.ImageOptions{InPlace: true})
	require.NoError(t, err)
	requireBytes(t, data, m.data)
	require.EqualValues(t, len(data), m.written, "nothing was written twice")
}

func TestUnread(t *testing.T) {
	rng := newRand(t)
	b := newBench(t, small)
	data := randomBytes(rng, 1<<20)
	bad := []span{{100_000, 5000}, {700_001, 99}}
	c := b.save(data, bad...)
	r := b.commit(c)
	for _, s := range bad {
		clear(data[s.off:][:s.n])
	}
	path := tempFile(t)
	stats, err := restore.ImageFile(t.Context(), r, c, path, &restore.ImageOptions{Options: restore.Options{Verify: true}})
	require.ErrorIs(t, err, restore.ErrUnread)
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.Len(t, inc.Damages, 2)
	for i, d := range inc.Damages {
		require.Equal(t, bad[i], span{d.Off, d.Len})
		require.Equal(t, path, d.Path)
	}
	require.EqualValues(t, 2, inc.Total)
	require.EqualValues(t, 5099, inc.Lost)
	require.EqualValues(t, len(data)-5099, stats.Bytes)
	requireFile(t, path, data)
}

// TestDamage damages packs and expects that the rest is restored, and that what is not is exactly what is reported.
func TestDamage(t *testing.T) {
	rng := newRand(t)
	for _, how := range []string{"flip", "remove", "error"} {
		t.Run(how, func(t *testing.T) {
			b := newBench(t, small)
			data := randomBytes(rng, 6<<20)
			c := b.save(data)
			r := b.commit(c)
			keys := b.dataPacks()
			require.Greater(t, len(keys), 4)
			key := keys[rng.IntN(len(keys))]
			b.damage(key, how)
			path := tempFile(t)
			_, err := restore.ImageFile(t.Context(), r, c, path, nil)
			var inc *restore.IncompleteError
			require.ErrorAs(t, err, &inc)
			require.NotEmpty(t, inc.Damages)
			if how != "error" {
				var corrupt *repo.CorruptError
				require.ErrorAs(t, err, &corrupt)
				require.Equal(t, key, corrupt.Key)
			}
			var lost int64
			for i, d := range inc.Damages {
				require.Equal(t, path, d.Path)
				require.True(t, i == 0 || d.Off >= inc.Damages[i-1].Off+inc.Damages[i-1].Len)
				clear(data[d.Off:][:d.Len])
				lost += d.Len
			}
			require.Equal(t, lost, inc.Lost)
			require.LessOrEqual(t, lost, int64(1<<20), "no more than the pack holds")
			require.Positive(t, lost)
			requireFile(t, path, data)
		})
	}
}

// damage spoils an object.
func (b *bench) damage(key, how string) {
	b.t.Helper()
	switch how {
	case "remove":
		require.NoError(b.t, b.store.Delete(b.t.Context(), key))
	case "flip":
		p, err := backend.ReadAll(b.t.Context(), b.store, key, 1<<30)
		require.NoError(b.t, err)
		p[len(p)/2] ^= 1
		require.NoError(b.t, b.store.Delete(b.t.Context(), key))
		require.NoError(b.t, b.store.Put(b.t.Context(), key, bytes.NewReader(p), int64(len(p)), nil))
	case "error":
		require.NoError(b.t, b.faults.Add(fault.Rule{Ops: []backend.Op{backend.OpGet}, Prefix: key}))
	}
}

// dataPacks returns the keys of large packs, which are those of class DATA.
func (b *bench) dataPacks() (keys []string) {
	for info, err := range b.store.List(b.t.Context(), "packs/") {
		require.NoError(b.t, err)
		if info.Size > 900<<10 {
			keys = append(keys, info.Key)
		}
	}
	return keys
}

// TestDamagedMap damages the content map.
func TestDamagedMap(t *testing.T) {
	rng := newRand(t)
	b := newBench(t, small)
	data := randomBytes(rng, 6<<20)
	c := b.save(data)
	r := b.commit(c)
	n := 0
	for info, err := range b.store.List(t.Context(), "packs/") {
		require.NoError(t, err)
		if info.Size < 900<<10 { // MAP, META or the last of DATA
			b.damage(info.Key, "remove")
			n++
		}
	}
	require.Positive(t, n)
	path := tempFile(t)
	_, err := restore.ImageFile(t.Context(), r, c, path, nil)
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.EqualValues(t, len(data), inc.Lost)
	requireFile(t, path, make([]byte, len(data)))
}

// forgetful loses some of the nodes that it should save.
type forgetful struct {
	inner reftree.Saver
	rng   *rand.Rand
	lost  int64 // bytes that the lost nodes cover
	n     int
}

func (f *forgetful) Save(ctx context.Context, class reftree.Class, p []byte) (reftree.ID, error) {
	n, err := reftree.DecodeMapNode(p)
	if err != nil {
		return reftree.ID{}, err
	}
	if n.Level == 0 && (f.n == 0 || f.rng.IntN(8) == 0) {
		f.lost += n.Size
		f.n++
		return reftree.ID{0: byte(f.n), 31: 1}, nil
	}
	return f.inner.Save(ctx, class, p)
}

// TestLostMapNodes expects everything but what lost nodes of the content map cover.
func TestLostMapNodes(t *testing.T) {
	rng := newRand(t)
	b := newBench(t, small)
	data := randomImage(rng, 8<<20)
	f := &forgetful{inner: b.session, rng: rng}
	c := b.saveWith(f, data)
	r := b.commit(b.save([]byte("something")))
	require.Positive(t, f.n)
	path := tempFile(t)
	stats, err := restore.ImageFile(t.Context(), r, c, path, nil)
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.ErrorIs(t, err, repo.ErrNotFound)
	require.Equal(t, f.lost, inc.Lost)
	require.EqualValues(t, f.n, inc.Total)
	require.Equal(t, int64(len(data))-f.lost, stats.Bytes)
	for _, d := range inc.Damages {
		clear(data[d.Off:][:d.Len])
	}
	requireFile(t, path, data)
}

// TestStoreAway expects a restore to end soon when the store does not answer any more.
func TestStoreAway(t *testing.T) {
	rng := newRand(t)
	b := newBench(t, small)
	c := b.save(randomBytes(rng, 8<<20))
	r := b.commit(c)
	_, found, err := r.Locate(t.Context(), repo.Data, repo.ID{})
	require.NoError(t, err)
	require.False(t, found)
	gone := errors.New("gone")
	require.NoError(t, b.faults.Add(fault.Rule{Ops: []backend.Op{backend.OpGet}, Prefix: "packs/", After: 20, Err: gone}))
	_, err = restore.ImageFile(t.Context(), r, c, tempFile(t), nil)
	require.ErrorIs(t, err, gone)
	require.ErrorContains(t, err, "giving up")
}

func TestCancel(t *testing.T) {
	b := newBench(t, small)
	c := b.save(randomBytes(newRand(t), 8<<20))
	r := b.commit(c)
	ctx, cancel := context.WithCancel(t.Context())
	m := &cancelling{memFile: memFile{data: make([]byte, 8<<20)}, cancel: cancel}
	_, err := restore.Image(ctx, r, c, m, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, m.written, int64(4<<20))
}

type cancelling struct {
	memFile
	cancel func()
}

func (c *cancelling) WriteAt(p []byte, off int64) (int, error) {
	c.cancel()
	return c.memFile.WriteAt(p, off)
}

// lying is a target that does not keep what is written to it.
type lying struct{ memFile }

func (l *lying) WriteAt(p []byte, off int64) (int, error) {
	n, err := l.memFile.WriteAt(p, off)
	if off <= 500_000 && 500_000 < off+int64(len(p)) {
		l.data[500_000] ^= 1
	}
	return n, err
}

func TestVerifyFindsOtherBytes(t *testing.T) {
	b := newBench(t, small)
	c := b.save(randomBytes(newRand(t), 1<<20))
	r := b.commit(c)
	m := &lying{memFile{data: make([]byte, 1<<20)}}
	stats, err := restore.Image(t.Context(), r, c, m, &restore.ImageOptions{Path: "disk", Options: restore.Options{Verify: true}})
	require.ErrorIs(t, err, restore.ErrMismatch)
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.Len(t, inc.Damages, 1)
	d := inc.Damages[0]
	require.True(t, d.Off <= 500_000 && 500_000 < d.Off+d.Len && d.Len < 64<<10)
	require.EqualValues(t, 1<<20-d.Len, stats.Verified)
	require.Equal(t, "disk", d.Path)
}

func TestNotReadable(t *testing.T) {
	b := newBench(t, small)
	c := b.save([]byte("x"))
	r := b.commit(c)
	for _, o := range []restore.ImageOptions{{InPlace: true}, {Options: restore.Options{Verify: true}}} {
		_, err := restore.Image(t.Context(), r, c, writerOnly{&memFile{data: make([]byte, 1)}}, &o)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
}

// TestWrongLength has a map that gives a chunk another length than it has.
func TestWrongLength(t *testing.T) {
	b := newBench(t, small)
	good := b.save([]byte("a chunk of some length"))
	c := good
	c.Spans = []reftree.Span{{ID: good.Spans[0].ID, Length: 10, Count: 3}, good.Spans[0]}
	c.Size += 30
	r := b.commit(good)
	path := tempFile(t)
	_, err := restore.ImageFile(t.Context(), r, c, path, nil)
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.EqualValues(t, 30, inc.Lost)
	require.ErrorIs(t, err, repo.ErrNotFound)
	requireFile(t, path, append(make([]byte, 30), "a chunk of some length"...))
	require.Error(t, restore.Dump(t.Context(), r, c, io.Discard, nil))

	c.Size++
	_, err = restore.ImageFile(t.Context(), r, c, path, nil)
	require.ErrorIs(t, err, reftree.ErrFormat)
}

func TestModTimeAndProgress(t *testing.T) {
	b := newBench(t, small)
	data := randomImage(newRand(t), 1<<20)
	c := b.save(data)
	r := b.commit(c)
	path := tempFile(t)
	when := time.Unix(1234567890, 123456789)
	var last restore.Progress
	o := &restore.ImageOptions{ModTime: when, Options: restore.Options{Progress: func(p restore.Progress) { last = p }}}
	_, err := restore.ImageFile(t.Context(), r, c, path, o)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(when), info.ModTime())
	require.EqualValues(t, 0o600, info.Mode().Perm())
	require.EqualValues(t, 1<<20, last.Bytes)
	require.EqualValues(t, 1<<20, last.BytesTotal)
	require.EqualValues(t, 1, last.Files)
}

// flushed counts how often a target is flushed.
type flushed struct {
	discard
	times int
}

func (f *flushed) Sync() error { f.times++; return nil }

func TestSync(t *testing.T) {
	b := newBench(t, small)
	c := b.save([]byte("data"))
	r := b.commit(c)
	for _, sync := range []bool{false, true} {
		out := &flushed{}
		_, err := restore.Image(t.Context(), r, c, out, &restore.ImageOptions{Options: restore.Options{Sync: sync}})
		require.NoError(t, err)
		require.Equal(t, sync, out.times == 1)
	}
}

func BenchmarkImage(b *testing.B) {
	x := newBench(b, repo.Config{})
	rng := newRand(b)
	var data []byte
	for len(data) < 256<<20 { // compresses to a half
		data = append(append(data, randomBytes(rng, 64<<10)...), bytes.Repeat(randomBytes(rng, 1<<10), 64)...)
	}
	c := x.save(data)
	r := x.commit(c)
	path := tempFile(b)
	run := func(name string, restoreIt func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, restoreIt())
			}
		})
	}
	run("file", func() error {
		_, err := restore.ImageFile(b.Context(), r, c, path, nil)
		return err
	})
	run("inplace", func() error {
		_, err := restore.ImageFile(b.Context(), r, c, path, &restore.ImageOptions{InPlace: true})
		return err
	})
	run("discard", func() error {
		_, err := restore.Image(b.Context(), r, c, discard{}, nil)
		return err
	})
	run("dump", func() error { return restore.Dump(b.Context(), r, c, io.Discard, nil) })
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
