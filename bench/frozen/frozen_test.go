package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"

	"github.com/holdfast-backup/holdfast/backend/local"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

const testdata = "../../internal/specreader/testdata/"

func wanted(t *testing.T) *listing {
	b, err := os.ReadFile(testdata + "frozen-v1.json")
	require.NoError(t, err)
	l := &listing{}
	require.NoError(t, json.Unmarshal(b, l))
	byID := map[string]*expected{}
	for _, s := range l.Snapshots {
		byID[s.ID] = s
		if s.Same != "" {
			s.Entries = byID[s.Same].Entries
		}
		for _, e := range s.Entries {
			if len(e.XAttrs) == 0 {
				e.XAttrs = nil
			}
		}
	}
	return l
}

func (c *credential) parse(t *testing.T) crypto.Credential {
	var out crypto.Credential
	var err error
	switch c.Kind {
	case "password":
		return crypto.Passphrase(c.Secret)
	case "keyfile":
		out, err = crypto.ParseKeyFile(c.Secret)
	case "identity":
		out, err = crypto.ParseIdentity(c.Secret)
	case "recovery":
		out, err = crypto.ParseRecovery(c.Secret)
	}
	require.NoError(t, err)
	return out
}

// open opens the frozen repository, as a folder that cannot be written to.
func open(t *testing.T, c crypto.Credential) *repo.Repository {
	store, err := local.Open(testdata+"frozen-v1", &local.Options{ReadOnly: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	r, err := repo.Open(t.Context(), store, &repo.Options{Credential: c})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// TestFrozen: today's programs read what was written when the format was frozen.
func TestFrozen(t *testing.T) {
	l := wanted(t)
	for _, c := range l.Credentials {
		t.Run(c.Kind+" "+c.Role, func(t *testing.T) {
			r := open(t, c.parse(t))
			require.Equal(t, c.Role, r.Role().String())
			snapshots, err := snapshot.List(t.Context(), r, nil)
			require.NoError(t, err)
			require.Len(t, snapshots, len(l.Snapshots))
			for _, m := range snapshots {
				want := find(t, l, m)
				requireManifest(t, want, m)
				if !r.CanRead(repo.Data) {
					require.ErrorIs(t, walk(t, r, m, nil), repo.ErrNotAllowed)
					continue
				}
				var got []*entry
				require.NoError(t, walk(t, r, m, &got))
				require.Equal(t, want.Entries, got)
			}
			report, err := r.Check(t.Context(), &repo.CheckOptions{ReadData: repo.ReadAll()})
			require.NoError(t, err)
			require.Empty(t, report.Errors)
		})
	}
}

func find(t *testing.T, l *listing, m *snapshot.Manifest) *expected {
	for _, s := range l.Snapshots {
		if s.ID == m.ID.String() {
			return s
		}
	}
	t.Fatalf("snapshot %s is not in the list", m.ID)
	return nil
}

func requireManifest(t *testing.T, want *expected, m *snapshot.Manifest) {
	parent := ""
	if !m.Parent.IsZero() {
		parent = m.Parent.String()
	}
	got := &expected{ID: m.ID.String(), Time: m.Time.UnixNano(), Host: m.Host, User: m.User, Class: m.Class, Program: m.Program, Tags: m.Tags,
		Paths: m.Paths, Complete: m.Complete, Parent: parent, Entries: want.Entries, Same: want.Same}
	for _, d := range m.Deltas {
		got.Deltas = append(got.Deltas, delta{d.Path, d.Parent.String(), d.Kind, d.Map.String(), d.Deltas, d.FullRead.UnixNano()})
	}
	if len(got.Tags) == 0 && len(want.Tags) == 0 {
		got.Tags = want.Tags
	}
	require.Equal(t, want, got)
	require.Equal(t, m.Time, m.Point)
}

func quote(s string) string {
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}

// walk reads a snapshot, in the form of the list.
func walk(t *testing.T, r *repo.Repository, m *snapshot.Manifest, all *[]*entry) error {
	return tree.Walk(t.Context(), r, m.Root, func(path string, n *tree.Node, err error) error {
		if err != nil {
			return err
		}
		e := &entry{
			Path: quote("/" + path), Type: uint8(n.Type), Incomplete: n.Flags&tree.Incomplete != 0, Racy: n.Flags&tree.Racy != 0, Mode: n.Mode,
			UID: n.UID, GID: n.GID, User: n.User, Group: n.Group, MTime: n.ModTime, CTime: n.ChangeTime, ATime: n.AccessTime, Device: n.Device,
			Inode: n.Inode, Links: n.Links, Target: quote(n.Target), Rdev: n.Rdev, Size: n.Content.Size,
		}
		attributes, err := tree.LoadXattrs(t.Context(), r, n)
		if err != nil {
			return err
		}
		for _, a := range attributes {
			if e.XAttrs == nil {
				e.XAttrs = map[string][]byte{}
			}
			e.XAttrs[a.Name] = []byte(a.Value)
		}
		*all = append(*all, e)
		if !n.Type.HasContent() {
			return nil
		}
		return e.read(snapshot.NewImage(t.Context(), r, n))
	})
}

// read hashes an image, with zeros for what was not read, and notes that.
func (e *entry) read(image *snapshot.Image) error {
	h := blake3.New()
	buf := make([]byte, 100_000)
	for off := int64(0); off < image.Size(); {
		n, err := image.ReadAt(buf[:min(int64(len(buf)), image.Size()-off)], off)
		h.Write(buf[:n])
		off += int64(n)
		var unread *snapshot.UnreadError
		switch {
		case errors.As(err, &unread):
			e.Unread = append(e.Unread, [2]int64{unread.Offset, unread.Length})
			left := unread.Offset + unread.Length - off
			h.Write(make([]byte, left))
			off += left
		case err != nil && err != io.EOF:
			return err
		}
	}
	e.Hash = hex.EncodeToString(h.Sum(nil))
	return nil
}

func TestFrozenRefuses(t *testing.T) {
	store, err := local.Open(testdata+"frozen-v1", &local.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	removed := wanted(t).Removed
	for _, c := range []crypto.Credential{crypto.Passphrase("melted"), removed.parse(t)} {
		_, err := repo.Open(t.Context(), store, &repo.Options{Credential: c})
		require.ErrorIs(t, err, repo.ErrWrongCredential)
	}
}
