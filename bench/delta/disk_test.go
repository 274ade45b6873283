package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// TestDisk: a disk reads the same however it is read, writes change what they should, and extents are right.
func TestDisk(t *testing.T) {
	d := newDisk(10<<20, 3<<20, 1<<20)
	whole, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
	require.NoError(t, err)
	require.Len(t, whole, 10<<20)
	for range 200 {
		off := rand.Int64N(d.Size())
		p := make([]byte, rand.IntN(200_000))
		n, err := d.ReadAt(p, off)
		require.True(t, err == nil || err == io.EOF && n < len(p))
		require.True(t, bytes.Equal(whole[off:off+int64(n)], p[:n]))
	}
	pos := int64(0)
	for e, err := range d.Extents(t.Context(), 0, d.Size()) {
		require.NoError(t, err)
		require.Equal(t, pos, e.Off)
		zero := bytes.Count(whole[e.Off:e.Off+e.Len], []byte{0}) == int(e.Len)
		require.Equal(t, zero, e.Kind == source.Hole)
		pos += e.Len
	}
	require.Equal(t, d.Size(), pos)

	at := extent{d.data[1].off + block, block}
	d.write(at)
	after, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
	require.NoError(t, err)
	require.False(t, bytes.Equal(whole[at.off:at.off+at.n], after[at.off:at.off+at.n]))
	copy(after[at.off:], whole[at.off:at.off+at.n])
	require.True(t, bytes.Equal(whole, after))
	m, err := d.changes([]extent{at})
	require.NoError(t, err)
	require.NoError(t, m.Fit(d.Size()))
}
