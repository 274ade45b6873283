package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/s3"
	"github.com/holdfast-backup/holdfast/internal/s3server"
)

// through is a place whose requests pass a function before they come to the server.
func through(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, server http.Handler)) s3.Place {
	t.Helper()
	p := newPlace(t)
	target, err := url.Parse(p.Endpoint)
	require.NoError(t, err)
	server := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // which is signed
	}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, server) }))
	t.Cleanup(proxy.Close)
	p.Endpoint = proxy.URL
	return p
}

func someBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// cut breaks the connection after some bytes of the reply.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		_, _ = c.ResponseWriter.Write(p[:len(p)+c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// TestBrokenReads: a reader whose connection breaks again and again gets every byte.
func TestBrokenReads(t *testing.T) {
	var gets atomic.Int32
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/big") {
			gets.Add(1)
			w = &cut{w, 300_000}
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, nil)
	b := someBytes(2 << 20)
	require.NoError(t, backend.PutBytes(t.Context(), s, "big", b, nil))
	got, err := backend.ReadAll(t.Context(), s, "big", int64(len(b)))
	require.NoError(t, err)
	require.True(t, bytes.Equal(b, got))
	require.Greater(t, gets.Load(), int32(5))
	part := make([]byte, 1<<20)
	require.NoError(t, backend.ReadFull(t.Context(), s, "big", 12345, part))
	require.True(t, bytes.Equal(b[12345:12345+len(part)], part))
}

// TestReplacedWhileRead: a reader whose connection breaks does not go on in another object.
func TestReplacedWhileRead(t *testing.T) {
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/big") {
			w = &cut{w, 300_000}
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, nil)
	b := someBytes(1 << 20)
	require.NoError(t, backend.PutBytes(t.Context(), s, "big", b, nil))
	r, err := s.Get(t.Context(), "big", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	_, err = io.ReadFull(r, make([]byte, 1000))
	require.NoError(t, err)
	b[0]++
	require.NoError(t, backend.PutBytes(t.Context(), s, "big", b, nil))
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// TestLostReply: a create whose reply was lost is told from one that came second.
func TestLostReply(t *testing.T) {
	for name, opts := range map[string]*s3.Options{"whole": nil, "in parts": {PartSize: 5 << 20}} {
		t.Run(name, func(t *testing.T) {
			var lose atomic.Bool
			p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
				if r.Header.Get("If-None-Match") != "" && strings.Contains(r.URL.Path, "/object") && lose.CompareAndSwap(true, false) {
					server.ServeHTTP(httptest.NewRecorder(), r)
					panic(http.ErrAbortHandler)
				}
				server.ServeHTTP(w, r)
			})
			s := create(t, p, opts)
			b := someBytes(100_000)
			if opts != nil {
				b = someBytes(11 << 20)
			}
			absent := &backend.PutOptions{IfAbsent: true}
			lose.Store(true)
			require.NoError(t, backend.PutBytes(t.Context(), s, "object", b, absent))
			require.False(t, lose.Load())
			require.ErrorIs(t, backend.PutBytes(t.Context(), s, "object", b, absent), fs.ErrExist, "nothing was lost: it is not this one's")
			b[5]++
			lose.Store(true)
			require.ErrorIs(t, backend.PutBytes(t.Context(), s, "object", b, absent), fs.ErrExist, "it is another's")
		})
	}
}

// TestNoConditions: a server that does not know If-None-Match holds one writer at a time.
func TestNoConditions(t *testing.T) {
	for name, reply := range map[string]int{"ignores": http.StatusOK, "refuses": http.StatusNotImplemented} {
		t.Run(name, func(t *testing.T) {
			p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
				if r.Header.Get("If-None-Match") != "" {
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(reply)
					return
				}
				server.ServeHTTP(w, r)
			})
			s := create(t, p, &s3.Options{MaxAttempts: 2})
			require.Equal(t, backend.PrimitiveSingleWriter, s.CreateIfAbsent())
			absent := &backend.PutOptions{IfAbsent: true}
			require.NoError(t, backend.PutBytes(t.Context(), s, "object", []byte("one"), absent))
			require.ErrorIs(t, backend.PutBytes(t.Context(), s, "object", []byte("two"), absent), fs.ErrExist)
		})
	}
}

