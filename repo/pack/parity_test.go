package pack

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// withParity makes a pack of about n bytes with parity.
func withParity(t testing.TB, r *rand.Rand, n int, percent uint8) (crypto.ID, []byte) {
	w := newWorld(t, crypto.Data, crypto.AES256GCM, 1)
	w.params.Parity = percent
	w.params.Size = max(w.params.Size, uint32(2*n))
	b := w.builder(t)
	for b.Len() < n {
		s := w.seal(t, r, 0, fill(r, make([]byte, 1+r.IntN(min(n, 200<<10)))), Off)
		if !b.Fits(&s.Segment) {
			break
		}
		require.NoError(t, b.Add(&s.Segment, s.bytes))
	}
	name, p, _, err := b.Finish(true)
	require.NoError(t, err)
	require.NoError(t, Verify(p, name))
	return name, p
}

// TestRestore damages packs in many ways that their parity makes good.
func TestRestore(t *testing.T) {
	r := newRand(t)
	for range 12 {
		percent := uint8(1 + r.IntN(MaxParity))
		name, p := withParity(t, r, 1+r.IntN(1<<20), percent)
		l, sums, ok := decodeParity(p, bytes.Index(p, []byte(parityMagic)), len(p))
		require.True(t, ok)
		require.Len(t, sums, (l.k+l.m)*l.rows*paritySum)
		require.GreaterOrEqual(t, 100*l.m, l.k*int(percent))
		size := uint32(len(p))
		restores := func(damaged []byte) {
			t.Helper()
			whole, err := Restore(damaged, size, name)
			require.NoError(t, err)
			require.True(t, bytes.Equal(p, whole))
		}
		restores(p)
		for range 10 {
			damaged := bytes.Clone(p)
			damaged[r.IntN(len(p))] ^= 1 << r.IntN(8)
			restores(damaged)
		}
		// As long a run as there is parity, anywhere in the data.
		damaged := bytes.Clone(p)
		run := l.m*l.shard() - 2*parityBlock*l.rows
		if run > 0 {
			at := r.IntN(l.covered() - run)
			fill(r, damaged[at:at+run])
			restores(damaged)
		}
		// As many blocks of each codeword.
		damaged = bytes.Clone(p)
		shards := l.shards(damaged)
		for i := range l.rows {
			for _, j := range r.Perm(l.k + l.m)[:l.m] {
				fill(r, shards[j][i*parityBlock:(i+1)*parityBlock])
			}
		}
		restores(damaged)
		// The end, with one of the tables.
		restores(p[:len(p)-l.table()-TrailerSize])
		clear(damaged[l.covered() : l.covered()+l.table()])
		restores(damaged)
	}
}

// TestRestoreFails damages more than there is parity for.
func TestRestoreFails(t *testing.T) {
	r := newRand(t)
	name, p := withParity(t, r, 300<<10, 10)
	l, _, ok := decodeParity(p, bytes.Index(p, []byte(parityMagic)), len(p))
	require.True(t, ok)
	for what, damage := range map[string]func(b []byte) []byte{
		"too many blocks": func(b []byte) []byte {
			for _, j := range r.Perm(l.k)[:l.m+1] {
				l.shards(b)[j][0] ^= 1
			}
			return b
		},
		"both tables": func(b []byte) []byte {
			b[0] ^= 1
			b[l.covered()+parityHead] ^= 1
			b[len(b)-TrailerSize-1] ^= 1
			return b
		},
		"more than half is gone": func(b []byte) []byte { return b[:len(b)/2-1] },
		"nothing is left":        func(b []byte) []byte { return nil },
		"a byte too many":        func(b []byte) []byte { return append([]byte{0}, b...) },
	} {
		_, err := Restore(damage(bytes.Clone(p)), uint32(len(p)), name)
		require.ErrorIs(t, err, ErrParity, what)
	}
	_, err := Restore(p, uint32(len(p)), crypto.ID{1})
	require.ErrorIs(t, err, ErrParity, "another pack")
	_, err = Restore(p, uint32(len(p))+1, name)
	require.ErrorIs(t, err, ErrParity)
	_, plain := smallPack(t, newWorld(t, crypto.Data, crypto.AES256GCM, 1))
	_, err = Restore(plain, uint32(len(plain)), name)
	require.ErrorIs(t, err, ErrParity, "no parity")
}

