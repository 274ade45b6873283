package ledger

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

var update = flag.Bool("update", false, "make new golden files; only when the format changes")

const goldenFile = "testdata/chain.json"

// vectors are a frozen ledger: its bytes must be read alike for as long as version 1 is read.
type vectors struct {
	entries, progress [][]byte
	key               crypto.Key
	want              json.RawMessage
}

type vectorFile struct {
	MapKey   string
	Entries  []string
	Progress []string // of session 03aa...
	State    json.RawMessage
}

// MapKey makes vectors an Opener.
func (v *vectors) MapKey(epoch uint32) (*crypto.Key, error) {
	if epoch != 1 {
		return nil, fmt.Errorf("epoch %d", epoch)
	}
	return &v.key, nil
}

func golden(t testing.TB) *vectors {
	b, err := os.ReadFile(filepath.FromSlash(goldenFile))
	require.NoError(t, err)
	var f vectorFile
	require.NoError(t, json.Unmarshal(b, &f))
	v := &vectors{want: f.State}
	key, err := hex.DecodeString(f.MapKey)
	require.NoError(t, err)
	v.key = crypto.Key(key)
	for _, e := range f.Entries {
		raw, err := hex.DecodeString(e)
		require.NoError(t, err)
		v.entries = append(v.entries, raw)
	}
	for _, e := range f.Progress {
		raw, err := hex.DecodeString(e)
		require.NoError(t, err)
		v.progress = append(v.progress, raw)
	}
	return v
}

// told is a state as the golden file tells it.
type told struct {
	Next       uint64
	Last       string
	Repository string
	Suite      string
	Features   FeatureSets
	Actors     []string
	Sessions   []string
	IndexFiles []string
	Condemned  []string
	Sweeps     []string
	Snapshots  []string
	Void       []string
	Progress   []string
}

func tell(t testing.TB, s *State, progress [][]byte) told {
	n, last := s.Head()
	g := s.Genesis()
	out := told{Next: n, Last: last.String(), Repository: hex.EncodeToString(g.Repository[:]), Suite: g.Suite.String(), Features: s.Features()}
	for _, a := range s.Actors() {
		out.Actors = append(out.Actors, fmt.Sprintf("%s %v slot %s %q admitted %d removed %d", a.ID, a.Role, a.Slot, a.Label, a.AdmittedAt, a.RemovedAt))
	}
	for i := range byte(10) {
		if o, ok := s.Session(sid(i)); ok {
			out.Sessions = append(out.Sessions, fmt.Sprintf("%s by %s open %d time %d for %v adopts %v %v %d %q %q %s %q", o.ID, o.Actor, o.OpenedAt, o.Time, o.Purpose,
				o.Adopts, o.End, o.EndedAt, o.Kind, o.Host, o.Source, o.Program))
		}
	}
	for _, f := range s.IndexFiles() {
		out.IndexFiles = append(out.IndexFiles, fmt.Sprintf("%s/%s %d", f.Session, f.Hash, f.Size))
	}
	for _, p := range s.Condemned() {
		for _, f := range p.Retired {
			out.Condemned = append(out.Condemned, fmt.Sprintf("%d by %s marked %d: %s/%s %d", p.N, p.Session, p.Marked, f.Session, f.Hash, f.Size))
		}
	}
	for _, k := range s.Sweeps() {
		out.Sweeps = append(out.Sweeps, fmt.Sprintf("%d by %s: %s %d", k.N, k.Session, k.List, k.Packs))
	}
	for i := range byte(10) {
		if v, ok := s.Snapshot(snap(i)); ok {
			out.Snapshots = append(out.Snapshots, fmt.Sprintf("%s commit %d session %s time %d facts %q tags %d %q since %d forgotten %d protected %d", v.ID, v.CommittedAt,
				v.Session, v.Time, v.Facts, v.TagsAt, v.Tags, v.LiveSince, v.ForgottenAt, v.ProtectedAt))
		}
	}
	for _, v := range s.Void() {
		out.Void = append(out.Void, fmt.Sprintf("%d %v: %s", v.N, v.Type, v.Why))
	}
	p, err := NewProgressLog(s, sid(3))
	require.NoError(t, err)
	for _, b := range progress {
		require.NoError(t, p.Apply(b))
	}
	for _, f := range p.Files() {
		out.Progress = append(out.Progress, fmt.Sprintf("%s/%s %d", f.Session, f.Hash, f.Size))
	}
	return out
}

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	v := golden(t)
	require.Len(t, v.entries, 34)
	s, err := replay(v.entries, v)
	require.NoError(t, err)
	require.Empty(t, s.Flaws())
	got, err := json.Marshal(tell(t, s, v.progress))
	require.NoError(t, err)
	require.JSONEq(t, string(v.want), string(got))

	// The bytes of a state are frozen with those of the entries.
	state, body := s.Encode(), s.NextCheckpoint()
	require.Equal(t, "30d891a19b2dd7a7a835f030b6adaea4b8ce3f842f38e058d2b69d195583139a", body.State.String())
	ring, _, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	n, last := s.Head()
	entry, err := New(ring, body, n, last, 0)
	require.NoError(t, err)
	_, err = Restore(v.entries[0], entry, state, v)
	require.ErrorIs(t, err, ErrActor, "all but the signature is right")
}

