package crypto_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/stretchr/testify/require"
)

// cheap is the least that Argon2id allows.
var cheap = crypto.Argon2{Time: 1, Memory: 8, Lanes: 1}

func passphrase(pw string) *crypto.PassphraseCredential {
	c := crypto.Passphrase(pw)
	c.Argon2 = cheap
	return c
}

// pair is a sealer with the credential that opens its slots.
type pair struct {
	kind crypto.SlotKind
	seal crypto.Sealer
	open crypto.Credential
}

func newPairs(t testing.TB) []pair {
	t.Helper()
	_, file := crypto.NewKeyFile()
	_, recovery := crypto.NewRecovery()
	_, identity, err := crypto.NewIdentity()
	require.NoError(t, err)
	pw := passphrase("correct horse")
	return []pair{
		{crypto.PasswordSlot, pw, crypto.Passphrase("correct horse")},
		{crypto.KeyFileSlot, file, file},
		{crypto.RecipientSlot, identity.Recipient(), identity},
		{crypto.RecoverySlot, recovery, recovery},
	}
}

// sameKeys checks that two keyrings can do the same, by using them.
func sameKeys(t *testing.T, a, b *crypto.Keyring) {
	t.Helper()
	require.Equal(t, a.Role(), b.Role())
	require.Equal(t, a.Actor(), b.Actor())
	require.Equal(t, a.Domain(), b.Domain())
	require.Equal(t, a.Suite(), b.Suite())
	require.Equal(t, a.Epoch(), b.Epoch())
	require.True(t, a.StateKey("x") == b.StateKey("x"))
	ma, errA := a.MapKey(1)
	mb, errB := b.MapKey(1)
	require.NoError(t, errA)
	require.NoError(t, errB)
	require.True(t, *ma == *mb)
	sa, errA := a.SourceID([]byte("s"))
	sb, errB := b.SourceID([]byte("s"))
	require.Equal(t, errA, errB)
	require.Equal(t, sa, sb)
	ca, errA := a.ChunkerSecret()
	cb, errB := b.ChunkerSecret()
	require.Equal(t, errA, errB)
	require.Equal(t, ca == nil, cb == nil)
	require.True(t, ca == nil || *ca == *cb)
	for _, c := range []crypto.Class{crypto.Data, crypto.Meta, crypto.Map} {
		ha, errA := a.Hasher(c)
		hb, errB := b.Hasher(c)
		require.Equal(t, errA, errB)
		require.True(t, ha == nil || ha.Sum([]byte("p")) == hb.Sum([]byte("p")))
		key, e, err := a.NewSessionKey(c)
		require.NoError(t, err)
		ka, errA := a.OpenSessionKey(c, &e)
		kb, errB := b.OpenSessionKey(c, &e)
		require.Equal(t, errA, errB)
		require.True(t, ka == nil || *ka == key && *kb == key)
	}
}

func TestSlots(t *testing.T) {
	genesis := crypto.Hash([]byte("genesis"))
	for _, suite := range suites {
		admin, pub := newRing(t, suite)
		pairs := newPairs(t)
		for _, r := range roles {
			k := restrict(t, admin, r)
			for _, p := range pairs {
				before := time.Now()
				b, info, err := crypto.SealSlot(k, genesis, "büro", p.seal)
				require.NoError(t, err)
				require.LessOrEqual(t, len(b), crypto.MaxSlotSize)
				s, err := crypto.DecodeSlot(b)
				require.NoError(t, err)
				require.Equal(t, info, s.SlotInfo)
				require.Equal(t, p.kind, s.Kind)
				require.Equal(t, r, s.Role)
				require.Equal(t, suite, s.Suite)
				require.Equal(t, genesis, s.Genesis)
				require.Equal(t, k.Actor(), s.Actor)
				require.Equal(t, "büro", s.Label)
				require.WithinDuration(t, before, s.Created, time.Minute)
				require.True(t, s.Matches(p.open))

				got, err := s.Open(p.open)
				require.NoError(t, err)
				require.Equal(t, suite, got.Suite())
				require.Equal(t, uint32(1), got.Epoch())
				require.Zero(t, got.Domain())
				_, _, err = got.NewSessionKey(crypto.Map)
				require.Error(t, err, "not bound yet")
				require.NoError(t, got.Bind(admin.Domain(), suite, pub))
				sameKeys(t, k, got)
			}
		}
	}
}

func TestSlotWrongCredential(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	mine, others := newPairs(t), newPairs(t)
	others[0].open = crypto.Passphrase("wrong horse")
	for _, p := range mine {
		b, _, err := crypto.SealSlot(admin, crypto.ID{}, "", p.seal)
		require.NoError(t, err)
		s, err := crypto.DecodeSlot(b)
		require.NoError(t, err)
		for _, o := range others {
			_, err = s.Open(o.open)
			require.ErrorIs(t, err, crypto.ErrWrongCredential, "%s with %s", p.kind, o.kind)
			require.False(t, isSlotError(err))
			require.Equal(t, p.kind == o.kind && p.kind != crypto.RecipientSlot, s.Matches(o.open))
		}
	}
}

func isSlotError(err error) bool { return errors.As(err, new(*crypto.SlotError)) }

