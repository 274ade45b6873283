package ledger

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// checkpointed is a CHECKPOINT with what it stands for.
type checkpointed struct {
	n            uint64
	entry, state []byte
}

// checkpoints returns the valid CHECKPOINT entries of a chain.
func checkpoints(t testing.TB, raw [][]byte) (list []checkpointed) {
	s, err := NewState(raw[0], nil)
	require.NoError(t, err)
	for i, b := range raw[1:] {
		n := uint64(i + 1)
		var state []byte
		if e, err := Decode(b); err == nil && e.Type == TypeCheckpoint {
			state = s.Encode()
		}
		require.NoError(t, s.Apply(b))
		if s.Checkpoints().N == n {
			list = append(list, checkpointed{n, b, state})
		}
	}
	return list
}

// goOn replays what follows a checkpoint.
func goOn(t testing.TB, raw [][]byte, c checkpointed, o Opener) *State {
	s, err := Restore(raw[0], c.entry, c.state, o)
	require.NoError(t, err)
	for _, b := range raw[c.n+1:] {
		require.NoError(t, s.Apply(b))
	}
	return s
}

// withoutPast leaves out what a state that began at a checkpoint does not know.
func withoutPast(s *State, from uint64) public {
	p := publicOf(s)
	var void []VoidEntry
	for _, v := range p.Void {
		if v.N > from {
			void = append(void, v)
		}
	}
	p.Void = void
	for id, session := range p.All {
		if o, _ := s.Outcome(id); session.End != Live && o.End != Live {
			session.Open = crypto.ID{}
			p.All[id] = session
		}
	}
	for i := range p.Snaps {
		if v := &p.Snaps[i]; s.Gone(v.ID) {
			*v = Snapshot{ID: v.ID, CommittedAt: v.CommittedAt, ForgottenAt: v.ForgottenAt}
		}
	}
	return p
}

// compareRestored compares replays from the first, the middle and the last checkpoint with one from the beginning.
func compareRestored(t *testing.T, c *chain) {
	want := c.state
	all := checkpoints(t, c.raw)
	for i, cp := range all {
		if i != 0 && i != len(all)/2 && i != len(all)-1 {
			continue
		}
		got := goOn(t, c.raw, cp, c.admin)
		require.Equal(t, withoutPast(want, cp.n), withoutPast(got, cp.n))
		require.Equal(t, want.Snapshots(), got.Snapshots(), "with their facts and tags")
		require.Equal(t, want.Recoverable(), got.Recoverable())
		require.Equal(t, want.LiveSessions(), got.LiveSessions())
		require.Equal(t, want.Actors(), got.Actors())
		require.ElementsMatch(t, want.Needed(), got.Needed())
		require.Equal(t, want.Condemned(), got.Condemned())
		for _, o := range want.LiveSessions() {
			require.Equal(t, want.Covers(o.ID), got.Covers(o.ID))
		}
		require.Equal(t, want.Checkpoints(), got.Checkpoints())
		require.Equal(t, want.Encode(), got.Encode())
		require.Equal(t, want.NextCheckpoint(), got.NextCheckpoint())
		require.Equal(t, want.Encode(), goOn(t, c.raw, cp, nil).Encode(), "as an auditor sees it")
	}
	kept, err := Resume(c.raw[0], want.Encode(), c.admin)
	require.NoError(t, err)
	require.Equal(t, withoutPast(want, want.next), withoutPast(kept, want.next))
	require.Equal(t, want.NextCheckpoint(), kept.NextCheckpoint())
}

func TestCheckpoint(t *testing.T) {
	c := newCast(t)
	require.Zero(t, c.state.Checkpoints())
	require.Equal(t, "checkpoints/000000000012", CheckpointKey(12))
	at, err := ParseCheckpointKey(CheckpointKey(12))
	require.NoError(t, err)
	require.EqualValues(t, 12, at)
	for _, bad := range []string{"", "checkpoints/", "checkpoints/12", EntryKey(12), "checkpoints/0000000000012"} {
		_, err := ParseCheckpointKey(bad)
		require.Error(t, err, bad)
	}
	for range 2 { // a session may hold again what it holds
		c.ok(c.collector, &Hold{Session: sid(5), Snapshots: []crypto.ID{snap(1)}})
	}
	body := c.state.NextCheckpoint()
	before := publicOf(c.state)
	n, _ := c.state.Head()

	void := new(VoidError)
	require.ErrorAs(t, c.state.Check(c.writer.Actor().ID(), body), &void)
	require.NotEmpty(t, c.put(c.admin, &Checkpoint{State: snap(1), Size: body.Size}))
	require.NotEmpty(t, c.put(c.admin, body), "it is the state before the last entry")
	require.Zero(t, c.state.Checkpoints())
	require.EqualValues(t, n+1, c.state.SinceCheckpoint())
	c.ok(c.collector, c.state.NextCheckpoint())
	require.Equal(t, Checkpoints{N: n + 2}, c.state.Checkpoints())
	require.Zero(t, c.state.SinceCheckpoint())

	after := publicOf(c.state)
	after.Next, after.Last, after.Void = before.Next, before.Last, before.Void
	require.Equal(t, before, after, "it changes nothing")
	compareRestored(t, c.chain)
}

