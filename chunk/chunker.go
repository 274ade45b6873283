package chunk

import (
	"fmt"

	"github.com/zeebo/blake3"
)

// Chunker finds cuts. It is immutable, safe for concurrent use, and keeps no
// state between calls.
type Chunker interface {
	// Kind returns the kind given to New.
	Kind() Kind
	// Params returns the parameters given to New.
	Params() Params
	// Next returns the length of the first chunk of data. The first byte of data
	// starts a chunk: it follows a cut, a hole, or the start of the file. final
	// says that no bytes follow data, because the file or the extent ends there.
	//
	// A result above 0 is a cut after that many bytes, whatever bytes would
	// follow. 0 means that there is no cut in data and more bytes are needed: call
	// again with the same bytes and more after them. It is returned only when
	// final is false and data is shorter than Params().Max(), or when data is
	// empty. With final set and no cut found, the result is len(data).
	//
	// Next reads at most Max bytes and starts anew at each call; callers that
	// offer at least Max bytes, except at the end, have no byte scanned twice.
	Next(data []byte, final bool) int
}

// New returns the chunker of the kind with parameters p, for cuts that nobody
// can predict without the secret. Fixed uses no secret; all others return
// ErrSecret when it is nil. The secret is not retained. Errors wrap ErrKind,
// ErrMean or ErrSecret.
func New(kind Kind, p Params, secret *[32]byte) (Chunker, error) {
	if err := p.Validate(kind); err != nil {
		return nil, fmt.Errorf("making a chunker: %w", err)
	}
	if secret == nil && kind != Fixed {
		return nil, fmt.Errorf("making a chunker: %w: kind %s", ErrSecret, kind)
	}
	switch kind {
	case Aligned:
		return newAligned(p, secret)
	case Gear:
		return newGear(p, secret)
	case Rabin:
		return newRabin(p, secret)
	default:
		return fixed{p}, nil
	}
}

// AppendCuts appends the cuts of data to dst, as ascending offsets from the
// start of data, and returns the extended slice. data and final are as for
// Chunker.Next. Bytes after the last cut belong to a chunk that needs more
// bytes; when final is set there are none.
func AppendCuts(dst []int, c Chunker, data []byte, final bool) []int {
	for off := 0; off < len(data); {
		n := c.Next(data[off:], final)
		if n == 0 {
			break
		}
		off += n
		dst = append(dst, off)
	}
	return dst
}

// derive returns the secret stream of one purpose.
func derive(context string, secret *[32]byte) *blake3.Digest {
	h := blake3.NewDeriveKey(context)
	_, _ = h.Write(secret[:]) // never fails
	return h.Digest()
}

// uncut is the result of Next for n scanned bytes without a cut.
func (p Params) uncut(n int, final bool) int {
	if final || n == p.Max() {
		return n
	}
	return 0
}

// clip returns what Next may look at: the first Max bytes of data.
func (p Params) clip(data []byte) []byte {
	return data[:min(len(data), p.Max())]
}

// fixed cuts every Mean bytes.
type fixed struct{ p Params }

func (f fixed) Kind() Kind     { return Fixed }
func (f fixed) Params() Params { return f.p }

func (f fixed) Next(data []byte, final bool) int {
	if len(data) >= f.p.Mean {
		return f.p.Mean
	}
	return f.p.uncut(len(data), final)
}
