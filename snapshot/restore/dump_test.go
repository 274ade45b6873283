package restore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

func TestDump(t *testing.T) {
	rng := newRand(t)
	for _, size := range []int{0, 1, 100_000, 12<<20 + 5} {
		b := newBench(t, small)
		data := randomImage(rng, size)
		c := b.save(data)
		r := b.commit(c)
		for _, workers := range []int{0, 1, 7} {
			var out bytes.Buffer
			total := int64(0)
			o := &restore.DumpOptions{Workers: workers, Progress: func(n int64) { total += n }}
			require.NoError(t, restore.Dump(t.Context(), r, c, &out, o))
			requireBytes(t, data, out.Bytes())
			require.EqualValues(t, size, total)
		}
	}
}

func TestDumpDamage(t *testing.T) {
	rng := newRand(t)
	b := newBench(t, small)
	data := randomBytes(rng, 6<<20)
	bad := span{4 << 20, 70_000}
	c := b.save(data, bad)
	r := b.commit(c)
	keys := b.dataPacks()
	b.damage(keys[rng.IntN(len(keys))], "remove")

	var out bytes.Buffer
	err := restore.Dump(t.Context(), r, c, &out, &restore.DumpOptions{Path: "/x"})
	var d *restore.DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, "/x", d.Path)
	require.EqualValues(t, out.Len(), d.Off, "it stops where the damage is")
	requireBytes(t, data[:d.Off], out.Bytes())

	out.Reset()
	err = restore.Dump(t.Context(), r, c, &out, &restore.DumpOptions{ZeroFill: true})
	var inc *restore.IncompleteError
	require.ErrorAs(t, err, &inc)
	require.ErrorIs(t, err, restore.ErrUnread)
	var corrupt *repo.CorruptError
	require.ErrorAs(t, err, &corrupt)
	for _, d := range inc.Damages {
		clear(data[d.Off:][:d.Len])
	}
	require.Greater(t, inc.Lost, bad.n)
	require.LessOrEqual(t, inc.Lost, bad.n+1<<20)
	requireBytes(t, data, out.Bytes())
}

func TestDumpWriter(t *testing.T) {
	b := newBench(t, small)
	c := b.save(randomBytes(newRand(t), 4<<20))
	r := b.commit(c)
	closed := errors.New("nobody listens")
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.CopyN(io.Discard, pr, 1<<20)
		_ = pr.CloseWithError(closed)
	}()
	require.ErrorIs(t, restore.Dump(t.Context(), r, c, pw, nil), closed)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, restore.Dump(ctx, r, c, io.Discard, nil), context.Canceled)
}

// TestSecondCopy stores chunks twice, and expects a damaged copy to be replaced by the other.
func TestSecondCopy(t *testing.T) {
	rng := newRand(t)
	data := randomBytes(rng, 3<<20)
	for _, how := range []string{"flip", "remove"} {
		for which := range 2 {
			b := newBench(t, small)
			first, writer := b.session, b.writer
			c := b.save(data)
			b.begin() // before the first is committed: neither sees the other's chunks
			require.Equal(t, c, b.save(data))
			require.NoError(t, writer.Flush(t.Context()))
			_, err := first.Commit(t.Context(), emptyPair(t, first), nil)
			require.NoError(t, err)
			r := b.commit(c)
			own := [2]string{"packs/" + first.ID(), "packs/" + b.session.ID()}
			n := 0
			for _, key := range b.dataPacks() {
				if strings.HasPrefix(key, own[which]) {
					b.damage(key, how)
					n++
				}
			}
			require.Greater(t, n, 1)
			path := tempFile(t)
			_, err = restore.ImageFile(t.Context(), r, c, path, nil)
			require.NoError(t, err)
			requireFile(t, path, data)
			var out bytes.Buffer
			require.NoError(t, restore.Dump(t.Context(), r, c, &out, nil))
			requireBytes(t, data, out.Bytes())
		}
	}
}

// emptyPair is the root of a tree without entries.
func emptyPair(t testing.TB, s *repo.Session) repo.Pair {
	p, err := tree.NewDirBuilder(s).Finish(t.Context())
	require.NoError(t, err)
	return p
}
