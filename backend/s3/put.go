package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/holdfast-backup/holdfast/backend"
)

// Put implements [backend.Store].
func (s *Store) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	if err := s.begin(ctx, key, true); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("object %s: %d bytes: %w", key, size, fs.ErrInvalid)
	}
	u := &upload{store: s, key: key, src: src, size: size, ifAbsent: opts != nil && opts.IfAbsent, tag: rand.Text()}
	ctx, u.stop = context.WithCancelCause(ctx)
	defer u.stop(nil)
	if u.ifAbsent && s.CreateIfAbsent() != backend.PrimitiveAtomic {
		_, err := s.Stat(ctx, key)
		if err == nil {
			return u.exists()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		u.ifAbsent = false // one writer at a time
	}
	for try := 0; ; try++ {
		err := u.send(ctx)
		if try == conflicts || !errors.Is(err, backend.ErrConflict) {
			return err
		}
		time.Sleep(20 * time.Millisecond << try)
	}
}

// conflicts is how often an upload is repeated of which a server says that a folder is in its place: one that keeps objects in folders may say so while somebody else deletes the
// last object beside it.
const conflicts = 4

func (u *upload) send(ctx context.Context) error {
	if u.size > 2*u.store.opts.PartSize {
		return u.inParts(ctx)
	}
	return u.whole(ctx)
}

// upload is one Put.
type upload struct {
	store    *Store
	key      string
	src      io.ReaderAt
	size     int64
	ifAbsent bool
	tag      string // which no other upload has
	stop     context.CancelCauseFunc
	attempts atomic.Int32 // of the request that makes the object visible
}

func (u *upload) exists() error { return fmt.Errorf("object %s: %w", u.key, fs.ErrExist) }

func (u *upload) bucket() *string { return &u.store.place.Bucket }

func (u *upload) name() *string { return aws.String(u.store.place.key(u.key)) }

func (u *upload) ifNoneMatch() *string {
	if u.ifAbsent {
		return aws.String("*")
	}
	return nil
}

func (u *upload) whole(ctx context.Context) error {
	in := &s3.PutObjectInput{Bucket: u.bucket(), Key: u.name(), Body: u.body(0, u.size), ContentLength: aws.Int64(u.size), IfNoneMatch: u.ifNoneMatch(), Metadata: u.metadata()}
	in.StorageClass, in.ServerSideEncryption, in.SSEKMSKeyId = u.storage()
	_, err := u.store.client.PutObject(ctx, in, u.counted)
	return u.outcome(ctx, err)
}

// storage returns how the object is to be kept.
func (u *upload) storage() (types.StorageClass, types.ServerSideEncryption, *string) {
	o := &u.store.opts
	class := types.StorageClass("")
	if strings.HasPrefix(u.key, "packs/") {
		class = types.StorageClass(o.StorageClass)
	}
	var key *string
	if o.KMSKey != "" {
		key = &o.KMSKey
	}
	return class, types.ServerSideEncryption(o.Encryption), key
}

// counted counts the attempts of a request.
func (u *upload) counted(o *s3.Options) {
	count := middleware.FinalizeMiddlewareFunc("count attempts", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		u.attempts.Add(1)
		return next.HandleFinalize(ctx, in)
	})
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error { return stack.Finalize.Insert(count, "Retry", middleware.After) })
}

// outcome is that of the request that makes the object visible.
func (u *upload) outcome(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if src, ok := errors.AsType[*backend.SourceError](context.Cause(ctx)); ok {
		return src
	}
	if src, ok := errors.AsType[*backend.SourceError](err); ok {
		return src
	}
	if !u.ifAbsent || status(err) != http.StatusPreconditionFailed {
		return failed(ctx, u.key, err)
	}
	if u.attempts.Load() < 2 {
		return u.exists()
	}
	// The object may be from an earlier attempt whose reply was lost.
	mine, rerr := u.isStored(ctx)
	switch {
	case rerr != nil:
		return rerr
	case mine:
		return nil
	}
	return u.exists()
}

// uploadTag is the metadata by which a create knows its own object again.
const uploadTag = "holdfast-upload"

// metadata of the object, if it is to be told from others'.
func (u *upload) metadata() map[string]string {
	if !u.ifAbsent {
		return nil
	}
	return map[string]string{uploadTag: u.tag}
}

// isStored reports whether the object is the one of this upload.
func (u *upload) isStored(ctx context.Context) (bool, error) {
	out, err := u.store.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: u.bucket(), Key: u.name()})
	if err != nil {
		return false, failed(ctx, u.key, err)
	}
	return out.Metadata[uploadTag] == u.tag, nil
}

// body returns a part of the source, which ends the upload when it fails.
func (u *upload) body(off, n int64) io.ReadSeeker { return &body{upload: u, from: off, size: n} }

type body struct {
	*upload
	from, size int64
	mu         sync.Mutex // the transport may still read when a request is repeated
	at         int64
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p = p[:min(int64(len(p)), b.size-b.at)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	if err := backend.ReadSource(b.src, p, b.from+b.at); err != nil {
		b.stop(err)
		return 0, err
	}
	b.at += int64(len(p))
	return len(p), nil
}

// Seek implements io.Seeker.
func (b *body) Seek(off int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		off += b.at
	case io.SeekEnd:
		off += b.size
	}
	if off < 0 || off > b.size {
		return 0, fs.ErrInvalid
	}
	b.at = off
	return off, nil
}

const (
	probeKey  = "tmp/create-if-absent" // no key of an object
	probeTime = time.Minute
)

// CreateIfAbsent implements [backend.Prober]: it creates an object twice, which stays for the next probe.
func (s *Store) CreateIfAbsent() backend.Primitive {
	s.probe.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), probeTime)
		defer cancel()
		s.primitive = s.tryCreate(ctx)
	})
	return s.primitive
}

func (s *Store) tryCreate(ctx context.Context) backend.Primitive {
	if s.opts.ReadOnly {
		return backend.PrimitiveNone
	}
	put := func(condition *string) error {
		_, err := s.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.place.Bucket, Key: aws.String(s.place.key(probeKey)), Body: bytes.NewReader(nil), IfNoneMatch: condition})
		return err
	}
	for range 2 {
		err := put(aws.String("*"))
		if status(err) == http.StatusPreconditionFailed {
			return backend.PrimitiveAtomic
		}
		if err != nil && status(err) != http.StatusNotImplemented && status(err) != http.StatusBadRequest {
			return backend.PrimitiveNone
		}
	}
	if put(nil) != nil {
		return backend.PrimitiveNone
	}
	return backend.PrimitiveSingleWriter
}
