package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// model is the plainest reading of the rules: it keeps the valid entries and answers every question by going through them.
type model struct {
	admin crypto.Actor
	valid []event
	state crypto.ID // the hash of the encoded state
}

type event struct {
	n    uint64
	by   crypto.Actor
	body Body
}

func (m *model) role(a crypto.Actor) (role crypto.Role, slot SlotID, admitted, removed bool) {
	if a == m.admin {
		role, admitted = crypto.Admin, true
	}
	for _, e := range m.valid {
		if k, ok := e.body.(*Key); ok && k.Actor == a {
			role, slot, admitted = k.Role, k.Slot, true
			removed = k.Op == Remove
		}
	}
	return role, slot, admitted, removed
}

// session says who opened a session and whether nothing has ended it.
func (m *model) session(id SessionID) (owner crypto.Actor, known, live bool) {
	for _, e := range m.valid {
		switch b := e.body.(type) {
		case *Open:
			if b.Session == id {
				owner, known, live = e.by, true, true
			}
			live = live && !slices.Contains(b.Adopts, id)
		case *Commit:
			live = live && b.Session != id
		case *Close:
			live = live && b.Session != id
		case *Revoke:
			live = live && b.Session != id
		case *Key:
			live = live && !(b.Op == Remove && b.Actor == owner)
		}
	}
	return owner, known, live
}

func (m *model) owns(a crypto.Actor, id SessionID) bool {
	owner, _, live := m.session(id)
	return live && owner == a
}

func (m *model) covers(id, other SessionID) bool {
	if id == other {
		return true
	}
	for _, e := range m.valid {
		if o, ok := e.body.(*Open); ok && o.Session == id {
			return slices.ContainsFunc(o.Adopts, func(a SessionID) bool { return m.covers(a, other) })
		}
	}
	return false
}

func (m *model) snapshot(id crypto.ID) (known, live bool) {
	for _, e := range m.valid {
		switch b := e.body.(type) {
		case *Commit:
			if b.Snapshot == id && !id.IsZero() {
				known, live = true, true
			}
		case *Forget:
			live = live && !slices.Contains(b.Snapshots, id)
		case *Unforget:
			live = live || slices.Contains(b.Snapshots, id)
		}
	}
	return known, live
}

func (m *model) admins(among []*crypto.Keyring) int {
	n := 0
	for _, r := range among {
		if role, _, admitted, removed := m.role(r.Actor()); admitted && !removed && role == crypto.Admin {
			n++
		}
	}
	return n
}

func (m *model) protected(id crypto.ID) (is bool) {
	for _, e := range m.valid {
		switch b := e.body.(type) {
		case *Protect:
			is = is || slices.Contains(b.Snapshots, id)
		case *Unprotect:
			is = is && !slices.Contains(b.Snapshots, id)
		}
	}
	return is
}

func (m *model) collecting(id SessionID) bool {
	return slices.ContainsFunc(m.valid, func(e event) bool {
		o, ok := e.body.(*Open)
		return ok && o.Session == id && o.Purpose != Writing
	})
}

// files returns the live index files, and the condemned ones by their CONDEMN.
func (m *model) files() (live []IndexFile, condemned map[uint64]*Condemn) {
	condemned = map[uint64]*Condemn{}
	for _, e := range m.valid {
		switch b := e.body.(type) {
		case *Commit:
			live = append(live, b.IndexFiles...)
		case *Condemn:
			live = slices.DeleteFunc(live, func(f IndexFile) bool { return slices.Contains(b.Retired, f) })
			live = append(live, b.Added...)
			if len(b.Retired) > 0 {
				condemned[e.n] = b
			}
		case *Delete:
			live = append(live, b.Added...)
			delete(condemned, b.Condemned)
		}
	}
	return live, condemned
}

// sweeps returns whose the SWEEPs are that no other one ended.
func (m *model) sweeps() map[uint64]SessionID {
	left := map[uint64]SessionID{}
	for _, e := range m.valid {
		if w, ok := e.body.(*Sweep); ok {
			if w.Packs > 0 {
				left[e.n] = w.Session
			}
			for _, n := range w.Ended {
				delete(left, n)
			}
		}
	}
	return left
}

func (m *model) repairing() bool {
	return slices.ContainsFunc(m.valid, func(e event) bool {
		o, ok := e.body.(*Open)
		if !ok || o.Purpose != Repairing {
			return false
		}
		_, _, live := m.session(o.Session)
		return live
	})
}