// What a collector cannot make up, it cannot make up in a checkpoint either.
func TestForgedCheckpoint(t *testing.T) {
	c := newCast(t)
	sign := func(ring *crypto.Keyring, s *State) (entry, state []byte) {
		n, last := s.Head()
		entry, err := New(ring, s.NextCheckpoint(), n, last, 1)
		require.NoError(t, err)
		return entry, s.Encode()
	}
	entry, state := sign(c.collector, c.state)
	_, err := Restore(c.raw[0], entry, state, nil)
	require.NoError(t, err)
	n, last := c.state.Head()
	misplaced, err := New(c.collector, c.state.NextCheckpoint(), n+3, last, 1)
	require.NoError(t, err)
	_, err = Restore(c.raw[0], misplaced, state, nil)
	require.ErrorContains(t, err, "it is the state after")

	stranger, err := c.admin.Restrict(crypto.Admin)
	require.NoError(t, err)
	cases := map[string]func(*State) *crypto.Keyring{
		"signed by a writer":   func(*State) *crypto.Keyring { return c.writer },
		"signed by a stranger": func(*State) *crypto.Keyring { return stranger },
		"another repository":   func(s *State) *crypto.Keyring { s.first[0] ^= 1; return c.collector },
		"an admission by a collector": func(s *State) *crypto.Keyring {
			b, err := New(c.collector, &Key{Op: Admit, Role: crypto.Admin, Actor: stranger.Actor()}, 5, snap(1), 1)
			require.NoError(t, err)
			s.keys = append(s.keys, b)
			return c.collector
		},
		"a snapshot by a collector": func(s *State) *crypto.Keyring {
			b, err := New(c.collector, &Commit{Session: sid(2), Snapshot: snap(77), Facts: []byte("f")}, 8, snap(1), 1)
			require.NoError(t, err)
			s.snapshots[0] = &Snapshot{ID: snap(77), commit: b}
			return c.collector
		},
		"changed facts": func(s *State) *crypto.Keyring {
			forged := *s.snapshots[0]
			forged.commit = bytes.Clone(forged.commit)
			forged.commit[len(forged.commit)-70] ^= 1
			s.snapshots[0] = &forged
			return c.collector
		},
		"a snapshot twice": func(s *State) *crypto.Keyring {
			s.snapshots = append(s.snapshots, s.snapshots[0])
			return c.collector
		},
		"adoptions in a circle": func(s *State) *crypto.Keyring {
			for id, session := range s.sessions {
				if session.End == Adopted {
					round := *session
					round.Adopts = []SessionID{session.Adopter}
					s.sessions[id] = &round
				}
			}
			return c.collector
		},
	}
	for name, forge := range cases {
		s := c.state.Clone()
		s.parts = [lists]parts{}
		entry, state := sign(forge(s), s)
		_, err := Restore(c.raw[0], entry, state, nil)
		bad := new(CorruptError)
		require.ErrorAs(t, err, &bad, name)
		t.Log(name, ": ", err)
	}
}

func TestRestoreDamaged(t *testing.T) {
	c := newCast(t)
	c.ok(c.admin, c.state.NextCheckpoint())
	cp := checkpoints(t, c.raw)[0]
	for i := range cp.state {
		b := bytes.Clone(cp.state)
		b[i] ^= 0x10
		_, err := Restore(c.raw[0], cp.entry, b, c.admin)
		require.Error(t, err, "byte %d", i)
	}
	for i := range cp.entry {
		b := bytes.Clone(cp.entry)
		b[i] ^= 0x10
		_, err := Restore(c.raw[0], b, cp.state, c.admin)
		require.Error(t, err, "byte %d", i)
	}
}

