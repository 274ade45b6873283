package s3_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/s3"
)

// TestTraffic: requests and bytes are counted.
func TestTraffic(t *testing.T) {
	s := create(t, newPlace(t), nil)
	before := s.Traffic()
	b := someBytes(1 << 20)
	require.NoError(t, backend.PutBytes(t.Context(), s, "object", b, nil))
	put := s.Traffic()
	require.EqualValues(t, 1, put.Requests-before.Requests)
	require.Greater(t, put.Sent-before.Sent, int64(len(b)))
	require.Less(t, put.Sent-before.Sent, int64(len(b)+8<<10))
	_, err := backend.ReadAll(t.Context(), s, "object", int64(len(b)))
	require.NoError(t, err)
	got := s.Traffic()
	require.EqualValues(t, 1, got.Requests-put.Requests)
	require.Greater(t, got.Received-put.Received, int64(len(b)))
	require.Less(t, got.Received-put.Received, int64(len(b)+8<<10))
}

// TestLimits: no more passes than was allowed.
func TestLimits(t *testing.T) {
	s := create(t, newPlace(t), &s3.Options{UploadLimit: 1 << 20, DownloadLimit: 2 << 20})
	b := someBytes(1 << 20)
	start := time.Now()
	require.NoError(t, backend.PutBytes(t.Context(), s, "object", b, nil))
	require.Greater(t, time.Since(start), 800*time.Millisecond)
	start = time.Now()
	_, err := backend.ReadAll(t.Context(), s, "object", int64(len(b)))
	require.NoError(t, err)
	require.Greater(t, time.Since(start), 400*time.Millisecond)
}