func (m *model) fresh(added []IndexFile) bool {
	live, condemned := m.files()
	for _, c := range condemned {
		live = append(live, c.Retired...)
	}
	return !slices.ContainsFunc(added, func(f IndexFile) bool { return slices.Contains(live, f) })
}

// after returns how many entries there were with the last of these types.
func (m *model) after(types ...Type) (n uint64) {
	for _, e := range m.valid {
		if slices.Contains(types, e.body.Type()) {
			n = e.n + 1
		}
	}
	return n
}

// last returns the number of the last entry of a type, for FORGET of the last that names the snapshot.
func (m *model) last(t Type, id crypto.ID) (n uint64) {
	for _, e := range m.valid {
		f, ok := e.body.(*Forget)
		if e.body.Type() == t && (!ok || slices.Contains(f.Snapshots, id)) {
			n = e.n
		}
	}
	return n
}

func (m *model) olderWriter(n uint64) bool {
	return slices.ContainsFunc(m.valid, func(e event) bool {
		o, ok := e.body.(*Open)
		if !ok || e.n >= n || o.Purpose != Writing {
			return false
		}
		_, _, live := m.session(o.Session)
		return live
	})
}

func (m *model) accepts(by crypto.Actor, body Body, rings []*crypto.Keyring, next uint64) bool {
	role, _, _, removed := m.role(by)
	a, w, c := role == crypto.Admin, role == crypto.Writer, role == crypto.Collector
	if removed {
		return false
	}
	switch b := body.(type) {
	case *Open:
		_, known, _ := m.session(b.Session)
		may := a || w && b.Purpose == Writing || c && b.Purpose != Writing
		return may && !known && !slices.ContainsFunc(b.Adopts, func(id SessionID) bool { return !m.owns(by, id) || b.Purpose != Writing || m.collecting(id) })
	case *Commit:
		known, _ := m.snapshot(b.Snapshot)
		return (a || w) && m.owns(by, b.Session) && !m.collecting(b.Session) && !known &&
			!slices.ContainsFunc(b.IndexFiles, func(f IndexFile) bool { return !m.covers(b.Session, f.Session) })
	case *Close:
		return (a || w || c) && m.owns(by, b.Session)
	case *Revoke:
		_, _, live := m.session(b.Session)
		return (a || c) && live
	case *Forget:
		return (a || c) && !slices.ContainsFunc(b.Snapshots, func(id crypto.ID) bool { _, live := m.snapshot(id); return !live || m.protected(id) })
	case *Protect:
		return a && !slices.ContainsFunc(b.Snapshots, func(id crypto.ID) bool { _, live := m.snapshot(id); return !live || m.protected(id) })
	case *Unprotect:
		return a && !slices.ContainsFunc(b.Snapshots, func(id crypto.ID) bool { _, live := m.snapshot(id); return !live || !m.protected(id) })
	case *Tags:
		_, live := m.snapshot(b.Snapshot)
		return (a || w) && live
	case *Hold:
		return (a || w || c) && m.owns(by, b.Session) && !slices.ContainsFunc(b.Snapshots, func(id crypto.ID) bool { _, live := m.snapshot(id); return !live })
	case *Unforget:
		return (a || c) && !slices.ContainsFunc(b.Snapshots, func(id crypto.ID) bool {
			known, live := m.snapshot(id)
			return !known || live || m.last(TypeForget, id) < m.last(TypeDelete, crypto.ID{})
		})
	case *Condemn:
		index, _ := m.files()
		return (a || c) && m.owns(by, b.Session) && m.collecting(b.Session) && m.fresh(b.Added) && b.Marked <= next &&
			b.Marked >= m.after(TypeCondemn, TypeDelete) && !slices.ContainsFunc(b.Retired, func(f IndexFile) bool { return !slices.Contains(index, f) })
	case *Delete:
		_, pending := m.files()
		return (a || c) && m.owns(by, b.Session) && m.collecting(b.Session) && m.fresh(b.Added) && b.Marked <= next && pending[b.Condemned] != nil &&
			b.Marked >= m.after(TypeCommit, TypeHold, TypeUnforget, TypeCondemn, TypeDelete) && !m.olderWriter(b.Condemned)
	case *Sweep:
		left := m.sweeps()
		return (a || c) && m.owns(by, b.Session) && m.collecting(b.Session) && (b.Packs == 0 || !m.repairing()) && !slices.ContainsFunc(b.Ended, func(n uint64) bool {
			k, ok := left[n]
			_, _, live := m.session(k)
			return !ok || k != b.Session && live
		})
	case *Features:
		return a
	case *Checkpoint:
		return (a || c) && b.State == m.state
	case *Key:
		role, slot, admitted, gone := m.role(b.Actor)
		if b.Op == Admit {
			return a && !admitted
		}
		return a && admitted && !gone && role == b.Role && slot == b.Slot && (role != crypto.Admin || m.admins(rings) > 1)
	}
	return false
}

