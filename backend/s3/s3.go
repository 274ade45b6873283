package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/holdfast-backup/holdfast/backend"
)

// Options are the options of [Open] and [Create]; nil means all fields zero.
type Options struct {
	// Region of the bucket; empty: what the SDK's configuration says, and us-east-1 if it says nothing.
	Region string
	// VirtualHost names the bucket in the host's name, not in the path. Amazon's own endpoints are always addressed like that.
	VirtualHost bool
	// ReadOnly refuses everything that would change the bucket, with [ErrReadOnly].
	ReadOnly bool
	// MaxAttempts is how often a request is sent at most; 0: 10 times.
	MaxAttempts int
	// StorageClass of new packs, such as "STANDARD_IA" or "GLACIER_IR"; empty: the bucket's own. Classes that have to be recalled before they are read do not fit a repository
	// that is written to. All other objects are small or read often, and get the bucket's own class.
	StorageClass string
	// Encryption on the server, beside that of everything stored: "AES256", "aws:kms" or "aws:kms:dsse"; empty: the bucket's own. KMSKey is the key for the latter two; empty: Amazon's.
	Encryption, KMSKey string
	// UploadLimit and DownloadLimit are how many bytes a second go over the network at most, in all; 0: as many as can be.
	UploadLimit, DownloadLimit int64
	// Logger hears of requests that are repeated, when that takes longer than a second; nil: nobody.
	Logger *slog.Logger
	// PartSize is how many bytes of a large object are uploaded at a time, at least 5 MiB; 0: 32 MiB.
	PartSize int64
}

const (
	defaultAttempts = 10
	defaultPart     = 32 << 20
	leastPart       = 5 << 20 // S3 refuses smaller ones
	maxBackoff      = 20 * time.Second
	connections     = 64 // that are kept for later requests
)

// ErrReadOnly is returned by what would change a store opened with Options.ReadOnly. It is fs.ErrPermission.
var ErrReadOnly = fmt.Errorf("store was opened for reading only: %w", fs.ErrPermission)

// ErrNoBucket is returned when the bucket is not there.
var ErrNoBucket = errors.New("there is no such bucket")

// ErrNoCredentials is returned when there are none to sign requests with.
var ErrNoCredentials = errors.New("no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")

// Store is a store in a bucket. It implements [backend.Store], [backend.Prober] and [backend.Locator].
type Store struct {
	place   Place
	opts    Options
	client  *s3.Client
	closed  atomic.Bool
	traffic *traffic

	probing   sync.Mutex // guards primitive
	primitive backend.Primitive
}

// Open returns the store at a place. It makes no request: what is wrong with credentials or the bucket is heard from the first one.
func Open(ctx context.Context, p Place, opts *Options) (*Store, error) {
	s := &Store{place: p}
	if opts != nil {
		s.opts = *opts
	}
	if s.opts.MaxAttempts == 0 {
		s.opts.MaxAttempts = defaultAttempts
	}
	if s.opts.PartSize == 0 {
		s.opts.PartSize = defaultPart
	}
	s.opts.PartSize = max(s.opts.PartSize, leastPart)
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	s.traffic = newTraffic(s.opts.UploadLimit, s.opts.DownloadLimit)
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithHTTPClient(s.httpClient()),
		config.WithAPIOptions([]func(*middleware.Stack) error{s.traffic.count}),
		config.WithLogger(logging.Nop{}),
		config.WithDefaultsMode(aws.DefaultsModeLegacy), // others have a dialer of their own
		config.WithRetryer(func() aws.Retryer { return s.retryer() }))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	switch {
	case s.opts.Region != "":
		cfg.Region = s.opts.Region
	case cfg.Region == "":
		cfg.Region = "us-east-1"
	}
	s.client = s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true
		if p.Endpoint != "" {
			o.BaseEndpoint = aws.String(p.Endpoint)
			o.UsePathStyle = !s.opts.VirtualHost
		}
	})
	return s, nil
}

// Create is Open, and makes the bucket if it is missing.
func Create(ctx context.Context, p Place, opts *Options) (*Store, error) {
	s, err := Open(ctx, p, opts)
	if err != nil {
		return nil, err
	}
	_, err = s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &p.Bucket})
	if status(err) == http.StatusNotFound {
		in := &s3.CreateBucketInput{Bucket: &p.Bucket}
		if region := s.client.Options().Region; p.Endpoint == "" && region != "us-east-1" {
			in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(region)}
		}
		_, err = s.client.CreateBucket(ctx, in)
		if mine := (*types.BucketAlreadyOwnedByYou)(nil); errors.As(err, &mine) {
			err = nil
		}
	}
	if err != nil && status(err) != http.StatusForbidden { // who may write objects need not be allowed to ask for the bucket
		return nil, fmt.Errorf("%s: bucket %s: %w", p, p.Bucket, said(err))
	}
	return s, nil
}

func (s *Store) httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = connections
		t.DialContext = s.traffic.dial(t.DialContext)
		t.ResponseHeaderTimeout = time.Minute
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{}
		}
		t.TLSClientConfig.MinVersion = tls.VersionTLS12
	})
}

// patient repeats requests, and says so.
type patient struct {
	*retry.Standard
	store *Store
}

// RetryDelay implements aws.Retryer.
func (p *patient) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, derr := p.Standard.RetryDelay(attempt, err)
	if delay > time.Second {
		p.store.opts.Logger.Warn("a request is repeated", "store", p.store.Location(), "in", delay.Round(time.Second), "error", said(err))
	}
	return delay, derr
}

func (s *Store) retryer() aws.Retryer {
	return &patient{store: s, Standard: retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff = s.opts.MaxAttempts, maxBackoff
		o.RateLimiter = noLimit{} // a long outage is bridged by backing off, not by giving up early
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(repeatable), retry.RetryableErrorCode{
			// Two conditional requests for one key met.
			Codes: map[string]struct{}{"ConditionalRequestConflict": {}, "OperationAborted": {}},
		}}, o.Retryables...)
	})}
}

// noLimit lets each request be repeated up to its own number of attempts.
type noLimit struct{}

func (noLimit) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}
func (noLimit) AddTokens(uint) error { return nil }

// begin refuses what cannot be done.
func (s *Store) begin(ctx context.Context, key string, writes bool) error {
	switch {
	case s.closed.Load():
		return fs.ErrClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if err := backend.CheckKey(key); err != nil {
		return err
	}
	if writes && s.opts.ReadOnly {
		return fmt.Errorf("object %s: %w", key, ErrReadOnly)
	}
	return nil
}

// Stat implements [backend.Store].
func (s *Store) Stat(ctx context.Context, key string) (backend.Info, error) {
	if err := s.begin(ctx, key, false); err != nil {
		return backend.Info{}, err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.place.Bucket, Key: aws.String(s.place.key(key))})
	if err != nil {
		return backend.Info{}, failed(ctx, key, err)
	}
	if out.ContentLength == nil {
		return backend.Info{}, fmt.Errorf("object %s: %w", key, errNoLength)
	}
	return backend.Info{Key: key, Size: *out.ContentLength}, nil
}

// Delete implements [backend.Store]. S3 does not tell whether there was an object, so it is asked for first.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.begin(ctx, key, true); err != nil {
		return err
	}
	if _, err := s.Stat(ctx, key); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.place.Bucket, Key: aws.String(s.place.key(key))})
	return failed(ctx, key, err)
}

// Location implements [backend.Locator].
func (s *Store) Location() string { return s.place.String() }

// Close implements [backend.Store].
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}
