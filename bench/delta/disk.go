package main

import (
	"context"
	"encoding/binary"
	"io"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

const block = 4 << 10

// extent is [off, off+n) of a disk. n is a multiple of block, and so is off.
type extent struct{ off, n int64 }

// disk is a disk that needs no space: its bytes follow from where they are and how often they were written. No two blocks of 4 KiB
// that were written have the same bytes, and none can be compressed. Between runs of data are holes.
type disk struct {
	size    int64
	data    []extent         // ascending, apart
	written map[int64]uint32 // how often a block was, if more than once
	noise   []byte
}

// newDisk makes a disk with that many bytes of data in runs that lie evenly apart.
func newDisk(size, data, run int64) *disk {
	d := &disk{size: size, written: map[int64]uint32{}, noise: make([]byte, 64<<20)}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(d.noise)
	n := data / run
	for i := range n {
		d.data = append(d.data, extent{i * (size / n) / block * block, run})
	}
	return d
}

// write gives blocks of the data new bytes.
func (d *disk) write(e extent) {
	for b := e.off / block; b < (e.off+e.n)/block; b++ {
		d.written[b]++
	}
}

// at returns the runs of data from the one that ends after off on.
func (d *disk) at(off int64) []extent {
	i, _ := slices.BinarySearchFunc(d.data, off, func(e extent, off int64) int {
		if e.off+e.n <= off {
			return -1
		}
		return 1
	})
	return d.data[i:]
}

// ReadAt implements [io.ReaderAt].
func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	short := off+int64(len(p)) > d.size
	if short {
		p = p[:max(0, d.size-off)]
	}
	end := off + int64(len(p))
	clear(p)
	for _, e := range d.at(off) {
		if e.off >= end {
			break
		}
		for at := max(e.off, off); at < min(e.off+e.n, end); {
			at += int64(d.block(p[at-off:], at))
		}
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

// block copies what there is at off, up to the end of its block.
func (d *disk) block(p []byte, off int64) int {
	b := off / block
	var head [16]byte
	binary.LittleEndian.PutUint64(head[:], uint64(b))
	binary.LittleEndian.PutUint32(head[8:], d.written[b])
	from := rand.New(rand.NewPCG(uint64(b), uint64(d.written[b]))).Int64N(int64(len(d.noise) - block))
	in := off % block
	n := copy(p, d.noise[from+in:from+block])
	if in < int64(len(head)) {
		copy(p[:n], head[in:])
	}
	return n
}

// Size implements [source.Image], as do the others.
func (d *disk) Size() int64    { return d.size }
func (d *disk) Changed() error { return nil }
func (d *disk) Close() error   { return nil }

func (d *disk) Extents(_ context.Context, off, n int64) iter.Seq2[source.Extent, error] {
	return func(yield func(source.Extent, error) bool) {
		pos, end := off, min(off+n, d.size)
		for _, e := range d.at(off) {
			from, to := min(max(e.off, pos), end), min(e.off+e.n, end)
			if from > pos && !yield(source.Extent{Off: pos, Len: from - pos, Kind: source.Hole}, nil) {
				return
			}
			if to <= from {
				return
			}
			if !yield(source.Extent{Off: from, Len: to - from, Kind: source.Data}, nil) {
				return
			}
			pos = to
		}
		if pos < end {
			yield(source.Extent{Off: pos, Len: end - pos, Kind: source.Hole}, nil)
		}
	}
}

// changes makes the map that says that only these ranges, ascending and apart, were written to.
func (d *disk) changes(list []extent) (*source.ChangeMap, error) {
	var extents []source.Extent
	pos := int64(0)
	for _, e := range append(list[:len(list):len(list)], extent{d.size, 0}) {
		if e.off > pos {
			extents = append(extents, source.Extent{Off: pos, Len: e.off - pos, Kind: source.Unchanged})
		}
		if e.n > 0 {
			extents = append(extents, source.Extent{Off: e.off, Len: e.n, Kind: source.Data})
		}
		pos = e.off + e.n
	}
	return source.NewChangeMap("benchmark", extents)
}
