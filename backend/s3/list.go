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
		for pages.HasMorePages() {
			if ctx.Err() != nil {
				yield(backend.Info{}, context.Cause(ctx))
				return
			}
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(backend.Info{}, fmt.Errorf("listing %s: %w", s.place, failed(ctx, prefix, err)))
				return
			}
			for i := range page.Contents {
				o := &page.Contents[i]
				key := strings.TrimPrefix(aws.ToString(o.Key), root)
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