// writeCollection appends a collection that waits for a writer, and one that is not over.
func writeCollection(c *chain, w, collector *crypto.Keyring) {
	c.ok(collector, &Unforget{Snapshots: []crypto.ID{snap(1)}, Reason: "a mistake"})
	c.ok(w, &Open{Session: sid(7)})
	c.ok(collector, &Open{Session: sid(8), Purpose: Collecting})
	n, _ := c.state.Head()
	c.ok(collector, &Condemn{Session: sid(8), Marked: n, Retired: files(file(1, 1), file(3, 1)), Added: files(file(8, 1))})
	require.NotEmpty(c.t, c.put(collector, &Delete{Session: sid(8), Condemned: n, Marked: n + 1}))
	c.ok(w, &Hold{Session: sid(7), Snapshots: []crypto.ID{snap(1)}})
	c.ok(w, &Commit{Session: sid(7), Snapshot: snap(3), IndexFiles: files(file(7, 1)), Facts: []byte("facts of three")})
	require.NotEmpty(c.t, c.put(collector, &Delete{Session: sid(8), Condemned: n, Marked: n + 3}))
	c.ok(collector, &Delete{Session: sid(8), Condemned: n, Marked: n + 5, Added: files(file(8, 2))})
	n, _ = c.state.Head()
	c.ok(collector, &Condemn{Session: sid(8), Marked: n, Retired: files(file(8, 1), file(7, 1))})
	c.ok(c.admin, &Protect{Snapshots: []crypto.ID{snap(3), snap(2)}, Reason: "evidence"})
	c.ok(c.admin, &Unprotect{Snapshots: []crypto.ID{snap(3)}, Reason: "settled"})
	require.NotEmpty(c.t, c.put(collector, &Forget{Snapshots: []crypto.ID{snap(2)}}))
	n, _ = c.state.Head()
	c.ok(collector, &Sweep{Session: sid(8), List: crypto.ID{1}, Packs: 2})
	c.ok(collector, &Sweep{Session: sid(8), List: crypto.ID{2}, Packs: 3, Ended: []uint64{n}})
	c.ok(collector, &Open{Session: sid(9), Purpose: Repairing, Kind: "repair"})
	require.NotEmpty(c.t, c.put(collector, &Sweep{Session: sid(8), List: crypto.ID{3}, Packs: 4}))
}

func writeGolden(t *testing.T) {
	c := newChain(t)
	w, collector := c.join(crypto.Writer, 1), c.join(crypto.Collector, 2)
	c.ok(w, &Open{Session: sid(1), Kind: "backup", Host: "db1", Source: crypto.ID{1}, Program: "holdfast 0.1"})
	c.ok(w, &Commit{Session: sid(1), Snapshot: snap(1), IndexFiles: files(file(1, 1), file(1, 2)), Facts: []byte("facts of one")})
	c.ok(w, &Open{Session: sid(2)})
	c.ok(w, &Open{Session: sid(3), Adopts: []SessionID{sid(2)}, Source: crypto.ID{1}})
	c.ok(w, &Open{Session: sid(4), Adopts: []SessionID{sid(3)}, Source: crypto.ID{1}})
	c.ok(w, &Commit{Session: sid(4), Snapshot: snap(2), IndexFiles: files(file(3, 1), file(4, 1)), Facts: []byte("facts of two")})
	c.ok(c.admin, &Tags{Snapshot: snap(2), Tags: []string{"keep", "monthly"}})
	c.ok(collector, &Open{Session: sid(5), Purpose: Collecting, Kind: "collect"})
	c.ok(collector, &Forget{Snapshots: []crypto.ID{snap(1)}, Reason: "policy"})
	c.ok(collector, &Close{Session: sid(5), Reason: "done"})
	c.ok(w, &Open{Session: sid(6)})
	c.ok(collector, &Revoke{Session: sid(6), Reason: "waited"})
	require.NotEmpty(t, c.put(w, &Commit{Session: sid(6)}))
	c.ok(c.admin, &Features{Add: FeatureSets{Read: []string{"example"}}})
	writeCollection(c, w, collector)

	p, err := NewProgressLog(c.state, sid(3))
	require.NoError(t, err)
	out := vectorFile{}
	for _, list := range [][]IndexFile{files(file(3, 1)), files(file(3, 2), file(3, 3))} {
		b, err := p.Next(w, list, 100)
		require.NoError(t, err)
		require.NoError(t, p.Apply(b))
		out.Progress = append(out.Progress, hex.EncodeToString(b))
	}
	key, err := c.admin.MapKey(1)
	require.NoError(t, err)
	out.MapKey = hex.EncodeToString(key[:])
	progress := [][]byte{}
	for _, e := range out.Progress {
		b, err := hex.DecodeString(e)
		require.NoError(t, err)
		progress = append(progress, b)
	}
	for _, b := range c.raw {
		out.Entries = append(out.Entries, hex.EncodeToString(b))
	}
	out.State, err = json.Marshal(tell(t, c.state, progress))
	require.NoError(t, err)
	b, err := json.MarshalIndent(out, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll("testdata", 0o755))
	require.NoError(t, os.WriteFile(filepath.FromSlash(goldenFile), append(b, '\n'), 0o644))
}
