package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/specreader"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// actors writes random entries of a ledger, sensible and not.
type actors struct {
	t     *testing.T
	rng   *rand.Rand
	rings []*crypto.Keyring // the first is GENESIS's admin
	files fstest.MapFS
	n     uint64
	last  crypto.ID

	mine  []ledger.SessionID // live sessions of who writes next
	all   []ledger.SessionID // live sessions
	known []crypto.ID        // live snapshots
}

func newActors(t *testing.T, rng *rand.Rand) *actors {
	admin, public, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	require.NoError(t, admin.Bind([16]byte{1}, crypto.AES256GCM, public))
	a := &actors{t: t, rng: rng, rings: []*crypto.Keyring{admin}, files: fstest.MapFS{}}
	for _, role := range []crypto.Role{crypto.Admin, crypto.Writer, crypto.Writer, crypto.Reader, crypto.Collector} {
		ring, err := admin.Restrict(role)
		require.NoError(t, err)
		a.rings = append(a.rings, ring)
	}
	genesis := &ledger.Genesis{Repository: [16]byte{2}, Domain: [16]byte{1}, Admin: admin.Actor(), Keys: public, Suite: crypto.AES256GCM,
		ChunkMean: 16 << 10, SegmentSize: 64 << 10, PackSize: 1 << 20, Primitive: ledger.CreateIfAbsent}
	a.write(admin, genesis)
	for _, ring := range a.rings[1:] {
		if rng.IntN(8) > 0 {
			a.write(admin, a.key(ring, ledger.Admit))
		}
	}
	return a
}

func (a *actors) key(ring *crypto.Keyring, op ledger.KeyOp) *ledger.Key {
	role := ring.Role()
	if a.rng.IntN(10) == 0 {
		role = crypto.Role(1 + a.rng.IntN(4))
	}
	return &ledger.Key{Op: op, Role: role, Actor: ring.Actor(), Slot: ledger.SlotID{byte(a.rng.IntN(12) / 11)}, Label: "label"}
}

// write appends an entry and returns its bytes; nil if the body has no form at all.
func (a *actors) write(by *crypto.Keyring, body ledger.Body) []byte {
	b, err := ledger.New(by, body, a.n, a.last, int64(a.n))
	if err != nil {
		require.ErrorIs(a.t, err, ledger.ErrInvalid)
		return nil
	}
	a.files[ledger.EntryKey(a.n)] = &fstest.MapFile{Data: b}
	a.n, a.last = a.n+1, crypto.Hash(b)
	return b
}

// session returns one that could be, most often one that the actor may end.
func (a *actors) session() ledger.SessionID {
	if len(a.mine) > 0 && a.rng.IntN(4) > 0 {
		return a.mine[a.rng.IntN(len(a.mine))]
	}
	if len(a.all) > 0 && a.rng.IntN(2) > 0 {
		return a.all[a.rng.IntN(len(a.all))]
	}
	return ledger.SessionID{byte(1 + a.rng.IntN(60))}
}

func (a *actors) snapshot() crypto.ID {
	if len(a.known) > 0 && a.rng.IntN(2) > 0 {
		return a.known[a.rng.IntN(len(a.known))]
	}
	return crypto.ID{byte(a.rng.IntN(40))}
}

func some[T any](a *actors, limit int, one func() T) []T {
	var list []T
	for range a.rng.IntN(limit + 1) {
		list = append(list, one())
	}
	return list
}

func (a *actors) body() ledger.Body {
	if len(a.mine) == 0 && a.rng.IntN(3) > 0 {
		return &ledger.Open{Session: ledger.SessionID{byte(1 + a.rng.IntN(60))}, Kind: "backup", Host: "host", Program: "program"}
	}
	switch a.rng.IntN(16) {
	case 0, 1, 2, 3:
		return &ledger.Open{Session: ledger.SessionID{byte(1 + a.rng.IntN(60))}, Adopts: some(a, 2, a.session), Kind: "backup", Host: "host", Program: "program"}
	case 4, 5, 6:
		c := &ledger.Commit{Session: a.session(), Snapshot: crypto.ID{byte(a.rng.IntN(40))}, Facts: []byte("facts")}
		if c.Snapshot.IsZero() {
			c.Facts = nil
		}
		c.IndexFiles = some(a, 2, func() ledger.IndexFile {
			f := ledger.IndexFile{Session: c.Session, Hash: crypto.ID{byte(a.rng.IntN(200))}, Size: 1}
			if a.rng.IntN(3) == 0 {
				f.Session = a.session()
			}
			return f
		})
		return c
	case 7:
		return &ledger.Close{Session: a.session(), Reason: "reason"}
	case 8:
		return &ledger.Revoke{Session: a.session(), Reason: "reason"}
	case 9, 10:
		return &ledger.Forget{Snapshots: some(a, 2, a.snapshot), Reason: "reason"}
	case 11, 12:
		return &ledger.Tags{Snapshot: a.snapshot(), Tags: []string{"tag"}}
	case 13:
		return a.key(a.rings[a.rng.IntN(len(a.rings))], ledger.KeyOp(1+a.rng.IntN(4)/3))
	}
	return &ledger.Features{Add: ledger.FeatureSets{Write: []string{fmt.Sprint("feature ", a.rng.IntN(9))}}}
}

// TestLedgersAgree: programs and the document's reader find the same entries void, whatever is written.
func TestLedgersAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	valid, void := 0, 0
	for range 30 {
		a := newActors(t, rng)
		state, err := ledger.NewState(a.files[ledger.EntryKey(0)].Data, a.rings[0])
		require.NoError(t, err)
		for n := uint64(1); n < a.n; n++ {
			require.NoError(t, state.Apply(a.files[ledger.EntryKey(n)].Data))
		}
		for range 60 {
			by := a.rings[rng.IntN(len(a.rings))]
			if actor, known := state.Actor(by.Actor().ID()); !known || actor.RemovedAt > 0 && rng.IntN(4) > 0 {
				continue
			}
			a.mine, a.all, a.known = nil, nil, nil
			for _, s := range state.LiveSessions() {
				a.all = append(a.all, s.ID)
				if s.Actor == by.Actor().ID() {
					a.mine = append(a.mine, s.ID)
				}
			}
			for _, s := range state.Snapshots() {
				a.known = append(a.known, s.ID)
			}
			if b := a.write(by, a.body()); b != nil {
				require.NoError(t, state.Apply(b))
			}
		}
		var want []uint64
		for _, v := range state.Void() {
			want = append(want, v.N)
		}
		r, err := specreader.OpenFS(a.files, specreader.Credential{})
		require.NoError(t, err)
		require.Equal(t, want, slices.Sorted(maps.Keys(r.Void())))
		void += len(want)
		valid += int(a.n) - len(want)
	}
	t.Logf("%d entries are valid, %d void", valid, void)
	require.Greater(t, valid, 500)
	require.Greater(t, void, 500)
}
