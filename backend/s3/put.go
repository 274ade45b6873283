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
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

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
	if u.ifAbsent {
		if err := u.weaken(ctx); err != nil {
			return err
		}
	}
	for try := 0; ; try++ {
		err := u.send(ctx)
		if try == conflicts || !errors.Is(err, backend.ErrConflict) {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond << try):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// weaken makes a create of a put, where the server knows no conditions: if nothing is there, the one writer may put it there.
func (u *upload) weaken(ctx context.Context) error {
	p, err := u.store.probe(ctx)
	if err != nil || p == backend.PrimitiveAtomic {
		return err
	}
	switch _, err := u.store.Stat(ctx, u.key); {
	case err == nil:
		return u.exists()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	u.ifAbsent = false
	return nil
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
	_, err := u.store.client.PutObject(ctx, in)
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

// outcome is that of the request that makes the object visible. One that was repeated, by the SDK or by something on the way, may be told of its own object.
func (u *upload) outcome(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	for _, e := range []error{context.Cause(ctx), err} {
		if src, ok := errors.AsType[*backend.SourceError](e); ok {
			return src
		}
	}
	exists := u.ifAbsent && status(err) == http.StatusPreconditionFailed
	if !exists && code(err) != "NoSuchUpload" {
		return failed(ctx, u.key, err)
	}
	mine, rerr := u.isStored(ctx)
	switch {
	case rerr != nil:
		return rerr
	case mine:
		return nil
	case exists:
		return u.exists()
	}
	return fmt.Errorf("object %s: its upload is gone", u.key)
}

// uploadTag is the metadata by which an upload knows its own object again.
const uploadTag = "holdfast-upload"

func (u *upload) metadata() map[string]string { return map[string]string{uploadTag: u.tag} }

// isStored reports whether the object is the one of this upload.
func (u *upload) isStored(ctx context.Context) (bool, error) {
	out, err := u.store.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: u.bucket(), Key: u.name()})
	if err = failed(ctx, u.key, err); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return out.Metadata[uploadTag] == u.tag, nil
}

// body returns a part of the source, which ends the upload when it fails.
func (u *upload) body(off, n int64) io.ReadSeeker { return &body{upload: u, from: off, size: n} }

type body struct {
	*upload
	from, size int64
	at         int64
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
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
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	p, err := s.probe(ctx)
	if err != nil {
		s.opts.Logger.Warn("what the store can do could not be found out", "store", s.Location(), "error", err)
	}
	return p
}

// probe returns what creates rest on. What could not be found out is tried again the next time.
func (s *Store) probe(ctx context.Context) (backend.Primitive, error) {
	s.probing.Lock()
	defer s.probing.Unlock()
	if s.primitive != backend.PrimitiveNone || s.opts.ReadOnly {
		return s.primitive, nil
	}
	p, err := s.tryCreate(ctx)
	s.primitive = p
	return p, err
}

func (s *Store) tryCreate(ctx context.Context) (backend.Primitive, error) {
	put := func(condition *string) error {
		u := &upload{store: s, key: probeKey}
		in := &s3.PutObjectInput{Bucket: u.bucket(), Key: u.name(), Body: bytes.NewReader(nil), IfNoneMatch: condition}
		_, in.ServerSideEncryption, in.SSEKMSKeyId = u.storage()
		_, err := s.client.PutObject(ctx, in)
		return err
	}
	for range 2 {
		err := put(aws.String("*"))
		switch {
		case status(err) == http.StatusPreconditionFailed:
			return backend.PrimitiveAtomic, nil
		case status(err) == http.StatusNotImplemented, code(err) == "InvalidArgument": // it does not know the header
		case err != nil:
			return backend.PrimitiveNone, failed(ctx, probeKey, err)
		}
	}
	if err := put(nil); err != nil {
		return backend.PrimitiveNone, failed(ctx, probeKey, err)
	}
	return backend.PrimitiveSingleWriter, nil
}
