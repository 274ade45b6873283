//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/zeebo/blake3"
)

// source returns the stream of random bytes for one purpose: each label has its own, so parts never shift one another's.
func source(seed uint64, label string) *rand.ChaCha8 {
	key := binary.LittleEndian.AppendUint64(nil, seed)
	return rand.NewChaCha8(blake3.Sum256(append(key, label...)))
}

// dice returns random numbers for one purpose.
func dice(seed uint64, label string) *rand.Rand { return rand.New(source(seed, label)) }

// uuid returns a version 4 UUID for one purpose.
func uuid(seed uint64, label string) string {
	var p [16]byte
	fill(source(seed, label), p[:])
	p[6], p[8] = p[6]&0x0f|0x40, p[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", p[:4], p[4:6], p[6:8], p[8:10], p[10:])
}

// fill fills p with random bytes. A ChaCha8 stream never fails.
func fill(src *rand.ChaCha8, p []byte) { _, _ = src.Read(p) }

// hashKey orders names by seed: the same name always gets the same place, whatever else is there.
func hashKey(seed uint64, label, name string) uint64 {
	key := binary.LittleEndian.AppendUint64(nil, seed)
	sum := blake3.Sum256(append(append(append(key, label...), 0), name...))
	return binary.LittleEndian.Uint64(sum[:])
}

// buildRand makes rand.bin: 1 GiB over the scale of bytes that nothing compresses or deduplicates.
func (b *builder) buildRand(ctx context.Context) error {
	w := b.want("rand", "rand.bin", "seeded ChaCha8")
	if ok, err := b.kept(w); ok || err != nil {
		return err
	}
	start := time.Now()
	tmp := b.temp(w.name)
	size := int64(1<<30) / int64(b.cfg.scale)
	err := writeFile(tmp, func(out io.Writer) error { return writeRandom(ctx, out, source(b.cfg.seed, "rand.bin"), size) })
	if err != nil {
		return err
	}
	return b.finish(w, tmp, start)
}

// writeRandom writes size bytes of src.
func writeRandom(ctx context.Context, w io.Writer, src *rand.ChaCha8, size int64) error {
	buf := make([]byte, 1<<20)
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := buf[:min(size, int64(len(buf)))]
		fill(src, p)
		if _, err := w.Write(p); err != nil {
			return fmt.Errorf("writing random bytes: %w", err)
		}
		size -= int64(len(p))
	}
	return nil
}

// writeFile creates path and lets fn write it through a buffer.
func writeFile(path string, fn func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("creating a file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := fn(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
