package s3

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/holdfast-backup/holdfast/backend"
)

// Place says where a store is.
type Place struct {
	// Endpoint is the URL of the server, such as "https://minio.example:9000"; empty for Amazon's.
	Endpoint string
	// Bucket is the name of the bucket, Prefix what the keys of all objects begin with, without slashes around it; empty for the whole bucket.
	Bucket, Prefix string
}

// Parse reads "s3:https://host[:port]/bucket/prefix", or "s3:bucket/prefix" for Amazon S3. Credentials have no place in it. Errors say what is wrong.
func Parse(where string) (Place, error) {
	rest, ok := strings.CutPrefix(where, "s3:")
	if !ok {
		return Place{}, errors.New("an address begins with s3:")
	}
	var p Place
	if strings.HasPrefix(rest, "http://") || strings.HasPrefix(rest, "https://") {
		if strings.Contains(rest, "@") {
			return Place{}, errors.New("s3: credentials do not belong in the address: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile")
		}
		u, err := url.Parse(rest)
		if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" { // what was given may have a secret, so it is not repeated
			return Place{}, errors.New("s3: write s3:https://HOST[:PORT]/BUCKET[/PREFIX], and nothing more")
		}
		p.Endpoint, rest = u.Scheme+"://"+u.Host, u.Path
	}
	p.Bucket, p.Prefix, _ = strings.Cut(strings.Trim(rest, "/"), "/")
	p.Prefix = strings.Trim(p.Prefix, "/")
	return p, p.check()
}

func (p *Place) check() error {
	if strings.Trim(p.Bucket, ".") == "" || strings.ContainsAny(p.Bucket, ":?#@ ") {
		return fmt.Errorf("s3: %q is no name of a bucket: write s3:BUCKET[/PREFIX] or s3:https://HOST[:PORT]/BUCKET[/PREFIX]", p.Bucket)
	}
	if p.Prefix != "" {
		if err := backend.CheckKey("p/" + p.Prefix); err != nil {
			return fmt.Errorf("s3: the prefix %q: %w", p.Prefix, err)
		}
	}
	return nil
}

// String returns the address, as Parse reads it.
func (p Place) String() string {
	at := p.Bucket
	if p.Prefix != "" {
		at += "/" + p.Prefix
	}
	if p.Endpoint != "" {
		at = p.Endpoint + "/" + at
	}
	return "s3:" + at
}

// Exposed reports whether requests go over a network without encryption.
func (p *Place) Exposed() bool {
	u, err := url.Parse(p.Endpoint)
	if err != nil || u.Scheme != "http" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// key returns the key of an object in the bucket.
func (p *Place) key(object string) string {
	if p.Prefix == "" {
		return object
	}
	return p.Prefix + "/" + object
}