// FuzzRestore: no bytes that somebody signed for a state make it panic, hang, or be read in two forms.
func FuzzRestore(f *testing.F) {
	c := newCast(f)
	f.Add(c.state.Encode())
	n, last := c.state.Head()
	f.Fuzz(func(t *testing.T, state []byte) {
		if kept, err := Resume(c.raw[0], state, c.admin); err == nil {
			walk(kept)
		}
		hash, err := HashState(state)
		if err != nil || len(state) == 0 {
			return
		}
		entry, err := New(c.admin, &Checkpoint{State: hash, Size: uint64(len(state))}, n, last, 1)
		require.NoError(t, err)
		s, err := Restore(c.raw[0], entry, state, c.admin)
		if err != nil {
			return
		}
		walk(s)
	})
}

// walk follows all that a state refers to.
func walk(s *State) {
	for id := range s.sessions {
		s.Covers(id)
		s.Outcome(id)
	}
	s.Needed()
	s.Encode()
}

// TestParts changes what lies in many parts of the state, and compares what is remembered of them with what is encoded anew.
func TestParts(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	c := newChain(t)
	id := func(n int) (s SessionID) { binary.BigEndian.PutUint32(s[:], uint32(n+1)); return s }
	snapOf := func(n int) (s crypto.ID) { binary.BigEndian.PutUint32(s[:], uint32(n+1)); return s }
	opened := 0
	any := func(of []Session, want Purpose) (s Session, ok bool) {
		of = slices.DeleteFunc(slices.Clone(of), func(s Session) bool { return s.Purpose != want })
		if len(of) > 0 {
			return of[rng.IntN(len(of))], true
		}
		return s, false
	}
	oldest := func(of []Session) SessionID { // which lies in another part than the newest
		return of[slices.IndexFunc(of, func(s Session) bool { return s.Purpose == Writing })].ID
	}
	next := func() Body {
		live := c.state.LiveSessions()
		writer, writes := any(live, Writing)
		collector, collects := any(live, Collecting)
		snaps := c.state.Snapshots()
		n, _ := c.state.Head()
		switch pick := rng.IntN(12); {
		case pick < 4 || !writes || !collects:
			o := &Open{Session: id(opened), Purpose: Purpose(rng.IntN(2))}
			if opened++; writes && o.Purpose == Writing && rng.IntN(2) == 0 {
				o.Adopts = []SessionID{oldest(live)}
			}
			return o
		case pick < 7:
			covers := c.state.Covers(writer.ID)
			folder := covers[rng.IntN(len(covers))]
			return &Commit{Session: writer.ID, Snapshot: snapOf(int(n)), IndexFiles: []IndexFile{{folder, snapOf(int(n)), 1}, {folder, snapOf(int(n) + 1<<20), 1}}, Facts: []byte("f")}
		case pick == 7:
			return &Close{Session: writer.ID}
		case pick == 8 && len(snaps) > 0:
			snap := snaps[rng.IntN(len(snaps))].ID
			for _, held := range c.state.collection.holds {
				if s, _ := c.state.Snapshot(held[0]); s.ForgottenAt == 0 {
					snap = held[0] // what is held and forgotten is gone when it is held no more
				}
			}
			return []Body{&Forget{Snapshots: []crypto.ID{snap}}, &Hold{Session: collector.ID, Snapshots: []crypto.ID{snap}}, &Tags{Snapshot: snap}}[rng.IntN(3)]
		case pick == 9:
			if f := c.state.IndexFiles(); len(f) > 0 && rng.IntN(3) == 0 {
				return &Condemn{Session: collector.ID, Marked: n, Retired: f[:1]}
			}
			return &Close{Session: collector.ID}
		case pick == 10:
			if p := c.state.Condemned(); len(p) > 0 {
				return &Delete{Session: collector.ID, Condemned: p[0].N, Marked: n}
			}
		}
		if gone := c.state.Recoverable(); len(gone) > 0 {
			return &Unforget{Snapshots: []crypto.ID{gone[0].ID}}
		}
		return &Revoke{Session: writer.ID}
	}
	for i := range 900 {
		c.put(c.admin, next())
		if i%5 == 0 {
			want, err := HashState(c.state.Encode())
			require.NoError(t, err)
			require.Equal(t, want, c.state.NextCheckpoint().State, "after entry %d", i)
		}
	}
	require.Greater(t, len(c.state.opened), 2*sessionsInPart)
	require.Greater(t, len(c.state.index), indexFilesInPart)
	require.Greater(t, len(c.state.snapshots), 4*snapshotsInPart)
	c.ok(c.admin, c.state.NextCheckpoint())
	compareRestored(t, c)
}
