package s3_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend/s3"
	"github.com/holdfast-backup/holdfast/internal/s3server"
)

// server is a real S3 server for all tests of the package: versitygw, or that of HOLDFAST_TEST_S3 (a URL; credentials as the SDK finds them).
var server struct {
	once    sync.Once
	running *s3server.Server
	err     error
	buckets int
}

// TestMain stops the server in the end.
func TestMain(m *testing.M) {
	code := m.Run()
	if server.running != nil {
		_ = server.running.Stop()
	}
	os.Exit(code)
}

func serverURL(t testing.TB) string {
	t.Helper()
	t.Setenv("AWS_REGION", s3server.Region)
	if url := os.Getenv("HOLDFAST_TEST_S3"); url != "" {
		return url
	}
	server.once.Do(func() { server.running, server.err = s3server.Start("../../.tools") })
	if errors.Is(server.err, s3server.ErrNotInstalled) {
		t.Skip(server.err)
	}
	require.NoError(t, server.err)
	t.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3server.SecretKey)
	return server.running.URL
}

// newPlace is a place in a new bucket.
func newPlace(t testing.TB) s3.Place {
	t.Helper()
	url := serverURL(t)
	server.buckets++
	p, err := s3.Parse(fmt.Sprintf("s3:%s/holdfast-%d-%d/some/prefix", url, os.Getpid(), server.buckets))
	require.NoError(t, err)
	return p
}

func create(t testing.TB, p s3.Place, opts *s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Create(context.Background(), p, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}
