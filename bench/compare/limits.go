//go:build linux

package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-backup/holdfast/internal/zstdenc"
	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"
)

// limits are the speeds of the machine's parts, in bytes per second, with all processors at work.
type limits struct {
	Read   float64 `json:"page_cache_read"` // by pread in pieces of 256 KiB
	BLAKE3 float64 `json:"blake3"`          // keyed, of pieces of 64 KiB
	AES    float64 `json:"aes_256_gcm"`     // of pieces of 1 MiB
	Write  float64 `json:"disk_write"`      // without fsync: into the page cache, until the kernel slows the writer down
	Synced float64 `json:"disk_write_synced"`
	// Zstd is by corpus file, for data compresses at its own speed.
	Zstd map[string]codec `json:"zstd_fastest"`
}

// codec is what the level fastest does with some data, in pieces of 1 MiB: bytes per second of plain data, and plain by stored bytes.
type codec struct {
	Encode float64 `json:"encode"`
	Decode float64 `json:"decode"`
	Ratio  float64 `json:"ratio"`
}

const unit = 1 << 20

// gauge measures the parts, each for as long as it says.
type gauge struct{ time.Duration }

// limits measures all parts, compression on samples of each file.
func (g gauge) limits(ctx context.Context, c *corpus, work string) (l *limits, err error) {
	l = &limits{Zstd: map[string]codec{}}
	for _, f := range c.Files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		info, err := os.Stat(c.path(f.Name))
		if err != nil {
			return nil, fmt.Errorf("measuring limits: %w", err)
		}
		if !info.Mode().IsRegular() {
			continue
		}
		data, err := sampleOf(c.path(f.Name), 32<<20)
		if err != nil {
			return nil, fmt.Errorf("measuring limits: %w", err)
		}
		if l.Zstd[f.Name], err = g.zstd(data); err != nil {
			return nil, err
		}
		if l.Read, err = g.read(c.path(f.Name), l.Read); err != nil {
			return nil, err
		}
	}
	piece := make([]byte, unit)
	l.BLAKE3 = g.perSecond(func() func() int { return hashing(piece[:64<<10]) })
	l.AES = g.perSecond(func() func() int { return sealing(piece) })
	l.Write, l.Synced, err = g.write(work, piece)
	return l, err
}

// perSecond runs one worker for each processor and returns the bytes that they do in a second together. Each worker has its own
// function, which returns what it did.
func (g gauge) perSecond(worker func() func() int) float64 {
	var total atomic.Int64
	var group sync.WaitGroup
	start := time.Now()
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for do := worker(); time.Since(start) < g.Duration; {
				total.Add(int64(do()))
			}
		})
	}
	group.Wait()
	return float64(total.Load()) / time.Since(start).Seconds()
}

func hashing(piece []byte) func() int {
	h, err := blake3.NewKeyed(make([]byte, 32))
	if err != nil {
		panic(err) // the key has the length that it must have
	}
	sum := make([]byte, 0, 32)
	return func() int {
		for range 16 {
			h.Reset()
			_, _ = h.Write(piece) // never fails
			h.Sum(sum)
		}
		return 16 * len(piece)
	}
}

func sealing(piece []byte) func() int {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		panic(err) // the key has a length that it may have
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // the block has the length that it must have
	}
	nonce, out := make([]byte, gcm.NonceSize()), make([]byte, 0, len(piece)+gcm.Overhead())
	return func() int {
		gcm.Seal(out, nonce, piece, nil)
		return len(piece)
	}
}

// sampleOf returns about n bytes of a file's data, in units from all over it. What lies before and behind a hole is put together.
func sampleOf(path string, n int64) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ranges [][2]int64
	total := int64(0)
	for r, err := range dataRanges(f) {
		if err != nil {
			return nil, err
		}
		ranges, total = append(ranges, r), total+r[1]-r[0]
	}
	var out [][]byte
	for pos, stride := int64(0), max(unit, total/max(1, n/unit)); pos < total; pos += stride {
		p := make([]byte, min(unit, total-pos))
		if err := readData(f, ranges, pos, p); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// readData fills p with the data of ranges, as if there were no holes between them, from pos of it.
func readData(f io.ReaderAt, ranges [][2]int64, pos int64, p []byte) error {
	for _, r := range ranges {
		length := r[1] - r[0]
		if pos < length && len(p) > 0 {
			n := min(int64(len(p)), length-pos)
			if _, err := f.ReadAt(p[:n], r[0]+pos); err != nil {
				return err
			}
			p, pos = p[n:], length
		}
		pos -= length
	}
	return nil
}

func (g gauge) zstd(data [][]byte) (c codec, err error) {
	if len(data) == 0 {
		return c, nil
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return c, fmt.Errorf("measuring zstd: %w", err)
	}
	defer dec.Close()
	frames := make([][]byte, len(data))
	plain, stored := 0, 0
	var enc zstdenc.Encoder
	for i, p := range data {
		frames[i] = enc.Encode(nil, p)
		plain, stored = plain+len(p), stored+len(frames[i])
	}
	c.Ratio = float64(plain) / float64(stored)
	var next atomic.Int64
	take := func() int { return int(next.Add(1)) % len(data) }
	c.Encode = g.perSecond(func() func() int {
		out, enc := make([]byte, 0, 2*unit), new(zstdenc.Encoder)
		return func() int { i := take(); enc.Encode(out, data[i]); return len(data[i]) }
	})
	var bad atomic.Pointer[error]
	c.Decode = g.perSecond(func() func() int {
		out := make([]byte, 0, 2*unit)
		return func() int {
			i := take()
			if _, err := dec.DecodeAll(frames[i], out); err != nil {
				bad.Store(&err)
			}
			return len(data[i])
		}
	})
	if err := bad.Load(); err != nil {
		return c, fmt.Errorf("measuring zstd: %w", *err)
	}
	return c, nil
}

// read returns the speed of reading a file's first GiB from the page cache, or best if that is more.
func (g gauge) read(path string, best float64) (float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("measuring reads: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, fmt.Errorf("measuring reads: %w", err)
	}
	size := min(info.Size(), 1<<30) / (256 << 10)
	if size == 0 || best > 0 {
		return best, nil
	}
	if _, err := warm(path); err != nil {
		return 0, err
	}
	var next atomic.Int64
	return g.perSecond(func() func() int {
		p := make([]byte, 256<<10)
		return func() int {
			n, _ := f.ReadAt(p, next.Add(1)%size*int64(len(p))) // what was not read does not count
			return n
		}
	}), nil
}

// write writes a file and returns the speeds without and with fsync.
func (g gauge) write(dir string, piece []byte) (plain, synced float64, err error) {
	path := filepath.Join(dir, "written")
	f, err := os.Create(path)
	if err != nil {
		return 0, 0, fmt.Errorf("measuring writes: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	start := time.Now()
	total := 0
	for time.Since(start) < 2*g.Duration {
		n, err := f.Write(piece)
		if err != nil {
			return 0, 0, fmt.Errorf("measuring writes: %w", err)
		}
		total += n
	}
	plain = float64(total) / time.Since(start).Seconds()
	if err := f.Sync(); err != nil {
		return 0, 0, fmt.Errorf("measuring writes: %w", err)
	}
	return plain, float64(total) / time.Since(start).Seconds(), nil
}
