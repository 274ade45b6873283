package crypto_test

import (
	"testing"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/stretchr/testify/require"
)

var suites = []crypto.Suite{crypto.AES256GCM, crypto.XChaCha20Poly1305}

// roles lists every role.
var roles = []crypto.Role{crypto.Admin, crypto.Writer, crypto.Reader, crypto.Collector}

func newRing(t testing.TB, s crypto.Suite) (*crypto.Keyring, crypto.PublicKeys) {
	t.Helper()
	k, pub, err := crypto.NewKeyring(s)
	require.NoError(t, err)
	return k, pub
}

func restrict(t testing.TB, k *crypto.Keyring, r crypto.Role) *crypto.Keyring {
	t.Helper()
	n, err := k.Restrict(r)
	require.NoError(t, err)
	return n
}

func TestBoxRoundTrip(t *testing.T) {
	for _, s := range suites {
		k, other := crypto.NewKey(), crypto.NewKey()
		for _, n := range []int{0, 1, 15, 16, 17, 4096} {
			plain := make([]byte, n)
			box := crypto.SealBox([]byte("before"), s, &k, "test", plain, []byte("aad"))
			require.Len(t, box, 6+n+crypto.BoxOverhead)
			box = box[6:]
			got, err := crypto.OpenBox([]byte("out"), s, &k, "test", box, []byte("aad"))
			require.NoError(t, err)
			require.Equal(t, append([]byte("out"), plain...), got)

			again := crypto.SealBox(nil, s, &k, "test", plain, []byte("aad"))
			require.NotEqual(t, box, again)

			_, err = crypto.OpenBox(nil, s, &other, "test", box, []byte("aad"))
			require.ErrorIs(t, err, crypto.ErrAuth)
			_, err = crypto.OpenBox(nil, s, &k, "other", box, []byte("aad"))
			require.ErrorIs(t, err, crypto.ErrAuth)
			_, err = crypto.OpenBox(nil, s, &k, "test", box, nil)
			require.ErrorIs(t, err, crypto.ErrAuth)
			_, err = crypto.OpenBox(nil, 3-s, &k, "test", box, []byte("aad"))
			require.ErrorIs(t, err, crypto.ErrAuth)
			_, err = crypto.OpenBox(nil, 0, &k, "test", box, []byte("aad"))
			require.ErrorIs(t, err, crypto.ErrAuth)

			unit, salt := crypto.SealUnit(nil, s, &k, "test", plain, nil)
			require.Len(t, unit, n+crypto.TagSize)
			got, err = crypto.OpenUnit(nil, s, &k, "test", &salt, unit, nil)
			require.NoError(t, err)
			require.Equal(t, plain, append([]byte{}, got...))
			joined, err := crypto.OpenBox(nil, s, &k, "test", append(salt[:], unit...), nil)
			require.NoError(t, err)
			require.Equal(t, got, joined)
		}
	}
}

func TestSealNeedsASuite(t *testing.T) {
	k := crypto.NewKey()
	require.Panics(t, func() { crypto.SealBox(nil, 0, &k, "test", nil, nil) })
	require.Panics(t, func() { crypto.SealUnit(nil, 3, &k, "test", nil, nil) })
}

func TestSessionKeys(t *testing.T) {
	for _, s := range suites {
		admin, _ := newRing(t, s)
		writer := restrict(t, admin, crypto.Writer)
		for _, c := range []crypto.Class{crypto.Data, crypto.Meta, crypto.Map} {
			key, e, err := writer.NewSessionKey(c)
			require.NoError(t, err)
			d := wire.NewDecoder(e.Append(nil))
			back := crypto.DecodeKeyEntry(d)
			require.NoError(t, d.Finish())
			require.Equal(t, e, back)
			for _, r := range roles {
				got, err := restrict(t, admin, r).OpenSessionKey(c, &back)
				if c == crypto.Map || r == crypto.Admin || r == crypto.Reader {
					require.NoError(t, err, "%s %s", r, c)
					require.True(t, key == *got)
					continue
				}
				var no *crypto.NoKeyError
				require.ErrorAs(t, err, &no, "%s %s", r, c)
				require.Equal(t, r, no.Role)
			}
		}
	}
}

func TestHasher(t *testing.T) {
	admin, _ := newRing(t, crypto.AES256GCM)
	p := []byte("a chunk")
	seen := map[crypto.ID]bool{crypto.Hash(p): true}
	for _, c := range []crypto.Class{crypto.Data, crypto.Meta, crypto.Map} {
		h, err := admin.Hasher(c)
		require.NoError(t, err)
		id := h.Sum(p)
		require.Equal(t, id, h.Sum(p))
		require.False(t, seen[id])
		seen[id] = true
		for _, r := range roles {
			h, err := restrict(t, admin, r).Hasher(c)
			if r == crypto.Collector && c != crypto.Map {
				require.ErrorAs(t, err, new(*crypto.NoKeyError))
				continue
			}
			require.NoError(t, err)
			require.Equal(t, id, h.Sum(p))
		}
	}
	h, err := admin.Hasher(crypto.Data)
	require.NoError(t, err)
	big := make([]byte, 64<<10)
	require.Zero(t, testing.AllocsPerRun(10, func() { h.Sum(big) }))
}

func TestSignatures(t *testing.T) {
	k, _ := newRing(t, crypto.AES256GCM)
	sig := k.Sign("context", []byte("message"))
	a := k.Actor()
	require.NoError(t, a.Verify("context", []byte("message"), sig[:]))
	require.ErrorIs(t, a.Verify("contex", []byte("tmessage"), sig[:]), crypto.ErrAuth)
	require.ErrorIs(t, a.Verify("context", []byte("massage"), sig[:]), crypto.ErrAuth)
	require.ErrorIs(t, a.Verify("context", []byte("message"), sig[:63]), crypto.ErrAuth)
	require.ErrorIs(t, restrict(t, k, crypto.Admin).Actor().Verify("context", []byte("message"), sig[:]), crypto.ErrAuth)
	require.ErrorIs(t, crypto.Actor{}.Verify("context", []byte("message"), sig[:]), crypto.ErrAuth)
	require.Len(t, a.ID().String(), 32)
}
