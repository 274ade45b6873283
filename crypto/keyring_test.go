package crypto_test

import (
	"errors"
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func TestRestrictNeedsAdmin(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	for _, r := range roles {
		k := restrict(t, admin, r)
		require.Equal(t, r, k.Role())
		require.NotEqual(t, admin.Actor(), k.Actor())
		require.Equal(t, admin.Domain(), k.Domain())
		for _, want := range roles {
			_, err := k.Restrict(want)
			require.Equal(t, r != crypto.Admin, errors.As(err, new(*crypto.NoKeyError)))
		}
	}
	_, err := admin.Restrict(0)
	require.Error(t, err)
	_, err = admin.Restrict(5)
	require.Error(t, err)
}

func TestWhatRolesMayDo(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	for _, r := range roles {
		k := restrict(t, admin, r)
		_, err := k.ChunkerSecret()
		require.Equal(t, r == crypto.Admin || r == crypto.Writer, err == nil, r)
		_, err = k.SourceID([]byte("x"))
		require.Equal(t, r != crypto.Collector, err == nil, r)
		_, err = k.MapKey(1)
		require.NoError(t, err)
		_, err = k.MapKey(2)
		require.ErrorAs(t, err, new(*crypto.NoKeyError))
		_, err = k.Hasher(0)
		require.Error(t, err)
	}
}

func TestBind(t *testing.T) {
	admin, pub := newRing(t, crypto.AES256GCM)
	_, other := newRing(t, crypto.AES256GCM)
	domain := [16]byte{1}
	for _, r := range roles {
		k := restrict(t, admin, r)
		require.NoError(t, k.Bind(domain, crypto.XChaCha20Poly1305, pub))
		require.Equal(t, domain, k.Domain())
		require.Equal(t, crypto.XChaCha20Poly1305, k.Suite())

		err := k.Bind([16]byte{2}, crypto.AES256GCM, other)
		private := r == crypto.Admin || r == crypto.Reader
		require.Equal(t, private, errors.Is(err, crypto.ErrAuth), "%s: %v", r, err)
		if private {
			require.Equal(t, domain, k.Domain(), "a failed Bind changes nothing")
		}
		require.Error(t, k.Bind(domain, 3, pub))
		require.ErrorAs(t, k.Bind(domain, crypto.AES256GCM, crypto.PublicKeys{Epoch: 2, Data: pub.Data, Meta: pub.Meta}), new(*crypto.NoKeyError))
		require.Error(t, k.Bind(domain, crypto.AES256GCM, crypto.PublicKeys{Epoch: 1, Data: pub.Data[:1215], Meta: pub.Meta}))
		require.Error(t, k.Bind(domain, crypto.AES256GCM, crypto.PublicKeys{Epoch: 1, Data: pub.Data}))
	}
}

// Session keys are bound to the domain, the suite and the class, and to their commitment.
func TestSessionKeyBinding(t *testing.T) {
	admin, pub := newRing(t, crypto.AES256GCM)
	elsewhere := restrict(t, admin, crypto.Admin)
	require.NoError(t, elsewhere.Bind([16]byte{9}, crypto.AES256GCM, pub))
	recoded := restrict(t, admin, crypto.Admin)
	require.NoError(t, recoded.Bind(admin.Domain(), crypto.XChaCha20Poly1305, pub))
	classes := []crypto.Class{crypto.Data, crypto.Meta, crypto.Map}
	for _, c := range classes {
		_, e, err := admin.NewSessionKey(c)
		require.NoError(t, err)
		_, err = elsewhere.OpenSessionKey(c, &e)
		require.ErrorIs(t, err, crypto.ErrAuth)
		_, err = recoded.OpenSessionKey(c, &e)
		require.ErrorIs(t, err, crypto.ErrAuth)
		for _, as := range classes {
			renamed := e
			renamed.Kind = uint8(as)
			_, err = admin.OpenSessionKey(as, &renamed)
			require.Equal(t, as != c, errors.Is(err, crypto.ErrAuth), "%s as %s: %v", c, as, err)
			_, err = admin.OpenSessionKey(as, &e)
			require.Equal(t, as != c, errors.Is(err, crypto.ErrAuth))
		}
		swapped := e
		swapped.Commitment[0] ^= 1
		_, err = admin.OpenSessionKey(c, &swapped)
		require.ErrorIs(t, err, crypto.ErrAuth)
		later := e
		later.Epoch = 2
		_, err = admin.OpenSessionKey(c, &later)
		require.ErrorAs(t, err, new(*crypto.NoKeyError))
		_, err = admin.OpenSessionKey(c, &crypto.KeyEntry{Kind: uint8(c), Epoch: 1})
		require.ErrorIs(t, err, crypto.ErrAuth)
	}
	_, _, err := admin.NewSessionKey(4)
	require.Error(t, err)
	_, err = admin.OpenSessionKey(4, &crypto.KeyEntry{Kind: 4, Epoch: 1})
	require.ErrorIs(t, err, crypto.ErrAuth)
}

func TestSourceIDPrefixesLengths(t *testing.T) {
	k, _ := newRing(t, crypto.AES256GCM)
	seen := map[crypto.ID]bool{}
	for _, names := range [][][]byte{nil, {nil}, {[]byte("ab"), []byte("c")}, {[]byte("a"), []byte("bc")}, {[]byte("abc")}} {
		id, err := k.SourceID(names...)
		require.NoError(t, err)
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestStateKeys(t *testing.T) {
	k, _ := newRing(t, crypto.AES256GCM)
	require.True(t, k.StateKey("a") == k.StateKey("a"))
	require.False(t, k.StateKey("a") == k.StateKey("b"))
	require.False(t, k.StateKey("a") == restrict(t, k, crypto.Admin).StateKey("a"))
}

func TestParseNames(t *testing.T) {
	for _, s := range suites {
		got, err := crypto.ParseSuite(s.String())
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
	for _, r := range roles {
		got, err := crypto.ParseRole(r.String())
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	_, err := crypto.ParseSuite("des")
	require.Error(t, err)
	_, err = crypto.ParseRole("root")
	require.Error(t, err)
	require.Equal(t, "DATA META MAP", crypto.Data.String()+" "+crypto.Meta.String()+" "+crypto.Map.String())
	require.Equal(t, "class(0) role(9) suite(7) kind 9", crypto.Class(0).String()+" "+crypto.Role(9).String()+" "+crypto.Suite(7).String()+" "+crypto.SlotKind(9).String())
	_, _, err = crypto.NewKeyring(0)
	require.Error(t, err)

	id := crypto.Hash(nil)
	got, err := crypto.ParseID(id.String())
	require.NoError(t, err)
	require.Equal(t, id, got)
	require.False(t, id.IsZero())
	require.True(t, crypto.ID{}.IsZero())
	for _, bad := range []string{"", id.String()[1:], id.String() + "0", "A" + id.String()[1:], "g" + id.String()[1:]} {
		_, err = crypto.ParseID(bad)
		require.Error(t, err, bad)
	}
}

// One keyring serves many goroutines, also while it is bound again.
func TestKeyringConcurrently(t *testing.T) {
	k, pub := newRing(t, crypto.AES256GCM)
	_, e, err := k.NewSessionKey(crypto.Data)
	require.NoError(t, err)
	domain := k.Domain()
	var g errgroup.Group
	for i := range 8 {
		g.Go(func() error {
			if i == 0 {
				return k.Bind(domain, crypto.AES256GCM, pub)
			}
			if _, err := k.OpenSessionKey(crypto.Data, &e); err != nil {
				return err
			}
			if _, _, err := k.NewSessionKey(crypto.Meta); err != nil {
				return err
			}
			h, err := k.Hasher(crypto.Data)
			if err != nil {
				return err
			}
			h.Sum([]byte("p"))
			sig := k.Sign("c", nil)
			return k.Actor().Verify("c", nil, sig[:])
		})
	}
	require.NoError(t, g.Wait())
}