// compare holds the state's views against the valid entries.
func (m *model) compare(t *testing.T, s *State, rings []*crypto.Keyring) {
	var live []SessionID
	index, condemned := m.files()
	require.Len(t, s.Condemned(), len(condemned))
	for _, p := range s.Condemned() {
		require.Equal(t, condemned[p.N].Retired, p.Retired)
	}
	left := m.sweeps()
	require.Len(t, s.Sweeps(), len(left))
	for _, k := range s.Sweeps() {
		require.Equal(t, left[k.N], k.Session)
	}
	var snaps []crypto.ID
	tags, facts := map[crypto.ID][]string{}, map[crypto.ID][]byte{}
	for _, e := range m.valid {
		switch b := e.body.(type) {
		case *Open:
			if _, _, ok := m.session(b.Session); ok {
				live = append(live, b.Session)
			}
		case *Commit:
			if _, ok := m.snapshot(b.Snapshot); ok {
				snaps = append(snaps, b.Snapshot)
				facts[b.Snapshot] = b.Facts
			}
		case *Tags:
			tags[b.Snapshot] = b.Tags
		}
	}
	var gotLive []SessionID
	for _, o := range s.LiveSessions() {
		gotLive = append(gotLive, o.ID)
	}
	require.Equal(t, live, gotLive)
	require.ElementsMatch(t, index, s.IndexFiles())
	require.Len(t, set(s.IndexFiles()), len(index), "no index file is live twice")
	var gotSnaps []crypto.ID
	for _, v := range s.Snapshots() {
		gotSnaps = append(gotSnaps, v.ID)
		require.Equal(t, facts[v.ID], v.Facts)
		require.Equal(t, tags[v.ID], v.Tags)
	}
	require.Equal(t, snaps, gotSnaps)
	for _, r := range rings {
		role, slot, admitted, removed := m.role(r.Actor())
		got, ok := s.Actor(r.Actor().ID())
		require.Equal(t, admitted, ok)
		if ok {
			require.Equal(t, role, got.Role)
			require.Equal(t, slot, got.Slot)
			require.Equal(t, removed, got.RemovedAt != 0)
		}
	}
}

// generator draws bodies from small pools, and leans towards what exists, so that most rules are met from both sides.
type generator struct {
	*rand.Rand
	rings []*crypto.Keyring
	state *State
}

func (g *generator) session() SessionID {
	if live := g.state.LiveSessions(); len(live) > 0 && g.IntN(4) > 0 {
		return live[g.IntN(len(live))].ID
	}
	return sid(byte(1 + g.IntN(60)))
}

func (g *generator) snapshot() crypto.ID {
	if live := g.state.Snapshots(); len(live) > 0 && g.IntN(2) > 0 {
		return live[g.IntN(len(live))].ID
	}
	return snap(byte(1 + g.IntN(40)))
}

// author is mostly one who may: the owner of the session or else an admin.
func (g *generator) author(body Body) *crypto.Keyring {
	var id SessionID
	switch b := body.(type) {
	case *Commit:
		id = b.Session
	case *Close:
		id = b.Session
	case *Open:
		if len(b.Adopts) > 0 {
			id = b.Adopts[0]
		}
	case *Condemn:
		id = b.Session
	case *Delete:
		id = b.Session
	case *Hold:
		id = b.Session
	case *Sweep:
		id = b.Session
	case *Key, *Features, *Revoke, *Forget, *Tags, *Unforget, *Protect, *Unprotect, *Checkpoint:
		if g.IntN(2) == 0 {
			return g.rings[0]
		}
	}
	if o, ok := g.state.Session(id); ok && g.IntN(8) > 0 {
		for _, r := range g.rings {
			if r.Actor().ID() == o.Actor {
				return r
			}
		}
	}
	return g.rings[g.IntN(len(g.rings))]
}

