package s3

import (
	"context"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/holdfast-backup/holdfast/backend"
)

// Next implements [backend.Successor].
func (s *Store) Next(ctx context.Context, prefix, after string) (backend.Info, bool, error) {
	if err := backend.CheckPrefix(prefix); err != nil {
		return backend.Info{}, false, err
	}
	if err := s.begin(ctx, after, false); err != nil {
		return backend.Info{}, false, err
	}
	root := s.place.key("")
	for {
		page, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
			Bucket: &s.place.Bucket, Prefix: aws.String(root + prefix), StartAfter: aws.String(root + after), MaxKeys: aws.Int32(1),
		})
		if err != nil {
			return backend.Info{}, false, s.listing(ctx, err)
		}
		if len(page.Contents) == 0 {
			return backend.Info{}, false, nil
		}
		o := &page.Contents[0]
		if after = strings.TrimPrefix(aws.ToString(o.Key), root); backend.CheckKey(after) == nil {
			return backend.Info{Key: after, Size: aws.ToInt64(o.Size)}, true, nil
		}
	}
}

// listing returns the error of a listing.
func (s *Store) listing(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("listing %s: %w", s.place, said(err))
}

// List implements [backend.Store]: a request for each thousand objects.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		err := backend.CheckPrefix(prefix)
		if s.closed.Load() {
			err = fs.ErrClosed
		}
		if err != nil {
			yield(backend.Info{}, err)
			return
		}
		root := s.place.key("")
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.place.Bucket, Prefix: aws.String(root + prefix)})
		last := ""
		for pages.HasMorePages() {
			if ctx.Err() != nil {
				yield(backend.Info{}, context.Cause(ctx))
				return
			}
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(backend.Info{}, s.listing(ctx, err))
				return
			}
			if aws.ToBool(page.IsTruncated) && aws.ToString(page.NextContinuationToken) == "" {
				yield(backend.Info{}, fmt.Errorf("listing %s: the server does not say how to go on", s.place))
				return
			}
			for i := range page.Contents {
				o := &page.Contents[i]
				if next := aws.ToString(o.Key); next > last {
					last = next
				} else {
					yield(backend.Info{}, fmt.Errorf("listing %s: the server gives %q after %q", s.place, next, last))
					return
				}
				key := strings.TrimPrefix(last, root)
				if backend.CheckKey(key) != nil {
					continue // no object of ours
				}
				if ctx.Err() != nil {
					yield(backend.Info{}, context.Cause(ctx))
					return
				}
				if !yield(backend.Info{Key: key, Size: aws.ToInt64(o.Size)}, nil) {
					return
				}
			}
		}
	}
}