// TestPatch: where there is more damage than parity can make good, what it can is.
func TestPatch(t *testing.T) {
	r := newRand(t)
	for range 4 {
		_, p := withParity(t, r, 2500<<10, 10)
		l, _, ok := decodeParity(p, bytes.Index(p, []byte(parityMagic)), len(p))
		require.True(t, ok)
		require.Greater(t, l.rows, 1)
		damaged := bytes.Clone(p)
		shards := l.shards(damaged)
		beyond := r.IntN(l.rows)
		for i := range l.rows {
			bad := 1 + r.IntN(l.m)
			if i == beyond {
				bad = l.m + 1
			}
			for _, j := range r.Perm(l.k)[:bad] {
				fill(r, shards[j][i*parityBlock:(i+1)*parityBlock])
			}
		}
		before := bytes.Clone(damaged)
		patched := Patch(damaged, uint32(len(p)))
		require.Equal(t, before, damaged, "what was given is not changed")
		got, want := l.shards(patched), l.shards(p)
		for i := range l.rows {
			for j := range l.k {
				block := func(list [][]byte) []byte { return list[j][i*parityBlock : (i+1)*parityBlock] }
				if i == beyond {
					require.Equal(t, block(l.shards(before)), block(got))
				} else {
					require.Equal(t, block(want), block(got))
				}
			}
		}
	}
	junk := []byte("junk")
	require.Equal(t, junk, Patch(junk, 1<<20))
	_, plain := smallPack(t, newWorld(t, crypto.Data, crypto.AES256GCM, 1))
	require.Equal(t, plain, Patch(plain, uint32(len(plain))), "no parity")
}

// TestForgedTables: what only looks like a table somewhere in a pack is not looked into.
func TestForgedTables(t *testing.T) {
	name, p := withParity(t, newRand(t), 2500<<10, 10)
	at := bytes.Index(p, []byte(parityMagic))
	l, _, ok := decodeParity(p, at, len(p))
	require.True(t, ok)
	damaged := bytes.Clone(p)
	copy(damaged[HeaderSize:], p[at:at+l.table()])
	found := 0
	for range tables(damaged, len(p)) {
		found++
	}
	require.Equal(t, 2, found)
	whole, err := Restore(damaged, uint32(len(p)), name)
	require.NoError(t, err)
	require.Equal(t, p, whole)
}

// TestParityMatrix computes parity again with nothing but what docs/format.md says.
func TestParityMatrix(t *testing.T) {
	_, p := withParity(t, newRand(t), 100<<10, 20)
	l, _, ok := decodeParity(p, bytes.Index(p, []byte(parityMagic)), len(p))
	require.True(t, ok)
	mul := func(a, b byte) (product byte) {
		for ; b > 0; b >>= 1 {
			if b&1 > 0 {
				product ^= a
			}
			carry := a >> 7
			a = a<<1 ^ carry*0x1d
		}
		return product
	}
	inverse := func(a byte) byte {
		for b := byte(1); ; b++ {
			if mul(a, b) == 1 {
				return b
			}
		}
	}
	shards := l.shards(p)
	for at := 0; at < l.shard(); at += 997 {
		for i := range l.m {
			var sum byte
			for j := range l.k {
				sum ^= mul(inverse(byte((l.k+i)^j)), shards[j][at])
			}
			require.Equal(t, sum, shards[l.k+i][at])
		}
	}
}

// FuzzRestore feeds arbitrary tables to Restore.
func FuzzRestore(f *testing.F) {
	name, p := withParity(f, newRand(f), 20<<10, 10)
	at := bytes.Index(p, []byte(parityMagic))
	l, _, _ := decodeParity(p, at, len(p))
	f.Add(p[at:at+l.table()], true)
	f.Add([]byte(parityMagic), false)
	f.Fuzz(func(t *testing.T, table []byte, sign bool) {
		b := bytes.Clone(p)
		b[len(b)-TrailerSize-1] ^= 1
		n := min(len(table), len(b)-at)
		copy(b[at:], table[:n])
		if end := n - parityCheck; sign && end > 0 {
			hash := crypto.Hash(b[at : at+end])
			copy(b[at+end:], hash[:parityCheck])
		}
		whole, err := Restore(b, uint32(len(b)), name)
		if err == nil && !bytes.Equal(whole, p) {
			t.Fatal("restored something else")
		}
	})
}

func BenchmarkParity(b *testing.B) {
	p := fill(newRand(b), make([]byte, 32<<20))
	content := capacity(len(p), 10)
	l := newParity(content, len(p), 10)
	b.SetBytes(int64(content))
	for b.Loop() {
		if _, err := l.append(p[:content], make([]byte, TrailerSize)); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCapacity: whatever the size and the parity, there is a layout, it fits, and it is no less than was asked for.
func TestCapacity(t *testing.T) {
	r := newRand(t)
	for percent := 1; percent <= MaxParity; percent++ {
		sizes := []int{MinSize, MinSize + 1, 1 << 20, 32 << 20, MaxSize}
		for range 20 {
			sizes = append(sizes, MinSize+r.IntN(1<<(14+r.IntN(16))))
		}
		for _, size := range sizes {
			content := capacity(size, percent)
			l := newParity(content, size, percent)
			require.True(t, l.fits(), "%d bytes, %d %%", size, percent)
			require.GreaterOrEqual(t, 100*l.m, l.k*percent)
			if size >= 1<<20 {
				require.Greater(t, content*(100+percent+3), (size-1<<17)*100, "%d bytes, %d %%", size, percent)
			}
		}
	}
}