func (g *generator) letter() string { return string(rune('a' + g.IntN(26))) }

func (g *generator) body() Body {
	switch g.IntN(58) {
	case 54, 55, 56, 57:
		return g.sweep()
	case 50, 51, 52, 53:
		return g.checkpoint()
	case 44, 45, 46:
		return &Protect{Snapshots: []crypto.ID{g.snapshot()}}
	case 47, 48, 49:
		return &Unprotect{Snapshots: []crypto.ID{g.protectedOne()}}
	case 32, 33, 34, 35:
		return g.condemn()
	case 36, 37, 38, 39:
		return g.delete()
	case 40, 41:
		return &Hold{Session: g.session(), Snapshots: []crypto.ID{g.snapshot()}}
	case 42, 43:
		return &Unforget{Snapshots: []crypto.ID{g.forgotten()}}
	case 0, 1, 2, 3, 4, 5, 6, 7:
		return g.open()
	case 8, 9, 10, 11, 12, 13:
		return g.commit()
	case 14:
		return &Close{Session: g.session(), Reason: "r"}
	case 15, 16:
		return &Revoke{Session: g.session()}
	case 17, 18, 19:
		f := &Forget{Snapshots: []crypto.ID{g.snapshot()}}
		if id := g.snapshot(); id != f.Snapshots[0] && g.IntN(3) == 0 {
			f.Snapshots = append(f.Snapshots, id)
		}
		return f
	case 20, 21, 22, 23:
		return &Tags{Snapshot: g.snapshot(), Tags: []string{g.letter()}}
	case 24:
		return &Features{Add: FeatureSets{Read: []string{g.letter()}}}
	}
	return g.key()
}

// protectedOne is a snapshot that is protected, if there is one.
func (g *generator) protectedOne() crypto.ID {
	for _, s := range g.state.Snapshots() {
		if s.ProtectedAt != 0 && g.IntN(3) > 0 {
			return s.ID
		}
	}
	return g.snapshot()
}

// forgotten is a snapshot that was forgotten, if there is one.
func (g *generator) forgotten() crypto.ID {
	for _, s := range slices.Backward(g.state.snapshots) {
		if s.ForgottenAt != 0 && g.IntN(3) > 0 {
			return s.ID
		}
	}
	return g.snapshot()
}

// collection is a session that collects, most often.
func (g *generator) collection() SessionID {
	for _, s := range g.state.LiveSessions() {
		if s.Purpose == Collecting && g.IntN(2) == 0 {
			return s.ID
		}
	}
	return g.session()
}

// marked is a number of entries, most often all.
func (g *generator) marked() uint64 {
	n, _ := g.state.Head()
	return n + 1 - min(n, uint64(1+g.IntN(2)*g.IntN(8)))
}

