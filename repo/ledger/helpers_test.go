package ledger

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

// chain grows a ledger for a test. state holds the admin's keys.
type chain struct {
	t     testing.TB
	admin *crypto.Keyring
	raw   [][]byte
	state *State
	clock int64
}

func newGenesis(ring *crypto.Keyring, pub crypto.PublicKeys) *Genesis {
	return &Genesis{
		Repository: [16]byte{1, 2, 3}, Domain: ring.Domain(), Admin: ring.Actor(), Keys: pub, Suite: ring.Suite(),
		ChunkMean: 64 << 10, SegmentSize: 1 << 20, PackSize: 32 << 20, Primitive: CreateIfAbsent,
		Features: FeatureSets{Write: []string{"b"}},
	}
}

func withParity(g *Genesis, percent uint8) *Genesis {
	g.Parity = percent
	return g
}

func newChain(t testing.TB) *chain {
	admin, pub, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	b, err := New(admin, newGenesis(admin, pub), 0, crypto.ID{}, 1)
	require.NoError(t, err)
	s, err := NewState(b, admin)
	require.NoError(t, err)
	return &chain{t: t, admin: admin, raw: [][]byte{b}, state: s, clock: 1}
}

// put appends an entry without asking whether it is valid, and reports why it is void.
func (c *chain) put(ring *crypto.Keyring, body Body) string {
	c.t.Helper()
	n, last := c.state.Head()
	c.clock++
	b, err := New(ring, body, n, last, c.clock)
	require.NoError(c.t, err)
	return c.apply(b)
}

func (c *chain) apply(b []byte) string {
	c.t.Helper()
	n, _ := c.state.Head()
	require.NoError(c.t, c.state.Apply(b))
	c.raw = append(c.raw, b)
	if v := c.state.Void(); len(v) > 0 && v[len(v)-1].N == n {
		return v[len(v)-1].Why
	}
	return ""
}

// ok appends an entry that must be valid.
func (c *chain) ok(ring *crypto.Keyring, body Body) {
	c.t.Helper()
	require.NoError(c.t, c.state.Check(ring.Actor().ID(), body))
	require.Empty(c.t, c.put(ring, body))
}

// join makes a keyring of a role and admits it.
func (c *chain) join(role crypto.Role, slot byte) *crypto.Keyring {
	c.t.Helper()
	ring, err := c.admin.Restrict(role)
	require.NoError(c.t, err)
	c.ok(c.admin, &Key{Op: Admit, Role: role, Actor: ring.Actor(), Slot: SlotID{slot}, Label: role.String()})
	return ring
}

func (c *chain) replay(o Opener) *State {
	c.t.Helper()
	s, err := replay(c.raw, o)
	require.NoError(c.t, err)
	return s
}

func replay(raw [][]byte, o Opener) (*State, error) {
	s, err := NewState(raw[0], o)
	for i := 1; i < len(raw) && err == nil; i++ {
		err = s.Apply(raw[i])
	}
	return s, err
}

// forged are the parts of an entry that New would not make; sign encodes it by hand.
type forged struct {
	typ       Type
	suite     crypto.Suite
	epoch     uint32
	n         uint64
	previous  crypto.ID
	clear     []byte
	plain     []byte // sealed when epoch is not 0
	box       []byte // instead of plain
	signature []byte // instead of the right one
}

func (f forged) sign(ring *crypto.Keyring) []byte {
	if f.suite == 0 {
		f.suite = crypto.AES256GCM
	}
	b := append([]byte("HFLOGE"), 1, 0, byte(f.typ), byte(f.suite))
	b = binary.LittleEndian.AppendUint32(b, f.epoch)
	b = binary.LittleEndian.AppendUint64(b, f.n)
	b = append(b, f.previous[:]...)
	id := ring.Actor().ID()
	b = append(b, id[:]...)
	b = binary.LittleEndian.AppendUint64(b, 7)
	b = wire.AppendBytes(b, f.clear)
	box := f.box
	if f.epoch != 0 && box == nil {
		key, err := ring.MapKey(1)
		if err != nil {
			panic(err)
		}
		aad := crypto.Hash(b)
		box = crypto.SealBox(nil, f.suite, key, "entry", f.plain, aad[:])
	}
	b = wire.AppendBytes(b, box)
	sig := ring.Sign("holdfast v1 ledger entry", b)
	if f.signature != nil {
		copy(sig[:], f.signature)
	}
	return append(b, sig[:]...)
}

// forge signs a hand-made entry that fits the end of the chain.
func (c *chain) forge(ring *crypto.Keyring, f forged) []byte {
	f.n, f.previous = c.state.Head()
	return f.sign(ring)
}

func sid(n byte) SessionID  { return SessionID{n, 0xaa} }
func snap(n byte) crypto.ID { return crypto.ID{n, 0xbb} }
func file(s, n byte) IndexFile {
	return IndexFile{Session: sid(s), Hash: crypto.ID{n, 0xcc}, Size: uint32(n) + 1}
}
func files(list ...IndexFile) []IndexFile { return list }

// public is a state without what only a keyring can open, for comparing.
type public struct {
	Condemned []Condemned
	Sweeps    []Sweeping
	Marks     [4]uint64
	Next      uint64
	Last      crypto.ID
	Actors    []Actor
	Live      []Session
	All       map[SessionID]Session
	Index     []IndexFile
	Snaps     []Snapshot
	Features  FeatureSets
	Void      []VoidEntry
}

func publicOf(s *State) public {
	p := public{Condemned: s.Condemned(), Sweeps: s.Sweeps(), Marks: [4]uint64{s.collection.indexed, s.collection.collected, s.collection.needed, s.collection.deleted}, Index: s.IndexFiles(), Features: s.Features(), Void: s.Void(), All: map[SessionID]Session{}}
	p.Next, p.Last = s.Head()
	for _, a := range s.Actors() {
		a.Label = ""
		p.Actors = append(p.Actors, a)
	}
	for _, o := range s.LiveSessions() {
		p.Live = append(p.Live, clearSession(o))
	}
	for id := range s.sessions {
		o, _ := s.Session(id)
		p.All[id] = clearSession(o)
	}
	for id := range s.places {
		v, _ := s.Snapshot(id)
		v.Facts, v.Tags, v.TagsOpened = nil, nil, false
		p.Snaps = append(p.Snaps, v)
	}
	sortSnapshots(p.Snaps)
	if len(p.Index) == 0 {
		p.Index = nil
	}
	return p
}

func clearSession(o Session) Session {
	o.Unsealed, o.Kind, o.Host, o.Source, o.Program = false, "", "", crypto.ID{}, ""
	return o
}
