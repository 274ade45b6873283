package repo

import (
	"fmt"
	"math/bits"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// Config is what is chosen when a repository is made and stays.
type Config struct {
	// ChunkMean is the mean size of chunks in bytes: a power of two from 4 KiB to 256 KiB. Zero means 64 KiB.
	ChunkMean int
	// SegmentSize is the most plaintext compressed and sealed together, in bytes: 64 KiB to 16 MiB and at least the
	// greatest chunk (4 x ChunkMean). Zero means 1 MiB, or the greatest chunk.
	SegmentSize int
	// PackSize is the size of full packs in bytes: 1 MiB to 1 GiB and at least twice SegmentSize. Zero means 32 MiB.
	PackSize int
	// Parity is how much Reed–Solomon parity packs carry, in percent, up to 50, by which some damage is made good without any key. Zero: none.
	Parity int
	// Suite seals everything. Zero means AES-256-GCM.
	Suite crypto.Suite
}

// Limits and defaults of [Config], in bytes.
const (
	DefaultSegmentSize = 1 << 20
	DefaultPackSize    = 32 << 20

	minSegment, maxSegment = 64 << 10, 16 << 20
	minPack, maxPack       = 1 << 20, 1 << 30
	minMean, maxMean       = 4 << 10, 256 << 10
)

func (c Config) withDefaults() Config {
	if c.ChunkMean == 0 {
		c.ChunkMean = chunk.DefaultMean
	}
	if c.SegmentSize == 0 {
		c.SegmentSize = max(DefaultSegmentSize, 4*c.ChunkMean)
	}
	if c.PackSize == 0 {
		c.PackSize = max(DefaultPackSize, 2*c.SegmentSize)
	}
	if c.Suite == 0 {
		c.Suite = crypto.AES256GCM
	}
	return c
}

// largestNode is the largest chunk that directories and content maps make, in bytes.
const largestNode = 512 << 10

func (c Config) maxChunk() int { return max(c.SegmentSize, largestNode) }

// Validate reports the first value out of range.
func (c Config) Validate() error {
	switch {
	case c.ChunkMean < minMean || c.ChunkMean > maxMean || bits.OnesCount(uint(c.ChunkMean)) != 1:
		return fmt.Errorf("chunk size %d: must be a power of two from %d to %d", c.ChunkMean, minMean, maxMean)
	case c.SegmentSize < max(minSegment, 4*c.ChunkMean) || c.SegmentSize > maxSegment:
		return fmt.Errorf("segment size %d: must be from %d (four times the chunk size, at least 64 KiB) to %d", c.SegmentSize, max(minSegment, 4*c.ChunkMean), maxSegment)
	case c.PackSize < max(minPack, 2*c.SegmentSize) || c.PackSize > maxPack:
		return fmt.Errorf("pack size %d: must be from %d (twice the segment size, at least 1 MiB) to %d", c.PackSize, max(minPack, 2*c.SegmentSize), maxPack)
	case c.Parity < 0 || c.Parity > pack.MaxParity:
		return fmt.Errorf("parity %d: must be from 0 to %d percent", c.Parity, pack.MaxParity)
	case !c.Suite.Valid():
		return fmt.Errorf("cipher %d: not known", c.Suite)
	}
	return nil
}

// features are the names this program knows, for each use.
var features = struct{ read, write, collect []string }{}

func unknown(want, have []string) []string {
	var list []string
	for _, f := range want {
		known := false
		for _, h := range have {
			known = known || f == h
		}
		if !known {
			list = append(list, f)
		}
	}
	return list
}
