package ledger

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

func TestViews(t *testing.T) {
	c := newCast(t)
	s := c.state
	require.Equal(t, crypto.Hash(c.raw[0]), s.GenesisHash())
	g := s.Genesis()
	require.Equal(t, c.admin.Domain(), g.Domain)
	n, last := s.Head()
	require.EqualValues(t, len(c.raw), n)
	require.Equal(t, crypto.Hash(c.raw[n-1]), last)

	actors := s.Actors()
	require.Len(t, actors, 6)
	require.Equal(t, c.admin.Actor(), actors[0].Actor)
	require.Equal(t, crypto.Admin, actors[0].Role)
	require.Equal(t, "writer", actors[1].Label)
	require.EqualValues(t, 1, actors[1].AdmittedAt)
	require.Equal(t, n-1, actors[5].RemovedAt)
	a, ok := s.Actor(c.reader.Actor().ID())
	require.True(t, ok)
	require.Equal(t, Actor{Actor: c.reader.Actor(), ID: c.reader.Actor().ID(), Role: crypto.Reader, Slot: SlotID{3}, Label: "reader", AdmittedAt: 3, place: 3}, a)
	_, ok = s.Actor(crypto.ActorID{})
	require.False(t, ok)

	var live []SessionID
	for _, o := range s.LiveSessions() {
		live = append(live, o.ID)
	}
	require.Equal(t, []SessionID{sid(1), sid(3), sid(5), sid(9)}, live)
	o, ok := s.Session(sid(1))
	require.True(t, ok)
	require.NotEmpty(t, o.entry)
	o.entry = nil
	require.Equal(t, Session{
		ID: sid(1), Actor: c.writer.Actor().ID(), OpenedAt: 6, Open: crypto.Hash(c.raw[6]), Time: 7,
		Unsealed: true, Kind: "backup", Host: "h", Source: snap(99), Program: "p",
	}, o)
	_, ok = s.Session(sid(99))
	require.False(t, ok)
	require.Equal(t, []SessionID{sid(9), sid(8), sid(7)}, s.Covers(sid(9)))
	require.Equal(t, []SessionID{sid(1)}, s.Covers(sid(1)))
	require.Nil(t, s.Covers(sid(99)))

	adoptable := s.Adoptable(c.writer.Actor().ID(), snap(99))
	require.Len(t, adoptable, 1)
	require.Equal(t, sid(1), adoptable[0].ID)
	require.Empty(t, s.Adoptable(c.writer.Actor().ID(), snap(98)))
	require.Empty(t, s.Adoptable(c.writer.Actor().ID(), crypto.ID{}))
	require.Empty(t, c.replay(nil).Adoptable(c.writer.Actor().ID(), snap(99)))

	require.Equal(t, files(file(2, 1)), s.IndexFiles())
	require.Equal(t, FeatureSets{Write: []string{"b"}}, s.Features())
	require.Len(t, s.Snapshots(), 1)
	first := s.Snapshots()[0]
	require.NotEmpty(t, first.commit)
	first.commit = nil
	require.Equal(t, Snapshot{
		ID: snap(1), CommittedAt: 8, LiveSince: 8, Session: sid(2), Actor: c.writer.Actor().ID(), Time: 9, Facts: []byte("f1"),
	}, first)
	forgotten, ok := s.Snapshot(snap(2))
	require.True(t, ok)
	require.EqualValues(t, 12, forgotten.ForgottenAt)
	require.Equal(t, []byte("f2"), forgotten.Facts, "it may be taken back")
	_, ok = s.Snapshot(snap(99))
	require.False(t, ok)
	require.Empty(t, s.Void())
	require.Empty(t, s.Flaws())
}

