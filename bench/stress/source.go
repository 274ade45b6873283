package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

const (
	poolPieces = 400 // contents that all writers share
	diskBlocks = 64  // of 64 KiB
	block      = 64 << 10
)

// piece returns one of the contents that writers share, of 1 KiB to 64 KiB.
func (s *stress) piece(n int) []byte {
	rng := rand.New(rand.NewPCG(s.opts.seed, uint64(n)))
	b := make([]byte, 1<<10+rng.IntN(63<<10))
	fill(rng, b)
	return b
}

func fill(rng *rand.Rand, b []byte) {
	for i := 0; i < len(b); i += 8 {
		v := rng.Uint64()
		for j := i; j < min(i+8, len(b)); j++ {
			b[j] = byte(v)
			v >>= 8
		}
	}
}

// change changes some files of a source, and some blocks of its disk.
func (s *stress) change(a *actor) error {
	dir := s.path("source", a.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for range 1 + a.rng.IntN(6) {
		name := filepath.Join(dir, fmt.Sprintf("file-%02d", a.rng.IntN(20)))
		if a.rng.IntN(5) == 0 {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			continue
		}
		if err := os.WriteFile(name, s.piece(a.rng.IntN(poolPieces)), 0o644); err != nil {
			return err
		}
	}
	disk, err := os.OpenFile(filepath.Join(dir, "disk.img"), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = disk.Truncate(diskBlocks * block)
	for range a.rng.IntN(8) {
		b := make([]byte, block)
		if a.rng.IntN(4) > 0 { // else a hole
			fill(rand.New(rand.NewPCG(s.opts.seed, uint64(1000+a.rng.IntN(poolPieces)))), b)
		}
		_, werr := disk.WriteAt(b, int64(a.rng.IntN(diskBlocks))*block)
		err = errors.Join(err, werr)
	}
	return errors.Join(err, disk.Close())
}

// digest is a hash of all names and contents of a folder.
func digest(dir string) (string, error) {
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		h := sha256.Sum256(b)
		lines = append(lines, strings.TrimPrefix(path, dir)+" "+hex.EncodeToString(h[:]))
		return nil
	})
	sort.Strings(lines)
	h := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(h[:]), err
}
