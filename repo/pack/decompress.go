package pack

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// decodeSlack is room behind the plaintext that lets the decoder copy in whole words.
const decodeSlack = 32

// Decompressor undoes codecs. It belongs to one goroutine at a time and starts none.
type Decompressor struct {
	dec *zstd.Decoder
}

// NewDecompressor makes a decompressor.
func NewDecompressor() (*Decompressor, error) {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(false),
		zstd.WithDecoderMaxMemory(MaxSegment),
		zstd.WithDecoderMaxWindow(MaxSegment))
	if err != nil {
		return nil, fmt.Errorf("making a decompressor: %w", err)
	}
	return &Decompressor{dec: dec}, nil
}

// Decompress returns the plaintext of length bytes, at most MaxSegment, that codec turned into stored. The result is in the memory of
// dst, whose contents it overwrites, if that has room for length + 32 bytes, and in new memory of that size otherwise. It shares no
// memory with stored. What decodes to another length, or is not of that codec, is an error that wraps wire.ErrFormat.
func (d *Decompressor) Decompress(dst []byte, codec Codec, length uint32, stored []byte) ([]byte, error) {
	if length > MaxSegment {
		return nil, fmt.Errorf("%w: segment of %d bytes", wire.ErrFormat, length)
	}
	switch codec {
	case Store:
		if uint64(len(stored)) != uint64(length) {
			return nil, fmt.Errorf("%w: segment of %d bytes stored as %d", wire.ErrFormat, length, len(stored))
		}
		return append(dst[:0], stored...), nil
	case Zstd:
		return d.zstd(dst, int(length), stored)
	case S2:
		return d.s2(dst, int(length), stored)
	}
	return nil, fmt.Errorf("%w: unknown %s", wire.ErrFormat, codec)
}

// zstd checks the content size in the frame's header before it decodes: the decoder then never writes more than that.
func (d *Decompressor) zstd(dst []byte, length int, stored []byte) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(stored); err != nil {
		return nil, fmt.Errorf("%w: zstd frame: %w", wire.ErrFormat, err)
	}
	if h.Skippable || h.DictionaryID != 0 || !h.HasFCS || h.FrameContentSize != uint64(length) {
		return nil, fmt.Errorf("%w: zstd frame of %d bytes (known: %t) for a segment of %d", wire.ErrFormat,
			h.FrameContentSize, h.HasFCS, length)
	}
	dst = room(dst, length+decodeSlack)
	out, err := d.dec.DecodeAll(stored, dst[:0:length+decodeSlack])
	if err != nil {
		return nil, fmt.Errorf("%w: zstd frame: %w", wire.ErrFormat, err)
	}
	if len(out) != length {
		return nil, fmt.Errorf("%w: zstd data of %d bytes for a segment of %d", wire.ErrFormat, len(out), length)
	}
	if length > 0 && &out[0] == &dst[:1][0] {
		return dst[:length], nil // with all its room, for the next segment
	}
	return out, nil
}

// s2 holds the block to its stated length before it decodes: no more than that is ever written.
func (d *Decompressor) s2(dst []byte, length int, stored []byte) ([]byte, error) {
	n, err := s2.DecodedLen(stored)
	if err != nil {
		return nil, fmt.Errorf("%w: s2 block: %w", wire.ErrFormat, err)
	}
	if n != length {
		return nil, fmt.Errorf("%w: s2 block of %d bytes for a segment of %d", wire.ErrFormat, n, length)
	}
	dst = room(dst, length)
	if _, err := s2.Decode(dst[:length:length], stored); err != nil {
		return nil, fmt.Errorf("%w: s2 block: %w", wire.ErrFormat, err)
	}
	return dst[:length], nil
}

// room returns dst if it has room for n bytes, and new memory otherwise. What was in dst is lost.
func room(dst []byte, n int) []byte {
	if cap(dst) < n {
		return make([]byte, 0, n)
	}
	return dst[:0]
}