// What a session was given at its OPEN must not move under it.
func TestViewsStay(t *testing.T) {
	c := newCast(t)
	index, snaps, features, clone := c.state.IndexFiles(), c.state.Snapshots(), c.state.Features(), c.state.Clone()
	before := publicOf(clone)
	tags := []string{"new"}
	c.ok(c.admin, &Tags{Snapshot: snap(1), Tags: tags})
	c.ok(c.writer, &Commit{Session: sid(1), Snapshot: snap(30), IndexFiles: files(file(1, 1)), Facts: []byte("f3")})
	c.ok(c.admin, &Features{Add: FeatureSets{Read: []string{"r"}, Write: []string{"a", "b"}, Collect: []string{"x"}}})
	c.ok(c.admin, &Features{Add: FeatureSets{Write: []string{"c"}}})
	require.Equal(t, FeatureSets{Read: []string{"r"}, Write: []string{"a", "b", "c"}, Collect: []string{"x"}}, c.state.Features())
	require.Equal(t, files(file(2, 1), file(1, 1)), c.state.IndexFiles())
	s, _ := c.state.Snapshot(snap(1))
	require.Equal(t, tags, s.Tags)
	require.True(t, s.TagsOpened)
	c.ok(c.admin, &Forget{Snapshots: []crypto.ID{snap(1)}})

	require.Equal(t, files(file(2, 1)), index)
	require.Len(t, snaps, 1)
	require.Equal(t, []byte("f1"), snaps[0].Facts)
	require.Zero(t, snaps[0].TagsAt)
	require.Equal(t, FeatureSets{Write: []string{"b"}}, features)
	require.Equal(t, before, publicOf(clone))

	// Two continuations of one state do not share what they append.
	d, e := &chain{t: t, state: clone}, &chain{t: t, state: clone.Clone()}
	d.ok(c.writer, &Commit{Session: sid(1), IndexFiles: files(file(1, 7))})
	e.ok(c.other, &Commit{Session: sid(3), IndexFiles: files(file(3, 8))})
	require.Equal(t, files(file(2, 1), file(1, 7)), d.state.IndexFiles())
	require.Equal(t, files(file(2, 1), file(3, 8)), e.state.IndexFiles())
}

func TestGenesisStandsForItself(t *testing.T) {
	ring, pub, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	other, err := ring.Restrict(crypto.Admin)
	require.NoError(t, err)
	good := newGenesis(ring, pub)
	clear := good.appendClear(nil)
	make := func(ring *crypto.Keyring, body Body, n uint64, previous crypto.ID) []byte {
		b, err := New(ring, body, n, previous, 0)
		require.NoError(t, err)
		return b
	}
	cases := map[string][]byte{
		"another type":   make(ring, &Open{Session: sid(1)}, 0, crypto.ID{}),
		"previous":       make(ring, good, 0, snap(1)),
		"another signer": make(other, good, 0, crypto.ID{}),
		"entry's suite":  forged{typ: TypeGenesis, suite: crypto.XChaCha20Poly1305, clear: clear}.sign(ring),
		"sealed part":    forged{typ: TypeGenesis, epoch: 1, clear: clear}.sign(ring),
		"body":           forged{typ: TypeGenesis, clear: clear[1:]}.sign(ring),
		"signature":      forged{typ: TypeGenesis, clear: clear, signature: []byte("no")}.sign(ring),
		"reserved type":  forged{typ: Type(60), clear: clear}.sign(ring),
	}
	for name, b := range cases {
		_, err := NewState(b, nil)
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, name)
		require.ErrorIs(t, err, ErrGenesis, name)
		require.Zero(t, corrupt.N)
	}
	_, err = NewState(make(ring, good, 1, crypto.ID{}), nil)
	require.ErrorIs(t, err, ErrNumber)
	_, err = NewState(nil, nil)
	require.ErrorIs(t, err, wire.ErrFormat)
	b := forged{typ: TypeGenesis, clear: clear}.sign(ring)
	_, err = NewState(b, nil)
	require.NoError(t, err)
	b[6] = 9
	_, err = NewState(b, nil)
	require.ErrorIs(t, err, wire.ErrVersion)
}