// fix gives a slot object that was tampered with a good checksum.
func fix(b []byte) []byte {
	h := crypto.Hash(b[:len(b)-32])
	return append(b[:len(b)-32:len(b)-32], h[:]...)
}

func TestSlotDamage(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	_, file := crypto.NewKeyFile()
	b, _, err := crypto.SealSlot(admin, crypto.ID{}, "label", file)
	require.NoError(t, err)
	for n := range len(b) {
		_, err := crypto.DecodeSlot(b[:n])
		require.True(t, isSlotError(err), "cut to %d", n)
		_, err = crypto.DecodeSlot(fix(append([]byte{}, b[:max(n, 32)]...)))
		require.Error(t, err, "cut to %d, checksum good", n)
	}
	_, err = crypto.DecodeSlot(append(b[:len(b):len(b)], 0))
	require.True(t, isSlotError(err))
	_, err = crypto.DecodeSlot(make([]byte, crypto.MaxSlotSize+1))
	require.True(t, isSlotError(err))

	v2 := append([]byte{}, b...)
	v2[6] = 2
	_, err = crypto.DecodeSlot(v2)
	require.True(t, isSlotError(err), "a damaged version number is damage")
	_, err = crypto.DecodeSlot(fix(v2))
	require.ErrorIs(t, err, wire.ErrVersion)
	require.False(t, isSlotError(err))
}

func TestSlotReservedKinds(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	_, file := crypto.NewKeyFile()
	b, _, err := crypto.SealSlot(admin, crypto.ID{}, "", file)
	require.NoError(t, err)
	for kind := range 256 {
		c := append([]byte{}, b...)
		c[8] = byte(kind)
		s, err := crypto.DecodeSlot(fix(c))
		if kind < 5 || kind > 7 {
			require.Equal(t, kind == 2 || kind == 4, err == nil, "kind %d: %v", kind, err)
			continue
		}
		require.NoError(t, err)
		for _, p := range newPairs(t) {
			require.False(t, s.Matches(p.open))
		}
		_, err = s.Open(file)
		require.ErrorIs(t, err, crypto.ErrWrongCredential)
	}
}

func TestArgon2Bounds(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	b, _, err := crypto.SealSlot(admin, crypto.ID{}, "", passphrase("pw"))
	require.NoError(t, err)
	// The parameters follow the fixed header, an empty label and their length.
	const at = 6 + 2 + 3 + 16 + 32 + 8 + 32 + 1 + 1
	for _, c := range []struct {
		a  crypto.Argon2
		ok bool
	}{
		{crypto.DefaultArgon2(), true},
		{crypto.Argon2{Time: 1, Memory: 2 << 20, Lanes: 4}, true}, // the first recommendation of RFC 9106
		{crypto.Argon2{Time: 64, Memory: 256 << 10, Lanes: 64}, true},
		{crypto.Argon2{Time: 8, Memory: 2 << 20, Lanes: 1}, true},
		{crypto.Argon2{Time: 9, Memory: 2 << 20, Lanes: 1}, false},
		{crypto.Argon2{Time: 64, Memory: 256<<10 + 1, Lanes: 64}, false},
		{crypto.Argon2{Time: 0, Memory: 64, Lanes: 1}, false},
		{crypto.Argon2{Time: 65, Memory: 64, Lanes: 1}, false},
		{crypto.Argon2{Time: 1, Memory: 64, Lanes: 0}, false},
		{crypto.Argon2{Time: 1, Memory: 1 << 10, Lanes: 65}, false},
		{crypto.Argon2{Time: 1, Memory: 7, Lanes: 1}, false},
		{crypto.Argon2{Time: 1, Memory: 31, Lanes: 4}, false},
		{crypto.Argon2{Time: 1, Memory: 2<<20 + 1, Lanes: 1}, false},
		{crypto.Argon2{Time: 1<<32 - 1, Memory: 1<<32 - 1, Lanes: 255}, false},
	} {
		p := append([]byte{}, b...)
		enc := append(wire.AppendU32(wire.AppendU32(nil, c.a.Time), c.a.Memory), c.a.Lanes)
		copy(p[at:], enc)
		_, err := crypto.DecodeSlot(fix(p))
		require.Equal(t, c.ok, err == nil, "%+v: %v", c.a, err)
		require.Equal(t, !c.ok, isSlotError(err))
		if !c.ok {
			pw := crypto.Passphrase("pw")
			pw.Argon2 = c.a
			_, _, err = crypto.SealSlot(admin, crypto.ID{}, "", pw)
			require.Error(t, err, "%+v", c.a)
		}
	}
}

func TestSealSlotRefuses(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	_, file := crypto.NewKeyFile()
	_, _, err := crypto.SealSlot(admin, crypto.ID{}, strings.Repeat("l", 257), file)
	require.ErrorContains(t, err, "label")
	_, _, err = crypto.SealSlot(admin, crypto.ID{}, "\xff", file)
	require.ErrorContains(t, err, "label")
	_, _, err = crypto.SealSlot(admin, crypto.ID{}, "", passphrase(""))
	require.ErrorContains(t, err, "empty")
	b, _, err := crypto.SealSlot(admin, crypto.ID{}, strings.Repeat("l", 256), file)
	require.NoError(t, err)
	_, err = crypto.DecodeSlot(b)
	require.NoError(t, err)
}
