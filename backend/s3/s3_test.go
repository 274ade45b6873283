package s3_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/backendtest"
	"github.com/holdfast-backup/holdfast/backend/s3"
)

func TestConformance(t *testing.T) {
	opts := &s3.Options{PartSize: 5 << 20} // so that the largest objects are uploaded in parts
	backendtest.Run(t, func(t *testing.T) backend.Store { return create(t, newPlace(t), opts) })
}

func TestParse(t *testing.T) {
	for where, want := range map[string]s3.Place{
		"s3:bucket":                             {Bucket: "bucket"},
		"s3:bucket/some/prefix/":                {Bucket: "bucket", Prefix: "some/prefix"},
		"s3:https://host/bucket":                {Endpoint: "https://host", Bucket: "bucket"},
		"s3:http://127.0.0.1:9000/bucket/a/b":   {Endpoint: "http://127.0.0.1:9000", Bucket: "bucket", Prefix: "a/b"},
		"s3:https://[::1]:9000/bucket.name/x-y": {Endpoint: "https://[::1]:9000", Bucket: "bucket.name", Prefix: "x-y"},
	} {
		p, err := s3.Parse(where)
		require.NoError(t, err, where)
		require.Equal(t, want, p, where)
		again, err := s3.Parse(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
	}
	for _, where := range []string{"", "s3:", "bucket", "s3:/", "s3:https://host", "s3:https:///bucket", "s3:https://key:secret@host/bucket", "s3:https://host/bucket?x=1", "s3:https://host/bucket#x", "s3:ftp://host/bucket", "s3:bucket/../x", "s3:bucket/a//b"} {
		_, err := s3.Parse(where)
		require.Error(t, err, where)
	}
}

func TestExposed(t *testing.T) {
	for where, want := range map[string]bool{
		"s3:bucket": false, "s3:https://host/bucket": false, "s3:http://127.0.0.1:1/bucket": false, "s3:http://localhost/bucket": false, "s3:http://[::1]/bucket": false,
		"s3:http://host/bucket": true, "s3:http://10.0.0.1/bucket": true,
	} {
		p, err := s3.Parse(where)
		require.NoError(t, err)
		require.Equal(t, want, p.Exposed(), where)
	}
}