func TestCorruption(t *testing.T) {
	c := newCast(t)
	n, last := c.state.Head()
	stranger, err := c.admin.Restrict(crypto.Admin)
	require.NoError(t, err)
	session := sid(1)
	good := forged{typ: TypeClose, epoch: 1, n: n, previous: last, clear: session[:], plain: []byte{0}}
	stolen := func() []byte { // the writer's entry, signed by another actor
		b := good.sign(c.writer)
		e, err := Decode(b)
		require.NoError(t, err)
		sig := c.admin.Sign(signatureContext, e.raw[:len(b)-signatureSize])
		return append(b[:len(b)-signatureSize], sig[:]...)
	}
	otherContext := func() []byte {
		b := good.sign(c.writer)
		sig := c.writer.Sign("holdfast v1 snapshot", b[:len(b)-signatureSize])
		return append(b[:len(b)-signatureSize], sig[:]...)
	}
	with := func(f func(*forged)) []byte {
		bad := good
		f(&bad)
		return bad.sign(c.writer)
	}
	cases := map[string]struct {
		b    []byte
		want error
	}{
		"number below":      {with(func(f *forged) { f.n-- }), ErrNumber},
		"number above":      {with(func(f *forged) { f.n++ }), ErrNumber},
		"previous":          {with(func(f *forged) { f.previous = snap(1) }), ErrPrevious},
		"stranger":          {good.sign(stranger), ErrActor},
		"signature":         {with(func(f *forged) { f.signature = []byte("no") }), crypto.ErrAuth},
		"another's":         {stolen(), crypto.ErrAuth},
		"another context":   {otherContext(), crypto.ErrAuth},
		"form":              {good.sign(c.writer)[:90], wire.ErrFormat},
		"genesis once more": {c.raw[0], ErrNumber},
	}
	before := publicOf(c.state)
	for name, k := range cases {
		err := c.state.Apply(k.b)
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt, name)
		require.ErrorIs(t, err, k.want, name)
		require.Equal(t, n, corrupt.N)
		require.Equal(t, before, publicOf(c.state), name)
	}
	require.ErrorIs(t, c.state.Check(stranger.Actor().ID(), &Features{}), ErrActor)
	require.ErrorIs(t, c.state.Check(c.admin.Actor().ID(), &Open{}), ErrInvalid)

	// ApplyTrusted gives up the signature and nothing else.
	for name, k := range cases {
		s := c.state.Clone()
		require.Equal(t, k.want == crypto.ErrAuth, s.ApplyTrusted(k.b) == nil, name)
	}
	require.NoError(t, c.state.Apply(good.sign(c.writer)))
}

func TestTrustedReplayIsTheSame(t *testing.T) {
	c := newCast(t)
	require.NotEmpty(t, c.put(c.reader, &Features{}))
	s, err := NewState(c.raw[0], c.admin)
	require.NoError(t, err)
	for _, b := range c.raw[1:] {
		require.NoError(t, s.ApplyTrusted(b))
	}
	require.Equal(t, c.state, s)
}

// short is a chain with every kind of entry, void ones too.
func short(t testing.TB) *chain {
	c := newChain(t)
	w := c.join(crypto.Writer, 1)
	c.ok(w, &Open{Session: sid(1)})
	c.ok(w, &Open{Session: sid(2), Adopts: []SessionID{sid(1)}})
	c.ok(w, &Commit{Session: sid(2), Snapshot: snap(1), IndexFiles: files(file(2, 1)), Facts: []byte("facts")})
	require.NotEmpty(t, c.put(w, &Forget{Snapshots: []crypto.ID{snap(1)}}))
	c.ok(w, &Tags{Snapshot: snap(1), Tags: []string{"a"}})
	c.ok(c.admin, &Forget{Snapshots: []crypto.ID{snap(1)}})
	c.ok(c.admin, &Unforget{Snapshots: []crypto.ID{snap(1)}})
	c.ok(c.admin, &Open{Session: sid(3), Purpose: Collecting})
	c.ok(c.admin, &Hold{Session: sid(3), Snapshots: []crypto.ID{snap(1)}})
	c.ok(c.admin, &Condemn{Session: sid(3), Marked: 9, Retired: files(file(2, 1)), Added: files(file(3, 1))})
	c.ok(c.admin, &Delete{Session: sid(3), Condemned: 11, Marked: 12, Added: files(file(3, 2))})
	c.ok(c.admin, &Close{Session: sid(3)})
	c.ok(w, &Open{Session: sid(4)})
	c.ok(c.admin, &Revoke{Session: sid(4)})
	c.ok(c.admin, &Features{Add: FeatureSets{Read: []string{"r"}}})
	c.ok(c.admin, &Key{Op: Remove, Role: crypto.Writer, Actor: w.Actor(), Slot: SlotID{1}})
	require.NotEmpty(t, c.put(w, &Open{Session: sid(5)}))
	return c
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	c := short(t)
	for n, b := range c.raw {
		var before *State
		if n > 0 {
			var err error
			before, err = replay(c.raw[:n], c.admin)
			require.NoError(t, err)
		}
		for i := range b {
			if n == 0 && i > 200 && i%16 != 0 && i < len(b)-100 {
				continue // public keys
			}
			bad := bytes.Clone(b)
			bad[i] ^= 1 << (i % 8)
			if n == 0 {
				_, err := NewState(bad, nil)
				require.Error(t, err, "byte %d of entry 0", i)
				continue
			}
			require.Error(t, before.Apply(bad), "byte %d of entry %d", i, n)
		}
		for _, cut := range []int{0, 1, 7, 64, len(b) - 1} {
			if n > 0 {
				require.Error(t, before.Apply(b[:cut]))
			}
		}
	}
}

