package pack

import (
	"fmt"
	"math/bits"

	"github.com/holdfast-backup/holdfast/internal/zstdenc"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Level says how hard a Compressor tries.
type Level uint8

// The levels, from fast to small.
const (
	Fastest Level = iota // zstd, about as level 1 of the reference encoder, by an encoder of our own (ADR 21)
	Default              // zstd, about level 3
	Better               // zstd, about level 7
	Best                 // zstd, about level 11
	LevelS2              // s2, faster than Fastest, for a third more bytes
	Off                  // everything is stored as it is
)

var levelNames = [...]string{Fastest: "fastest", Default: "default", Better: "better", Best: "best", LevelS2: "s2", Off: "off"}

// Valid reports whether l is one of the levels.
func (l Level) Valid() bool { return int(l) < len(levelNames) }

// String returns the name that ParseLevel reads.
func (l Level) String() string {
	if l.Valid() {
		return levelNames[l]
	}
	return fmt.Sprintf("level(%d)", uint8(l))
}

// ParseLevel reads "fastest", "default", "better", "best", "s2" or "off".
func ParseLevel(s string) (Level, error) {
	for l, name := range levelNames {
		if name == s {
			return Level(l), nil
		}
	}
	return 0, fmt.Errorf("compression level %q is not fastest, default, better, best, s2 or off", s)
}

// Compressor compresses segments. It belongs to one goroutine at a time and starts none.
type Compressor struct {
	level   Level
	fastest *zstdenc.Encoder // of Fastest, once it is needed
	enc     *zstd.Encoder    // of the other levels of zstd
	noise   bool             // what the last segment was
}

// NewCompressor makes a compressor for segments of up to the given size in bytes. With Fastest it keeps up to 2 MiB of memory, with another level of zstd two to three
// such sizes.
func NewCompressor(level Level, segment int) (*Compressor, error) {
	if !level.Valid() {
		return nil, fmt.Errorf("making a compressor: unknown %s", level)
	}
	if segment < 1 || segment > MaxSegment {
		return nil, fmt.Errorf("making a compressor: segments of %d bytes", segment)
	}
	if level == Off || level == LevelS2 || level == Fastest {
		return &Compressor{level: level}, nil
	}
	window := max(1<<bits.Len(uint(segment-1)), zstd.MinWindowSize)
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstdLevel(level)),
		zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false),
		zstd.WithAllLitEntropyCompression(true),
		zstd.WithSingleSegment(true)) // so that even the smallest frame gives its content size
	if err != nil {
		return nil, fmt.Errorf("making a compressor: %w", err)
	}
	return &Compressor{level: level, enc: enc}, nil
}

func zstdLevel(l Level) zstd.EncoderLevel {
	switch l {
	case Better:
		return zstd.SpeedBetterCompression
	case Best:
		return zstd.SpeedBestCompression
	}
	return zstd.SpeedDefault
}

// Compress compresses the plaintext of a segment. The result is in the memory of dst, whose contents it overwrites, if that has
// room for len(plain) + CompressSlack bytes; or it is plain itself, with codec Store, where compression gains less than 3 %.
func (c *Compressor) Compress(dst, plain []byte) (stored []byte, codec Codec) {
	if c.level == Off || len(plain) == 0 {
		return plain, Store
	}
	switch c.level {
	case LevelS2:
		stored, codec = s2.Encode(dst[:cap(dst)], plain), S2
	case Fastest:
		if c.fastest == nil {
			c.fastest = new(zstdenc.Encoder)
		}
		stored, codec = c.fastest.Encode(dst, plain), Zstd
	default:
		stored, codec = c.enc.EncodeAll(plain, dst[:0]), Zstd
	}
	noise := len(stored) > len(plain)-(len(plain)*3+99)/100
	c.expect(noise)
	if noise {
		return plain, Store
	}
	return stored, codec
}

// expect takes the next segment to be like the last. The library's default level leaves blocks in which nothing repeats as they are; coding
// their bytes makes a disk a quarter of a percent smaller for nearly nothing, but noise takes three times as long.
func (c *Compressor) expect(noise bool) {
	if noise == c.noise || c.level != Default {
		return
	}
	c.noise = noise
	_ = c.enc.ResetWithOptions(nil, zstd.WithAllLitEntropyCompression(!noise)) // fails for other options only
}

// CompressSlack is how much larger than the plaintext a compressed form can get before it is thrown away: with zstd 3 bytes for each block
// of 128 KiB, and a frame header; with s2 less.
const CompressSlack = 3*MaxSegment/(128<<10) + 18
