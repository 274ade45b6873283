package snapshot

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
)

func testManifest() *Manifest {
	return &Manifest{
		Time: time.Unix(5, 6).UTC(), Point: time.Unix(7, 8).UTC(), Host: "h", User: "u", Tags: []string{"a", "b"}, Paths: []string{"/x", "/y"},
		Class: "c", Program: "p", Complete: true, Parent: repo.ID{1}, Stats: Stats{FilesNew: 1, Errors: 2, Duration: 3},
		Deltas: []Delta{
			{Path: "/x", Parent: repo.ID{2}, Kind: "k", Map: repo.ID{3}, Deltas: 4, FullRead: time.Unix(9, 10).UTC()},
			{Path: "/y", Deltas: 1, FullRead: time.Unix(0, 0).UTC()},
		},
	}
}

func TestManifest(t *testing.T) {
	for _, change := range []func(*Manifest){
		func(*Manifest) {},
		func(m *Manifest) { m.Deltas = nil },
	} {
		m := testManifest()
		change(m)
		got, err := decodeManifest(m.encode())
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	for _, spoil := range []func(*Manifest){
		func(m *Manifest) { m.Deltas[0].Deltas = 0 },
		func(m *Manifest) { m.Deltas[1].Path = "/x" },
		func(m *Manifest) { m.Deltas[0].Kind = string(make([]byte, maxKind+1)) },
		func(m *Manifest) { m.Deltas[0].Path = string(make([]byte, maxText+1)) },
	} {
		m := testManifest()
		spoil(m)
		_, err := decodeManifest(m.encode())
		require.ErrorIs(t, err, reftree.ErrFormat)
	}
	none := testManifest()
	none.Deltas = nil
	b := none.encode()
	for _, end := range [][]byte{{2}, {1, 0}, {1, 1}, {0, 0}} {
		_, err := decodeManifest(append(b[:len(b)-1:len(b)-1], end...))
		require.ErrorIs(t, err, reftree.ErrFormat, end)
	}
}

func FuzzManifest(f *testing.F) {
	m := testManifest()
	f.Add(m.encode())
	m.Deltas = nil
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err == nil && !bytes.Equal(m.encode(), b) {
			t.Fatal("a manifest with two encodings")
		}
	})
}
