package specreader

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
)

const frozen = "testdata/frozen-v1"

// listing is testdata/frozen-v1.json: what must be read from the repository.
type listing struct {
	Credentials []credential
	Removed     credential
	Snapshots   []expected
}

type credential struct{ Kind, Role, Secret string }

type expected struct {
	ID, Host, User, Class, Program, Parent string
	Time                                   int64
	Tags, Paths                            []string
	Complete                               bool
	Deltas                                 []deltaWanted
	Entries                                []entryWanted
	Same                                   string // the id of a snapshot with the same entries
}

type deltaWanted struct {
	Path     string `json:"delta_path"`
	Parent   string
	Kind     string
	Map      string `json:"change_map"`
	Deltas   uint64
	FullRead int64 `json:"full_read"`
}

type entryWanted struct {
	Path, User, Group, Target, Blake3 string
	Type                              uint8
	Incomplete, Racy                  bool
	Mode, UID, GID, Links             uint32
	MTime, CTime, ATime               int64
	Device, Inode, Rdev, Size         uint64
	XAttrs                            map[string][]byte
	Unread                            [][2]uint64
}

func wanted(t testing.TB) *listing {
	b, err := os.ReadFile(frozen + ".json")
	require.NoError(t, err)
	l := &listing{}
	require.NoError(t, json.Unmarshal(b, l))
	require.Len(t, l.Snapshots, 8)
	for i := range l.Snapshots {
		s := &l.Snapshots[i]
		for k := range l.Snapshots {
			if l.Snapshots[k].ID == s.Same {
				s.Entries = l.Snapshots[k].Entries
			}
		}
		for k := range s.Entries {
			if len(s.Entries[k].XAttrs) == 0 {
				s.Entries[k].XAttrs = nil
			}
		}
		require.NotEmpty(t, s.Entries)
	}
	return l
}

func (c credential) parse(t testing.TB) Credential {
	parse := map[string]func(string) (Credential, error){
		"password": func(s string) (Credential, error) { return Password(s), nil },
		"keyfile":  KeyFile, "identity": Identity, "recovery": Recovery,
	}[c.Kind]
	out, err := parse(c.Secret)
	require.NoError(t, err)
	return out
}

func quoted(s string) string {
	q := strconv.QuoteToASCII(s)
	return q[1 : len(q)-1]
}

// describe says what was read, in the form of the list.
func describe(r *Repository, path string, n *Node) (entryWanted, error) {
	e := entryWanted{
		Path: quoted(path), Type: n.Type, Incomplete: n.Incomplete, Racy: n.Racy, Mode: n.Mode, UID: n.UID, GID: n.GID, User: n.User,
		Group: n.Group, MTime: n.MTime, CTime: n.CTime, ATime: n.ATime, Device: n.Device, Inode: n.Inode, Links: n.Links,
		Target: quoted(n.Target), Rdev: n.Rdev, Size: n.Size,
	}
	for _, a := range n.XAttrs {
		if e.XAttrs == nil {
			e.XAttrs = map[string][]byte{}
		}
		e.XAttrs[a.Name] = []byte(a.Value)
	}
	if n.Type != TypeFile && n.Type != TypeImage {
		return e, nil
	}
	h := blake3.New()
	unread := r.WriteContent(h, n)
	if unread != nil && !errors.Is(unread, ErrUnread) {
		return e, unread
	}
	e.Blake3 = hex.EncodeToString(h.Sum(nil))
	err := r.Spans(n, func(offset uint64, s Span) error {
		if s.Kind == SpanUnread {
			e.Unread = append(e.Unread, [2]uint64{offset, s.Length})
		}
		return nil
	})
	if (unread != nil) != (e.Unread != nil) {
		return e, fmt.Errorf("unread ranges %v, but %w", e.Unread, unread)
	}
	return e, err
}

func readAll(r *Repository, s *Snapshot) (all []entryWanted, err error) {
	err = r.Walk(s, func(path string, n *Node) error {
		e, err := describe(r, path, n)
		all = append(all, e)
		return err
	})
	return all, err
}