// TestOutage: requests are repeated while a server answers that it is busy.
func TestOutage(t *testing.T) {
	var busy atomic.Int32
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if busy.Add(-1) >= 0 {
			http.Error(w, "SlowDown", http.StatusServiceUnavailable)
			return
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, nil)
	busy.Store(2)
	require.NoError(t, backend.PutBytes(t.Context(), s, "object", []byte("one"), nil))
	busy.Store(2)
	_, err := s.Stat(t.Context(), "object")
	require.NoError(t, err)
}

// TestErrors: what is wrong is said in one line.
func TestErrors(t *testing.T) {
	p := newPlace(t)
	s := create(t, p, nil)
	require.NoError(t, backend.PutBytes(t.Context(), s, "object", []byte("one"), nil))

	reading, err := s3.Open(t.Context(), p, &s3.Options{ReadOnly: true})
	require.NoError(t, err)
	require.ErrorIs(t, backend.PutBytes(t.Context(), reading, "object", nil, nil), s3.ErrReadOnly)
	require.ErrorIs(t, reading.Delete(t.Context(), "object"), fs.ErrPermission)
	require.Equal(t, backend.PrimitiveNone, reading.CreateIfAbsent())

	other := p
	other.Bucket += "-none"
	none, err := s3.Open(t.Context(), other, nil)
	require.NoError(t, err)
	_, err = none.Get(t.Context(), "object", 0, -1)
	require.ErrorIs(t, err, s3.ErrNoBucket)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.True(t, backend.IsPermanent(err))
	require.NotContains(t, err.Error(), "\n")
	var listed error
	for _, err := range none.List(t.Context(), "") {
		listed = err
	}
	require.ErrorIs(t, listed, s3.ErrNoBucket)

	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	nobody, err := s3.Open(t.Context(), p, nil)
	require.NoError(t, err)
	_, err = nobody.Stat(t.Context(), "object")
	require.ErrorIs(t, err, s3.ErrNoCredentials)

	t.Setenv("AWS_ACCESS_KEY_ID", s3server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	wrong, err := s3.Open(t.Context(), p, nil)
	require.NoError(t, err)
	_, err = wrong.Get(t.Context(), "object", 0, -1)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.Contains(t, err.Error(), "SignatureDoesNotMatch")
}

// TestNobodyThere: a server that cannot be reached is given up after the attempts that were asked for.
func TestNobodyThere(t *testing.T) {
	p := newPlace(t)
	p.Endpoint = "http://127.0.0.1:1"
	s, err := s3.Open(t.Context(), p, &s3.Options{MaxAttempts: 2})
	require.NoError(t, err)
	_, err = s.Stat(t.Context(), "object")
	require.ErrorContains(t, err, "connection refused")
	require.False(t, backend.IsPermanent(err))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("no time"))
	_, err = s.Stat(ctx, "object")
	require.ErrorContains(t, err, "no time")
}

