package snapshot

import (
	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/internal/zero"
)

// holeBlock is the unit of holes: a hole is a run of whole blocks of this size, at multiples of it in the file, that are all zeros.
const holeBlock = zero.Block

// splitter finds the chunks and holes of consecutive bytes. Its result depends on the bytes and their place in the file alone: not on
// how they are offered, nor on what the file system says of holes. It belongs to one goroutine.
type splitter struct {
	chunker chunk.Chunker
	// solid is the offset in the file below which no hole starts.
	solid int64
}

// need is how many bytes must be offered for split to make progress.
func (s *splitter) need() int { return s.chunker.Params().Max() + 2*holeBlock }

// split finds the chunks and holes at the front of data, which starts at offset off of the file, on a boundary. end says that nothing
// follows data: the file, or what is known of it, ends there. It calls emit for each in order, with hole set or the chunk's
// bytes, and returns how many bytes it has dealt with. The rest must be offered again with more bytes after it; with end
// there is no rest.
func (s *splitter) split(data []byte, off int64, end bool, emit func(chunk []byte, hole int64) error) (int, error) {
	pos := 0
	for pos < len(data) {
		n, hole := s.next(data[pos:], off+int64(pos), end)
		if n == 0 {
			break
		}
		var err error
		if hole {
			err = emit(nil, int64(n))
		} else {
			err = emit(data[pos:pos+n], 0)
		}
		if err != nil {
			return pos, err
		}
		pos += n
	}
	return pos, nil
}

// next returns the length of the first chunk or hole, or 0 if more bytes are needed.
func (s *splitter) next(data []byte, off int64, end bool) (n int, hole bool) {
	if off%holeBlock == 0 && off >= s.solid {
		if n := zero.Prefix(data); n > 0 {
			return n, true
		}
	}
	run, final := s.run(data, off, end)
	return s.chunker.Next(data[:run], final), false
}

// run returns how many bytes at the front of data belong to the chunker, and whether nothing of it follows them: a hole does,
// or the end. Blocks not there as a whole are left out, since they may turn out to be holes.
func (s *splitter) run(data []byte, off int64, end bool) (int, bool) {
	limit := off + int64(min(len(data), s.chunker.Params().Max()))
	stop := off + int64(len(data))
	for b := max(s.solid, alignUp(off)); b < limit; b += holeBlock {
		if b+holeBlock > stop {
			if !end {
				return int(b - off), false
			}
			break
		}
		block := data[b-off : b-off+holeBlock]
		if zero.Is(block) {
			return int(b - off), true
		}
		s.solid = b + holeBlock
	}
	return int(limit - off), end && limit == stop
}

func alignUp(off int64) int64 { return (off + holeBlock - 1) &^ (holeBlock - 1) }