func TestEveryOtherOrderIsFound(t *testing.T) {
	c := short(t)
	try := func(list ...[]byte) error {
		_, err := replay(list, nil)
		return err
	}
	require.NoError(t, try(c.raw...))
	for i := range c.raw {
		missing := append(append([][]byte{}, c.raw[:i]...), c.raw[i+1:]...)
		if i < len(c.raw)-1 { // a chain without its last entries is a valid one: only a remembered head tells
			require.Error(t, try(missing...), "missing %d", i)
		} else {
			require.NoError(t, try(missing...))
		}
		twice := append(append(append([][]byte{}, c.raw[:i+1]...), c.raw[i]), c.raw[i+1:]...)
		require.Error(t, try(twice...), "twice %d", i)
		for j := range i {
			swapped := append([][]byte{}, c.raw...)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			require.Error(t, try(swapped...), "%d for %d", i, j)
			replayed := append([][]byte{}, c.raw...)
			replayed[i] = c.raw[j]
			require.Error(t, try(replayed...), "%d in place of %d", j, i)
			require.Error(t, try(append(append([][]byte{}, c.raw...), c.raw[j])...), "%d at the end", j)
		}
	}
	other := short(t)
	require.Error(t, try(append(append([][]byte{}, c.raw[:5]...), other.raw[5:]...)...))
}

// TestOutcome follows adoptions to the session that took over all.
func TestOutcome(t *testing.T) {
	c := newChain(t)
	w := c.join(crypto.Writer, 1)
	c.ok(w, &Open{Session: sid(1)})
	c.ok(w, &Open{Session: sid(2), Adopts: []SessionID{sid(1)}})
	c.ok(w, &Open{Session: sid(3), Adopts: []SessionID{sid(2)}})
	c.ok(w, &Open{Session: sid(4)})
	kept := c.state.Clone()
	c.ok(w, &Commit{Session: sid(3)})
	for i := range byte(3) {
		s, ok := c.state.Outcome(sid(i + 1))
		require.True(t, ok)
		require.Equal(t, sid(3), s.ID)
		require.Equal(t, Committed, s.End)
		s, _ = kept.Outcome(sid(i + 1))
		require.Equal(t, Live, s.End)
	}
	s, ok := c.state.Outcome(sid(4))
	require.True(t, ok)
	require.Equal(t, Live, s.End)
	_, ok = c.state.Outcome(sid(5))
	require.False(t, ok)
}

// TestCheckSignature tells entries that an admitted actor signed from all others.
func TestCheckSignature(t *testing.T) {
	c := newChain(t)
	w := c.join(crypto.Writer, 1)
	c.ok(w, &Open{Session: sid(1), Kind: "backup"})
	s, err := replay(c.raw[:2], c.admin)
	require.NoError(t, err)
	require.True(t, s.CheckSignature(c.raw[2]))
	for i := range c.raw[2] {
		b := bytes.Clone(c.raw[2])
		b[i] ^= 1
		require.False(t, s.CheckSignature(b), i)
	}
	start, err := replay(c.raw[:1], c.admin)
	require.NoError(t, err)
	require.False(t, start.CheckSignature(c.raw[2]), "its actor was not admitted yet")
	require.False(t, start.CheckSignature(nil))
}
