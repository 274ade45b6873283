package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/holdfast-backup/holdfast/backend"
)

// Get implements [backend.Store].
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := s.begin(ctx, key, false); err != nil {
		return nil, err
	}
	if off < 0 || n == 0 || n > math.MaxInt64-off {
		return s.empty(ctx, key, off, n)
	}
	r := &reader{ctx: ctx, store: s, key: key, off: off}
	size, err := r.open(n)
	if status(err) == http.StatusRequestedRangeNotSatisfiable {
		return s.empty(ctx, key, off, n)
	}
	if err != nil {
		return nil, failed(ctx, key, err)
	}
	if r.left, err = backend.CheckRange(key, off, n, size); err != nil {
		return nil, errors.Join(err, r.body.Close())
	}
	return r, nil
}

// empty returns a reader of an empty range, after asking for the size.
func (s *Store) empty(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	info, err := s.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	left, err := backend.CheckRange(key, off, n, info.Size)
	if err == nil && left > 0 {
		err = fmt.Errorf("object %s: it became larger while it was read", key)
	}
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, body: http.NoBody}, nil
}

// errNoLength says that a reply does not tell how long the object is, so that nobody could tell whether all of it came.
var errNoLength = errors.New("the server does not say how many bytes it sends")

// resumes is how often in a row a reader goes on without having got a byte.
const resumes = 8

// reader reads a range of an object, and goes on with a new request where a connection broke.
type reader struct {
	ctx   context.Context
	store *Store
	key   string
	off   int64 // of the next byte
	left  int64
	etag  *string
	body  io.ReadCloser
	tries int
	done  bool // closed
}

// open asks for n bytes from the place where the reader is, or all if n < 0, and returns the size of the object.
func (r *reader) open(n int64) (size int64, err error) {
	in := &s3.GetObjectInput{Bucket: &r.store.place.Bucket, Key: aws.String(r.store.place.key(r.key)), IfMatch: r.etag}
	switch {
	case n > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.off, r.off+n-1))
	case r.off > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.off))
	default:
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	out, err := r.store.client.GetObject(r.ctx, in)
	if err != nil {
		return 0, err
	}
	if out.ContentLength == nil {
		return 0, errors.Join(errNoLength, out.Body.Close())
	}
	size = *out.ContentLength
	if in.Range != nil {
		if size, err = sizeOf(aws.ToString(out.ContentRange)); err != nil {
			return 0, errors.Join(err, out.Body.Close())
		}
	}
	r.body, r.etag = out.Body, out.ETag
	return size, nil
}

// sizeOf reads the size in "bytes 0-9/100".
func sizeOf(contentRange string) (int64, error) {
	_, size, _ := strings.Cut(contentRange, "/")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the server answers a request for a range with the range %q", contentRange)
	}
	return n, nil
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for {
		switch {
		case r.done:
			return 0, fs.ErrClosed
		case r.ctx.Err() != nil:
			return 0, context.Cause(r.ctx)
		case r.left == 0:
			return 0, io.EOF
		case len(p) == 0:
			return 0, nil
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
		if int64(n) == r.left {
			if err := r.end(err); err != nil {
				return 0, err // the last bytes are not given out, so that nobody takes all for right
			}
		}
		r.off, r.left = r.off+int64(n), r.left-int64(n)
		if n > 0 {
			r.tries = 0
			return n, nil // an error comes again, or does not matter any more
		}
		if err == nil {
			continue
		}
		if err := r.resume(err); err != nil {
			return 0, err
		}
	}
}

// end returns what the SDK says of the checksum, once it was given the last bytes. err is what came with these.
func (r *reader) end(err error) error {
	if err == nil {
		var more [1]byte
		_, err = r.body.Read(more[:])
	}
	if err != nil && r.ctx.Err() == nil && strings.Contains(err.Error(), "checksum") { // the SDK has no type for it
		return &backend.DamagedError{Key: r.key, Err: fmt.Errorf("object %s: %w", r.key, err)}
	}
	return nil
}

// resume opens what is left anew.
func (r *reader) resume(broken error) error {
	if errors.Is(broken, io.EOF) {
		broken = io.ErrUnexpectedEOF
	}
	if r.tries++; r.tries > resumes {
		return fmt.Errorf("object %s: reading stopped at offset %d: %w", r.key, r.off, broken)
	}
	_ = r.body.Close() // it is broken
	r.body = http.NoBody
	wait := min(maxBackoff, 50*time.Millisecond<<r.tries)
	select {
	case <-time.After(wait/2 + rand.N(wait/2)):
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
	_, err := r.open(r.left)
	if s := status(err); s == http.StatusPreconditionFailed || s == http.StatusRequestedRangeNotSatisfiable || errors.Is(failed(r.ctx, r.key, err), fs.ErrNotExist) {
		return fmt.Errorf("object %s was replaced or deleted while it was read: %w", r.key, io.ErrUnexpectedEOF)
	}
	return failed(r.ctx, r.key, err)
}

// Size implements [backend.Sized].
func (r *reader) Size() int64 { return r.left }

// Close implements io.Closer.
func (r *reader) Close() error {
	r.done = true
	return r.body.Close()
}
