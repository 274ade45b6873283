package s3

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"
)

const (
	partsAtOnce = 4
	mostParts   = 10_000
	abortTime   = 30 * time.Second
)

// inParts uploads a large object in parts, several at once. What was uploaded of one that fails is given up.
func (u *upload) inParts(ctx context.Context) error {
	c := u.store.client
	in := &s3.CreateMultipartUploadInput{Bucket: u.bucket(), Key: u.name(), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, Metadata: u.metadata()}
	in.StorageClass, in.ServerSideEncryption, in.SSEKMSKeyId = u.storage()
	made, err := c.CreateMultipartUpload(ctx, in)
	if err != nil {
		return u.outcome(ctx, err)
	}
	parts, err := u.parts(ctx, made.UploadId)
	if err == nil {
		_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: u.bucket(), Key: u.name(), UploadId: made.UploadId, IfNoneMatch: u.ifNoneMatch(), MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		})
	}
	if err == nil {
		return nil
	}
	err = u.outcome(ctx, err)
	if err != nil {
		abort, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
		defer cancel()
		// If that fails, too, the bucket's rules for unfinished uploads have to do it.
		_, _ = c.AbortMultipartUpload(abort, &s3.AbortMultipartUploadInput{Bucket: u.bucket(), Key: u.name(), UploadId: made.UploadId})
	}
	return err
}

func (u *upload) parts(ctx context.Context, id *string) ([]types.CompletedPart, error) {
	size := max(u.store.opts.PartSize, (u.size+mostParts-1)/mostParts)
	parts := make([]types.CompletedPart, (u.size+size-1)/size)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(partsAtOnce)
	for i := range parts {
		g.Go(func() error {
			off, number := int64(i)*size, aws.Int32(int32(i+1))
			n := min(size, u.size-off)
			out, err := u.store.client.UploadPart(ctx, &s3.UploadPartInput{
				Bucket: u.bucket(), Key: u.name(), UploadId: id, PartNumber: number, Body: u.body(off, n), ContentLength: aws.Int64(n), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
			})
			if err == nil {
				parts[i] = types.CompletedPart{PartNumber: number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}
			}
			return err
		})
	}
	return parts, g.Wait()
}
