package ledger

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// checkpoints returns the valid CHECKPOINT entries of a chain with what they stand for.
func checkpoints(t testing.TB, raw [][]byte) (list []*Checkpointed) {
	s, err := NewState(raw[0], nil)
	require.NoError(t, err)
	for _, b := range raw[1:] {
		require.NoError(t, s.Apply(b))
		if c := s.Checkpoint(); c != nil && (len(list) == 0 || c.N > list[len(list)-1].N) {
			list = append(list, c)
		}
	}
	return list
}

// goOn replays what follows a checkpoint.
func goOn(t testing.TB, raw [][]byte, c *Checkpointed, o Opener, trusted bool) *State {
	s, err := Restore(raw[0], c.Entry, c.State, o, trusted)
	require.NoError(t, err)
	for _, b := range raw[c.N+1:] {
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
	want, bytesOf := c.state, func(s *State) []byte { b, _ := s.Encode(); return b }
	all := checkpoints(t, c.raw)
	for i, cp := range all {
		if i != 0 && i != len(all)/2 && i != len(all)-1 {
			continue
		}
		got := goOn(t, c.raw, cp, c.admin, i%2 == 0)
		require.Equal(t, withoutPast(want, cp.N), withoutPast(got, cp.N))
		require.Equal(t, want.Snapshots(), got.Snapshots(), "with their facts and tags")
		require.Equal(t, want.Recoverable(), got.Recoverable())
		require.Equal(t, want.LiveSessions(), got.LiveSessions())
		require.Equal(t, want.Actors(), got.Actors())
		require.ElementsMatch(t, want.Needed(), got.Needed())
		require.Equal(t, want.Condemned(), got.Condemned())
		for _, o := range want.LiveSessions() {
			require.Equal(t, want.Covers(o.ID), got.Covers(o.ID))
		}
		require.True(t, bytes.Equal(bytesOf(want), bytesOf(got)))
		require.True(t, bytes.Equal(bytesOf(want), bytesOf(goOn(t, c.raw, cp, nil, false))), "as an auditor sees it")
	}
}

func TestCheckpoint(t *testing.T) {
	c := newCast(t)
	require.Nil(t, c.state.Checkpoint())
	require.Equal(t, "checkpoints/000000000012", CheckpointKey(12))
	for range 2 { // a session may hold again what it holds
		c.ok(c.collector, &Hold{Session: sid(5), Snapshots: []crypto.ID{snap(1)}})
	}
	_, body := c.state.Encode()
	before := publicOf(c.state)
	n, _ := c.state.Head()

	void := new(VoidError)
	require.ErrorAs(t, c.state.Check(c.writer.Actor().ID(), body), &void)
	require.NotEmpty(t, c.put(c.admin, &Checkpoint{State: snap(1), Size: body.Size}))
	require.NotEmpty(t, c.put(c.admin, body), "it is the state before the last entry")
	require.Nil(t, c.state.Checkpoint())
	state, body := c.state.Encode()
	c.ok(c.collector, body)
	cp := c.state.Checkpoint()
	require.Equal(t, &Checkpointed{N: n + 2, Entry: c.raw[n+2], State: state}, cp)

	after := publicOf(c.state)
	after.Next, after.Last, after.Void = before.Next, before.Last, before.Void
	require.Equal(t, before, after, "it changes nothing")
	compareRestored(t, c.chain)
}

// What a collector cannot make up, it cannot make up in a checkpoint either.
func TestForgedCheckpoint(t *testing.T) {
	c := newCast(t)
	sign := func(ring *crypto.Keyring, s *State) (entry, state []byte) {
		state, body := s.Encode()
		n, last := s.Head()
		entry, err := New(ring, body, n, last, 1)
		require.NoError(t, err)
		return entry, state
	}
	entry, state := sign(c.collector, c.state)
	_, err := Restore(c.raw[0], entry, state, nil, false)
	require.NoError(t, err)
	_, body := c.state.Encode()
	n, last := c.state.Head()
	misplaced, err := New(c.collector, body, n+3, last, 1)
	require.NoError(t, err)
	_, err = Restore(c.raw[0], misplaced, state, nil, false)
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
		s.encoding = nil
		entry, state := sign(forge(s), s)
		_, err := Restore(c.raw[0], entry, state, nil, false)
		bad := new(CorruptError)
		require.ErrorAs(t, err, &bad, name)
		t.Log(name, ": ", err)
	}
}

func TestRestoreDamaged(t *testing.T) {
	c := newCast(t)
	_, body := c.state.Encode()
	c.ok(c.admin, body)
	cp := c.state.Checkpoint()
	for i := range cp.State {
		b := bytes.Clone(cp.State)
		b[i] ^= 0x10
		_, err := Restore(c.raw[0], cp.Entry, b, c.admin, true)
		require.Error(t, err, "byte %d", i)
	}
	for i := range cp.Entry {
		b := bytes.Clone(cp.Entry)
		b[i] ^= 0x10
		_, err := Restore(c.raw[0], b, cp.State, c.admin, false)
		require.Error(t, err, "byte %d", i)
	}
}

// FuzzRestore: no bytes that somebody signed for a state make it panic, hang, or be read in two forms.
func FuzzRestore(f *testing.F) {
	c := newCast(f)
	seed, _ := c.state.Encode()
	f.Add(seed)
	n, last := c.state.Head()
	f.Fuzz(func(t *testing.T, state []byte) {
		if len(state) == 0 {
			return
		}
		entry, err := New(c.admin, &Checkpoint{State: crypto.Hash(state), Size: uint64(len(state))}, n, last, 1)
		require.NoError(t, err)
		s, err := Restore(c.raw[0], entry, state, c.admin, true)
		if err != nil {
			return
		}
		for id := range s.sessions {
			s.Covers(id)
			s.Outcome(id)
		}
		s.Needed()
		require.Equal(t, state, s.Checkpoint().State)
	})
}
