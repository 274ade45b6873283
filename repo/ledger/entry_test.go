package ledger

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
)

func sortSnapshots(list []Snapshot) {
	slices.SortFunc(list, func(a, b Snapshot) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}

func bodies(t testing.TB, ring *crypto.Keyring, pub crypto.PublicKeys) []Body {
	other, err := ring.Restrict(crypto.Writer)
	require.NoError(t, err)
	return []Body{
		newGenesis(ring, pub),
		withParity(newGenesis(ring, pub), 10),
		&Open{Session: sid(1)},
		&Open{Session: sid(1), Adopts: []SessionID{sid(2), sid(3)}, Kind: "backup", Host: "h", Source: snap(4), Program: "p 1"},
		&Commit{Session: sid(1), IndexFiles: files(file(1, 1))},
		&Commit{Session: sid(1), Snapshot: snap(1), IndexFiles: files(file(1, 1), file(2, 1), file(1, 2)), Facts: []byte("facts")},
		&Close{Session: sid(1), Reason: "done"},
		&Open{Session: sid(1), Purpose: Collecting},
		&Condemn{Session: sid(1), Marked: 300, Added: files(file(1, 1))},
		&Condemn{Session: sid(1), Marked: 300, Retired: files(file(2, 1)), Added: files(file(1, 1), file(1, 2))},
		&Delete{Session: sid(1), Condemned: 2, Marked: 3, Added: files(file(1, 1))},
		&Delete{Session: sid(1)},
		&Hold{Session: sid(1), Snapshots: []crypto.ID{snap(2), snap(1)}},
		&Open{Session: sid(1), Purpose: Repairing},
		&Sweep{Session: sid(1), List: snap(3), Packs: 300},
		&Sweep{Session: sid(1), Ended: []uint64{1, 300}},
		&Sweep{Session: sid(1), List: snap(3), Packs: MaxSwept, Ended: []uint64{2}},
		&Unforget{Snapshots: []crypto.ID{snap(2)}, Reason: "why"},
		&Protect{Snapshots: []crypto.ID{snap(2), snap(1)}, Reason: "evidence"},
		&Unprotect{Snapshots: []crypto.ID{snap(2)}},
		&Forget{Snapshots: []crypto.ID{snap(2), snap(1)}, Reason: "policy"},
		&Revoke{Session: sid(1)},
		&Key{Op: Admit, Role: crypto.Reader, Actor: other.Actor(), Slot: SlotID{9}, Label: "l"},
		&Tags{Snapshot: snap(1), Tags: []string{"a", ""}},
		&Features{Add: FeatureSets{Read: []string{"a", "b"}, Collect: []string{"c"}}},
		&Progress{Session: sid(1), IndexFiles: files(file(1, 1))},
	}
}

func TestRoundTrip(t *testing.T) {
	for _, suite := range []crypto.Suite{crypto.AES256GCM, crypto.XChaCha20Poly1305} {
		ring, pub, err := crypto.NewKeyring(suite)
		require.NoError(t, err)
		for _, body := range bodies(t, ring, pub) {
			b, err := New(ring, body, 5, snap(9), -3)
			require.NoError(t, err)
			e, err := Decode(b)
			require.NoError(t, err)
			require.Equal(t, body.Type(), e.Type)
			require.Equal(t, suite, e.Suite)
			require.EqualValues(t, 5, e.N)
			require.Equal(t, snap(9), e.Previous)
			require.Equal(t, ring.Actor().ID(), e.Actor)
			require.EqualValues(t, -3, e.Time)
			require.Equal(t, crypto.Hash(b), e.Hash())
			require.NoError(t, e.Verify(ring.Actor()))

			got, err := e.Body()
			require.NoError(t, err)
			if len(e.Sealed) > 0 {
				require.ErrorIs(t, e.Unseal(nil, got), ErrNoKey)
				require.EqualValues(t, 1, e.Epoch)
			}
			require.NoError(t, e.Unseal(ring, got))
			require.Equal(t, body, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	ring, pub, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	long := strings.Repeat("x", MaxReason+1)
	genesis := func(change func(*Genesis)) Body {
		g := newGenesis(ring, pub)
		change(g)
		return g
	}
	cases := map[string]Body{
		"open zero session":        &Open{},
		"open purpose":             &Open{Session: sid(1), Purpose: 3},
		"condemn nothing":          &Condemn{Session: sid(1)},
		"condemn adds another's":   &Condemn{Session: sid(1), Retired: files(file(2, 1)), Added: files(file(2, 2))},
		"condemn twice":            &Condemn{Session: sid(1), Retired: files(file(2, 1), file(2, 1))},
		"condemn marked":           &Condemn{Session: sid(1), Marked: numbers + 1, Retired: files(file(2, 1))},
		"delete adds another's":    &Delete{Session: sid(1), Added: files(file(2, 2))},
		"sweep zero session":       &Sweep{List: snap(1), Packs: 1},
		"sweep nothing":            &Sweep{Session: sid(1)},
		"sweep without a list":     &Sweep{Session: sid(1), Packs: 1},
		"sweep without packs":      &Sweep{Session: sid(1), List: snap(1), Ended: []uint64{1}},
		"sweep too many":           &Sweep{Session: sid(1), List: snap(1), Packs: MaxSwept + 1},
		"sweep ends twice":         &Sweep{Session: sid(1), Ended: []uint64{1, 1}},
		"sweep ends out of order":  &Sweep{Session: sid(1), Ended: []uint64{2, 1}},
		"hold nothing":             &Hold{Session: sid(1)},
		"protect nothing":          &Protect{},
		"unprotect twice":          &Unprotect{Snapshots: []crypto.ID{snap(1), snap(1)}},
		"unforget nothing":         &Unforget{},
		"unforget twice":           &Unforget{Snapshots: []crypto.ID{snap(1), snap(1)}},
		"unforget reason":          &Unforget{Snapshots: []crypto.ID{snap(1)}, Reason: long},
		"open adopts itself":       &Open{Session: sid(1), Adopts: []SessionID{sid(1)}},
		"open adopts twice":        &Open{Session: sid(1), Adopts: []SessionID{sid(2), sid(2)}},
		"open adopts many":         &Open{Session: sid(1), Adopts: make([]SessionID, MaxAdopts+1)},
		"open kind":                &Open{Session: sid(1), Kind: long},
		"open host":                &Open{Session: sid(1), Host: long},
		"open program":             &Open{Session: sid(1), Program: long},
		"commit zero session":      &Commit{},
		"commit no facts":          &Commit{Session: sid(1), Snapshot: snap(1)},
		"commit facts of none":     &Commit{Session: sid(1), Facts: []byte("f")},
		"commit index file twice":  &Commit{Session: sid(1), IndexFiles: files(file(1, 1), file(2, 2), file(1, 1))},
		"commit index file empty":  &Commit{Session: sid(1), IndexFiles: files(IndexFile{Session: sid(1)})},
		"close zero session":       &Close{},
		"close reason":             &Close{Session: sid(1), Reason: long},
		"revoke zero session":      &Revoke{},
		"revoke reason":            &Revoke{Session: sid(1), Reason: long},
		"forget nothing":           &Forget{},
		"forget twice":             &Forget{Snapshots: []crypto.ID{snap(1), snap(2), snap(1)}},
		"forget reason":            &Forget{Snapshots: []crypto.ID{snap(1)}, Reason: long},
		"key operation":            &Key{Op: 3, Role: crypto.Admin},
		"key role":                 &Key{Op: Admit, Role: 5},
		"key label":                &Key{Op: Admit, Role: crypto.Admin, Label: long},
		"tags many":                &Tags{Tags: make([]string, MaxTags+1)},
		"tags long":                &Tags{Tags: []string{long}},
		"features unsorted":        &Features{Add: FeatureSets{Read: []string{"b", "a"}}},
		"features twice":           &Features{Add: FeatureSets{Write: []string{"a", "a"}}},
		"features empty name":      &Features{Add: FeatureSets{Collect: []string{""}}},
		"features long name":       &Features{Add: FeatureSets{Collect: []string{long}}},
		"progress folder":          &Progress{Session: sid(1), IndexFiles: files(file(2, 1))},
		"genesis parity":           genesis(func(g *Genesis) { g.Parity = 51 }),
		"genesis epoch":            genesis(func(g *Genesis) { g.Keys.Epoch = 2 }),
		"genesis public keys":      genesis(func(g *Genesis) { g.Keys.Data = append(g.Keys.Data[:1215:1215], g.Keys.Meta...)[:1215] }),
		"genesis shifted keys":     genesis(func(g *Genesis) { g.Keys.Data, g.Keys.Meta = g.Keys.Data[:1215], make([]byte, 1217) }),
		"genesis suite":            genesis(func(g *Genesis) { g.Suite = 3 }),
		"genesis mean small":       genesis(func(g *Genesis) { g.ChunkMean = 2 << 10 }),
		"genesis mean large":       genesis(func(g *Genesis) { g.ChunkMean = 512 << 10; g.SegmentSize = 4 << 20 }),
		"genesis mean odd":         genesis(func(g *Genesis) { g.ChunkMean = 65 << 10 }),
		"genesis segment small":    genesis(func(g *Genesis) { g.ChunkMean = 4 << 10; g.SegmentSize = 32 << 10 }),
		"genesis segment large":    genesis(func(g *Genesis) { g.SegmentSize = 17 << 20; g.PackSize = 1 << 30 }),
		"genesis segment and mean": genesis(func(g *Genesis) { g.SegmentSize = 128 << 10 }),
		"genesis pack small":       genesis(func(g *Genesis) { g.SegmentSize = 256 << 10; g.PackSize = 1<<20 - 1 }),
		"genesis pack large":       genesis(func(g *Genesis) { g.PackSize = 1<<30 + 1 }),
		"genesis pack and segment": genesis(func(g *Genesis) { g.SegmentSize = 16 << 20; g.PackSize = 31 << 20 }),
		"genesis primitive":        genesis(func(g *Genesis) { g.Primitive = 3 }),
	}
	for name, body := range cases {
		_, err := New(ring, body, 5, snap(9), 0)
		require.ErrorIs(t, err, ErrInvalid, name)
	}
	_, err = New(ring, &Close{Session: sid(1)}, numbers, snap(9), 0)
	require.ErrorIs(t, err, ErrInvalid)
	_, err = New(ring, &Commit{Session: sid(1), Snapshot: snap(1), Facts: make([]byte, MaxEntry)}, 5, snap(9), 0)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = New(ring, &Commit{Session: sid(1), Snapshot: snap(1), Facts: make([]byte, MaxEntry-100)}, 5, snap(9), 0)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestDecodeRefuses(t *testing.T) {
	ring, _, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	good := forged{typ: TypeClose, epoch: 1, n: 1, clear: make([]byte, 16), plain: []byte{0}}
	_, err = Decode(good.sign(ring))
	require.NoError(t, err)

	change := func(f func(*forged)) []byte {
		bad := good
		f(&bad)
		return bad.sign(ring)
	}
	cases := map[string][]byte{
		"empty":              nil,
		"cut":                good.sign(ring)[:100],
		"left over":          append(good.sign(ring), 0),
		"suite":              change(func(f *forged) { f.suite, f.box = 3, make([]byte, 48) }),
		"number":             change(func(f *forged) { f.n = numbers }),
		"epoch without box":  change(func(f *forged) { f.box = []byte{} }),
		"box without epoch":  change(func(f *forged) { f.epoch, f.box = 0, make([]byte, 48) }),
		"box too small":      change(func(f *forged) { f.box = make([]byte, 47) }),
		"length not minimal": bytes.Replace(good.sign(ring), append([]byte{16}, make([]byte, 16)...), append([]byte{0x90, 0}, make([]byte, 16)...), 1),
	}
	for name, b := range cases {
		_, err := Decode(b)
		require.ErrorIs(t, err, wire.ErrFormat, name)
	}
	_, err = Decode(make([]byte, MaxEntry+1))
	require.ErrorIs(t, err, ErrTooLarge)
	b := good.sign(ring)
	b[6] = 2
	_, err = Decode(b)
	require.ErrorIs(t, err, wire.ErrVersion)
}

func TestUnsealIsBound(t *testing.T) {
	ring, _, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	b, err := New(ring, &Tags{Snapshot: snap(1), Tags: []string{"a"}}, 5, snap(9), 1)
	require.NoError(t, err)
	for i := range b[:len(b)-signatureSize] { // the signature is not part of what the box is bound to
		bad := bytes.Clone(b)
		bad[i] ^= 4
		e, err := Decode(bad)
		if err != nil {
			continue
		}
		require.ErrorIs(t, e.Verify(ring.Actor()), crypto.ErrAuth)
		if e.Type != TypeTags {
			continue
		}
		body := &Tags{}
		if err := e.Unseal(ring, body); !errors.Is(err, ErrNoKey) {
			require.ErrorIs(t, err, crypto.ErrAuth, "byte %d", i)
		}
		require.Nil(t, body.Tags)
	}
}

func TestUnknownType(t *testing.T) {
	ring, _, err := crypto.NewKeyring(crypto.AES256GCM)
	require.NoError(t, err)
	for _, typ := range []Type{0, 18, 40, 255} {
		e, err := Decode(forged{typ: typ, n: 3}.sign(ring))
		require.NoError(t, err)
		_, err = e.Body()
		var unknown *UnknownTypeError
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, UnknownTypeError{N: 3, Type: typ}, *unknown)
		require.ErrorContains(t, err, "newer version")
		require.ErrorContains(t, err, typ.String())
		require.ErrorIs(t, e.Unseal(ring, &Tags{}), ErrInvalid)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for typ := range 256 {
		seen[Type(typ).String()] = true
	}
	require.Len(t, seen, 256)
	require.Equal(t, "FORGET", TypeForget.String())
	require.Equal(t, "type 200", Type(200).String())
	require.Equal(t, "01aa0000000000000000000000000000", sid(1).String())
	require.Equal(t, "09000000000000000000000000000000", SlotID{9}.String())
	ends := map[string]bool{}
	for e := Live; e <= Removed+1; e++ {
		ends[e.String()] = true
	}
	require.Len(t, ends, int(Removed)+2)
}

func TestEntryKeys(t *testing.T) {
	require.Equal(t, "log/000000000012", EntryKey(12))
	require.Equal(t, "sessions/01aa0000000000000000000000000000/000000000003", ProgressKey(sid(1), 3))
	for _, n := range []uint64{0, 1, 12, 999_999_999_999} {
		got, err := ParseEntryKey(EntryKey(n))
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	for _, key := range []string{"", "log/", "log/12", "log/00000000001x", "log/+00000000012", "log/0000000000012", "Log/000000000012", "log/00000000 012"} {
		_, err := ParseEntryKey(key)
		require.Error(t, err, key)
	}
}