func requireSnapshot(t testing.TB, want *expected, s *Snapshot) {
	parent := ""
	if s.Manifest.Parent != (ID{}) {
		parent = s.Manifest.Parent.String()
	}
	m := &s.Manifest
	got := expected{ID: s.ID.String(), Host: m.Host, User: m.User, Class: m.Class, Program: m.Program, Parent: parent, Time: m.Time,
		Tags: s.Tags, Paths: m.Paths, Complete: m.Complete, Entries: want.Entries, Same: want.Same}
	for _, d := range m.Deltas {
		got.Deltas = append(got.Deltas, deltaWanted{d.Path, d.Parent.String(), d.Kind, d.Map.String(), d.Deltas, d.FullRead})
	}
	if len(want.Tags) == 0 && len(got.Tags) == 0 {
		got.Tags = want.Tags
	}
	require.Equal(t, want, &got)
	require.Equal(t, m.Time, m.Point)
}

func TestFrozen(t *testing.T) {
	l := wanted(t)
	for _, c := range l.Credentials {
		t.Run(c.Kind+" "+c.Role, func(t *testing.T) {
			r, err := Open(frozen, c.parse(t))
			require.NoError(t, err)
			require.Empty(t, r.ledger.void)
			require.Empty(t, r.ledger.unknown)
			snapshots, err := r.Snapshots()
			require.NoError(t, err)
			require.Len(t, snapshots, len(l.Snapshots))
			for i, s := range snapshots {
				requireSnapshot(t, &l.Snapshots[i], s)
				if c.Role == "writer" || c.Role == "collector" {
					require.ErrorIs(t, r.Walk(s, func(string, *Node) error { return nil }), ErrNotAllowed)
					continue
				}
				got, err := readAll(r, s)
				require.NoError(t, err)
				require.Equal(t, l.Snapshots[i].Entries, got)
			}
		})
	}
}

func TestFrozenRefuses(t *testing.T) {
	l := wanted(t)
	_, err := Open(frozen, Password("melted"))
	require.ErrorIs(t, err, ErrWrongCredential)
	_, err = Open(frozen, l.Removed.parse(t))
	require.ErrorIs(t, err, ErrWrongCredential)
	_, err = Open(t.TempDir(), Password("frozen"))
	require.ErrorIs(t, err, fs.ErrNotExist)

	auditor, err := Open(frozen, Credential{})
	require.NoError(t, err)
	require.Empty(t, auditor.Void())
	_, err = auditor.Snapshots()
	require.ErrorIs(t, err, ErrNotAllowed)
}

// TestFrozenHasEverything makes sure that the frozen repository tries every form of the format that its writers use.
func TestFrozenHasEverything(t *testing.T) {
	r, err := Open(frozen, Password("frozen"))
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, locations := range r.chunks {
		for id, l := range locations {
			seen[fmt.Sprintf("class %d", l.pack.class)] = true
			seen[fmt.Sprintf("codec %d", l.segment.codec)] = true
			b := r.chunk(l.pack.class, chunkRef{id, l.length})
			if l.pack.class == classMap && b[0] == 1 {
				n := whole(b, readMapNode)
				seen[fmt.Sprintf("map level %d", n.level)] = true
				for _, s := range n.spans {
					seen[fmt.Sprintf("map level %d span %d repeated %t", n.level, s.Kind, s.Count > 1)] = true
				}
			}
			if l.pack.class == classMeta && b[0] == 2 {
				n := whole(b, readDirNode)
				seen[fmt.Sprintf("directory level %d", n.level)] = true
				for _, e := range n.list {
					if e.node != nil {
						seen[fmt.Sprintf("type %d", e.node.Type)] = true
						seen[fmt.Sprintf("attributes %t apart %t", e.node.XAttrs != nil, e.node.xattrChunks != nil)] = true
						for _, s := range e.node.spans {
							seen[fmt.Sprintf("inline span %d repeated %t", s.Kind, s.Count > 1)] = true
						}
					}
				}
			}
		}
	}
	for _, want := range []string{
		"class 1", "class 2", "class 3", "codec 0", "codec 1", "codec 2", "map level 0", "map level 1", "map level 0 span 0 repeated false",
		"map level 0 span 2 repeated false", "map level 1 span 4 repeated true", "directory level 0", "directory level 1",
		"type 1", "type 2", "type 3", "type 4", "type 5", "type 6", "type 7", "attributes true apart false", "attributes false apart true",
		"attributes false apart false", "inline span 0 repeated false", "inline span 0 repeated true", "inline span 1 repeated false",
	} {
		require.Contains(t, seen, want)
	}
	require.NotEmpty(t, r.ledger.snapshots)
	adopted := false
	for id, s := range r.ledger.sessions {
		require.False(t, s.live)
		adopted = adopted || len(s.covers) > 1
		require.NotPanics(t, func() { records(r, id) })
	}
	require.True(t, adopted)
}