func (g *generator) added(id SessionID) (list []IndexFile) {
	for range g.IntN(3) {
		if f := file(id[0], byte(g.IntN(256))); !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

func (g *generator) condemn() Body {
	c := &Condemn{Session: g.collection(), Marked: g.marked()}
	for _, f := range g.state.IndexFiles() {
		if g.IntN(3) == 0 {
			c.Retired = append(c.Retired, f)
		}
	}
	if g.IntN(10) == 0 {
		c.Retired = append(c.Retired, file(byte(1+g.IntN(60)), 250))
	}
	if c.Added = g.added(c.Session); len(c.Retired)+len(c.Added) == 0 {
		c.Added = append(c.Added, file(c.Session[0], 251))
	}
	return c
}

func (g *generator) delete() Body {
	x := &Delete{Session: g.collection(), Marked: g.marked(), Condemned: uint64(g.IntN(9))}
	if pending := g.state.Condemned(); len(pending) > 0 && g.IntN(8) > 0 {
		x.Condemned = pending[g.IntN(len(pending))].N
		if older := g.state.WritersBefore(x.Condemned); len(older) > 0 && g.IntN(4) > 0 {
			return &Revoke{Session: older[0].ID}
		}
	}
	x.Added = g.added(x.Session)
	return x
}

func (g *generator) sweep() Body {
	w := &Sweep{Session: g.collection()}
	for _, k := range g.state.Sweeps() {
		if g.IntN(2) == 0 {
			w.Ended = append(w.Ended, k.N)
		}
	}
	if n, _ := g.state.Head(); g.IntN(12) == 0 {
		w.Ended = append(w.Ended, n)
	}
	if len(w.Ended) == 0 || g.IntN(2) == 0 {
		w.List, w.Packs = snap(byte(g.IntN(9))), uint64(1+g.IntN(9))
	}
	return w
}

func (g *generator) open() Body {
	o := &Open{Session: sid(byte(1 + g.IntN(60))), Host: "h"}
	switch g.IntN(8) {
	case 0, 1:
		o.Purpose = Collecting
	case 2:
		o.Purpose = Repairing
	}
	for range g.IntN(3) {
		if id := g.session(); id != o.Session && !slices.Contains(o.Adopts, id) && g.IntN(2) == 0 {
			o.Adopts = append(o.Adopts, id)
		}
	}
	return o
}

func (g *generator) commit() Body {
	c := &Commit{Session: g.session()}
	if g.IntN(4) > 0 {
		c.Snapshot, c.Facts = snap(byte(1+g.IntN(40))), []byte{byte(g.Uint32()), 1}
	}
	folders := append(g.state.Covers(c.Session), c.Session)
	for i := range g.IntN(4) {
		folder := folders[g.IntN(len(folders))]
		if g.IntN(10) == 0 {
			folder = g.session()
		}
		c.IndexFiles = append(c.IndexFiles, file(folder[0], byte(i)))
	}
	return c
}

// checkpoint is right most often.
func (g *generator) checkpoint() Body {
	c := g.state.NextCheckpoint()
	if wrong := *c; g.IntN(4) == 0 {
		wrong.State[g.IntN(32)] ^= 1
		return &wrong
	}
	return c
}

func (g *generator) key() Body {
	ring := g.rings[g.IntN(len(g.rings))]
	k := &Key{Op: Admit, Role: ring.Role(), Actor: ring.Actor(), Slot: SlotID{byte(g.IntN(2))}}
	if a, ok := g.state.Actor(ring.Actor().ID()); ok && g.IntN(4) == 0 {
		k.Op, k.Role = Remove, a.Role
		if g.IntN(3) > 0 {
			k.Slot = a.Slot
		}
	}
	return k
}

func TestAgainstModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	valid, void := map[Type]int{}, map[Type]int{}
	for range 12 {
		c := newChain(t)
		rings := []*crypto.Keyring{c.admin}
		for _, role := range []crypto.Role{crypto.Admin, crypto.Writer, crypto.Writer, crypto.Writer, crypto.Collector, crypto.Reader} {
			ring, err := c.admin.Restrict(role)
			require.NoError(t, err)
			rings = append(rings, ring)
		}
		m := &model{admin: c.admin.Actor()}
		g := &generator{Rand: rng, rings: rings, state: c.state}
		for range 200 {
			body := g.body()
			by := g.author(body)
			n, last := c.state.Head()
			b, err := New(by, body, n, last, int64(n))
			require.NoError(t, err)
			if _, _, admitted, _ := m.role(by.Actor()); !admitted {
				require.ErrorIs(t, c.state.Apply(b), ErrActor)
				continue
			}
			if body.Type() == TypeCheckpoint || n%4 == 0 {
				m.state, err = HashState(c.state.Encode())
				require.NoError(t, err)
				require.Equal(t, m.state, c.state.NextCheckpoint().State)
			}
			want := m.accepts(by.Actor(), body, rings, n)
			require.Equal(t, want, c.state.Check(by.Actor().ID(), body) == nil)
			why := c.apply(b)
			require.Equal(t, want, why == "", "entry %d, %v: %s", n, body.Type(), why)
			if want {
				m.valid = append(m.valid, event{n, by.Actor(), body})
				valid[body.Type()]++
			} else {
				void[body.Type()]++
			}
		}
		m.compare(t, c.state, rings)
		again := c.replay(c.admin)
		require.Equal(t, c.state.NextCheckpoint(), again.NextCheckpoint()) // which fills in the hashes of parts
		require.Equal(t, c.state, again)
		require.Equal(t, publicOf(c.state), publicOf(c.replay(nil)))
		compareRestored(t, c)
	}
	t.Logf("valid %v, void %v", valid, void)
	require.Len(t, valid, 16, "every type but GENESIS was valid at least once")
}