// TestStorage: packs get the class that was asked for, and everything is encrypted as asked for, in parts or not.
func TestStorage(t *testing.T) {
	type asked struct{ class, encryption, key string }
	var mu sync.Mutex
	got := map[string]asked{}
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodPut && !r.URL.Query().Has("partNumber") || r.Method == http.MethodPost && r.URL.Query().Has("uploads") {
			mu.Lock()
			_, object, _ := strings.Cut(r.URL.Path, "/some/prefix/")
			got[object] = asked{r.Header.Get("X-Amz-Storage-Class"), r.Header.Get("X-Amz-Server-Side-Encryption"), r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")}
			mu.Unlock()
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, &s3.Options{StorageClass: "STANDARD_IA", Encryption: "aws:kms", KMSKey: "key", PartSize: 5 << 20, MaxAttempts: 1})
	for key, size := range map[string]int{"packs/a/b": 100, "packs/a/c": 11 << 20, "index/a/b": 100} {
		_ = backend.PutBytes(t.Context(), s, key, someBytes(size), nil) // a server without keys of its own may refuse
	}
	require.Equal(t, asked{"STANDARD_IA", "aws:kms", "key"}, got["packs/a/b"])
	require.Equal(t, asked{"STANDARD_IA", "aws:kms", "key"}, got["packs/a/c"])
	require.Equal(t, asked{"", "aws:kms", "key"}, got["index/a/b"])
}

// altered changes a byte of a reply.
type altered struct {
	http.ResponseWriter
	at int
}

func (a *altered) Write(p []byte) (int, error) {
	if a.at >= 0 && a.at < len(p) {
		p = bytes.Clone(p)
		p[a.at] ^= 1
	}
	a.at -= len(p)
	return a.ResponseWriter.Write(p)
}

// TestAltered: bytes that were altered on the way are not taken for an object.
func TestAltered(t *testing.T) {
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/object") {
			w = &altered{w, 50}
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, nil)
	for _, n := range []int{100, 5000, 1 << 20} {
		require.NoError(t, backend.PutBytes(t.Context(), s, "object", someBytes(n), nil))
		_, err := backend.ReadAll(t.Context(), s, "object", int64(n))
		var damaged *backend.DamagedError
		require.ErrorAs(t, err, &damaged, n)
	}
}

// TestNoLength: a reply that does not tell its length is not taken for an empty object.
func TestNoLength(t *testing.T) {
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/object") {
			reply := httptest.NewRecorder()
			server.ServeHTTP(reply, r)
			w.WriteHeader(reply.Code)
			w.(http.Flusher).Flush() // so that the reply comes in pieces
			_, _ = w.Write(reply.Body.Bytes())
			return
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, nil)
	require.NoError(t, backend.PutBytes(t.Context(), s, "object", someBytes(5000), nil))
	_, err := s.Get(t.Context(), "object", 0, -1)
	require.ErrorContains(t, err, "how many bytes")
}

// TestBrokenReplies: a listing and the end of an upload in parts whose replies break off are asked for again.
func TestBrokenReplies(t *testing.T) {
	var broken atomic.Int32
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		lists := r.Method == http.MethodGet && r.URL.Query().Has("list-type")
		completes := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
		if (lists || completes) && broken.Add(-1) >= 0 {
			w = &cut{w, 20}
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, &s3.Options{PartSize: 5 << 20})
	b := someBytes(11 << 20)
	for _, o := range []*backend.PutOptions{nil, {IfAbsent: true}} {
		broken.Store(1)
		require.NoError(t, backend.PutBytes(t.Context(), s, fmt.Sprintf("object-%t", o != nil), b, o))
		require.Negative(t, broken.Load())
	}
	broken.Store(1)
	n := 0
	for _, err := range s.List(t.Context(), "") {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 2, n)
}

// TestFailedProbe: what creates rest on could not be found out, so nothing is created, and it is tried again.
func TestFailedProbe(t *testing.T) {
	var refuse atomic.Bool
	p := through(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if refuse.Load() && strings.HasSuffix(r.URL.Path, "/tmp/create-if-absent") {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		server.ServeHTTP(w, r)
	})
	s := create(t, p, nil)
	refuse.Store(true)
	require.ErrorIs(t, backend.PutBytes(t.Context(), s, "object", []byte("one"), &backend.PutOptions{IfAbsent: true}), fs.ErrPermission)
	_, err := s.Stat(t.Context(), "object")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Equal(t, backend.PrimitiveNone, s.CreateIfAbsent())
	refuse.Store(false)
	require.NoError(t, backend.PutBytes(t.Context(), s, "object", []byte("one"), &backend.PutOptions{IfAbsent: true}))
	require.Equal(t, backend.PrimitiveAtomic, s.CreateIfAbsent())
}
