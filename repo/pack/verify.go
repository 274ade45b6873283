package pack

import (
	"io"

	"github.com/holdfast-backup/holdfast/crypto"
)

// Verify checks the whole pack p against its name, the hash in its key, without any secret. The error is a *FormatError that wraps ErrHash,
// or says which of header, key table and trailer the writer made wrong.
func Verify(p []byte, name crypto.ID) error {
	if crypto.Hash(p) != name {
		return &FormatError{Err: ErrHash}
	}
	return checkClear(p, p, int64(len(p)))
}

// VerifyReader is Verify for a pack read from start to end, in memory of 128 KiB; size is what r must yield. Errors of r are
// passed on.
func VerifyReader(r io.Reader, size int64, name crypto.ID) error {
	if size < MinSize || size > MaxSize {
		return formatf(0, "pack of %d bytes", size)
	}
	hash := crypto.NewHash()
	head := make([]byte, min(size, HeaderSize+maxKeyTable))
	n, err := io.ReadFull(r, head)
	hash.Write(head[:n])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	rest := tailWriter{keep: append([]byte(nil), head[max(0, n-TrailerSize):n]...)}
	m, err := io.CopyN(io.MultiWriter(hash, &rest), r, size-int64(n))
	if err != nil && err != io.EOF {
		return err
	}
	if total := int64(n) + m; total != size {
		return &FormatError{Offset: total, Err: io.ErrUnexpectedEOF}
	}
	if extra, _ := io.ReadFull(r, make([]byte, 1)); extra > 0 {
		return formatf(size, "bytes after a pack of %d", size)
	}
	if crypto.ID(hash.Sum(nil)) != name {
		return &FormatError{Err: ErrHash}
	}
	return checkClear(head, rest.keep, size)
}

// tailWriter keeps the last TrailerSize bytes written to it.
type tailWriter struct{ keep []byte }

// Write always takes all of p.
func (w *tailWriter) Write(p []byte) (int, error) {
	last := p[max(0, len(p)-TrailerSize):]
	w.keep = append(w.keep, last...)
	w.keep = append(w.keep[:0], w.keep[max(0, len(w.keep)-TrailerSize):]...)
	return len(p), nil
}

// checkClear checks what of a pack can be read without a secret, given its first and last bytes.
func checkClear(head, tail []byte, size int64) error {
	if size < MinSize || size > MaxSize {
		return formatf(0, "pack of %d bytes", size)
	}
	h, err := DecodeHeader(head)
	if err != nil {
		return err
	}
	if int64(h.BodyOffset()) > int64(len(head)) {
		return formatf(0, "key table of %d bytes in a pack of %d", h.KeyTable, size)
	}
	if _, err := decodeKeyTable(head[HeaderSize:h.BodyOffset()], h.Class); err != nil {
		return err
	}
	_, err = decodeTrailer(tail[len(tail)-TrailerSize:], size)
	return err
}
