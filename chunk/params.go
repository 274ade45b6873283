package chunk

import "fmt"

// Sizes in bytes.
const (
	// DefaultMean is the mean chunk size of a repository that did not choose one.
	DefaultMean = 64 << 10
	// MinMean is the smallest mean that Gear, Rabin and Fixed accept.
	MinMean = 4 << 10
	// MinAlignedMean is the smallest mean that Aligned accepts: its Min is Grid.
	MinAlignedMean = 4 * Grid
	// MaxMean is the largest mean of all kinds.
	MaxMean = 256 << 10
	// Grid is the block size of Aligned: its cuts are multiples of it, and data
	// given to it should start at a multiple of it in the file.
	Grid = 4 << 10
)

// Params are the sizes of chunks. The zero value is not valid.
type Params struct {
	// Mean is the mean chunk size in bytes, on data without long repetitions: a
	// power of two from MinMean (MinAlignedMean for Aligned) to MaxMean.
	Mean int
}

// Min returns the least number of bytes in a chunk that is not the last: Mean/4.
func (p Params) Min() int { return p.Mean / 4 }

// Max returns the greatest number of bytes in a chunk: 4*Mean.
func (p Params) Max() int { return p.Mean * 4 }

// Validate returns nil if chunkers of the kind can have these parameters, and
// else an error that wraps ErrKind or ErrMean.
func (p Params) Validate(kind Kind) error {
	least := MinMean
	switch kind {
	case Gear, Rabin, Fixed:
	case Aligned:
		least = MinAlignedMean
	default:
		return fmt.Errorf("%w: %d", ErrKind, uint8(kind))
	}
	if p.Mean < least || p.Mean > MaxMean || p.Mean&(p.Mean-1) != 0 {
		return fmt.Errorf("%w: %d bytes for %s, want a power of two from %d to %d",
			ErrMean, p.Mean, kind, least, MaxMean)
	}
	return nil
}
