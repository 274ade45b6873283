package crypto

import (
	"errors"
	"testing"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/stretchr/testify/require"
)

// target is an object with a way to open it, which must fail after any change.
type target struct {
	name string
	b    []byte
	step int // how many bits to go between two flips in the exhaustive test
	open func(b []byte) error
}

func targets(t testing.TB) (list []target) {
	for _, s := range []Suite{AES256GCM, XChaCha20Poly1305} {
		list = append(list, boxTargets(s)...)
		list = append(list, entryTargets(t, s)...)
		list = append(list, slotTargets(t, s)...)
	}
	for _, x := range list {
		require.NoError(t, x.open(x.b), x.name)
	}
	return list
}

func boxTargets(s Suite) (list []target) {
	k := NewKey()
	for _, plain := range []string{"", "x", "seventeen bytes.."} {
		list = append(list, target{"box " + s.String(), SealBox(nil, s, &k, "test", []byte(plain), []byte("aad")), 1, func(b []byte) error {
			_, err := OpenBox(nil, s, &k, "test", b, []byte("aad"))
			return onlyAuth(err)
		}})
	}
	box := SealBox(nil, s, &k, "test", []byte("plain"), []byte("associated data"))
	list = append(list, target{"associated data " + s.String(), []byte("associated data"), 1, func(b []byte) error {
		_, err := OpenBox(nil, s, &k, "test", box, b)
		return onlyAuth(err)
	}})
	return append(list, target{"key " + s.String(), k[:], 1, func(b []byte) error {
		key := Key(b)
		_, err := OpenBox(nil, s, &key, "test", box, []byte("associated data"))
		return onlyAuth(err)
	}})
}

// errUnexpected marks an error of another kind than what damage may give.
var errUnexpected = errors.New("unexpected")

func onlyAuth(err error) error {
	if err != nil && !errors.Is(err, ErrAuth) {
		return errors.Join(errUnexpected, err)
	}
	return err
}

func entryTargets(t testing.TB, s Suite) (list []target) {
	ring, _, err := NewKeyring(s)
	require.NoError(t, err)
	for _, c := range []Class{Data, Meta, Map} {
		key, e, err := ring.NewSessionKey(c)
		require.NoError(t, err)
		step := 7 // coprime to 8, so that every bit of a byte is met
		if c == Map {
			step = 1
		}
		list = append(list, target{"key entry " + c.String() + " " + s.String(), e.Append(nil), step, func(b []byte) error {
			d := wire.NewDecoder(b)
			e := DecodeKeyEntry(d)
			if err := d.Finish(); err != nil {
				return err
			}
			got, err := ring.OpenSessionKey(c, &e)
			if err == nil && *got != key {
				return nil
			}
			if !errors.As(err, new(*NoKeyError)) { // an unknown epoch
				err = onlyAuth(err)
			}
			return err
		}})
	}
	sig := ring.Sign("context", []byte("message"))
	list = append(list, target{"signature", sig[:], 1, func(b []byte) error { return onlyAuth(ring.Actor().Verify("context", []byte("message"), b)) }})
	actor := ring.Actor()
	return append(list, target{"actor", actor.Public[:], 1, func(b []byte) error {
		return onlyAuth(Actor{Public: [32]byte(b)}.Verify("context", []byte("message"), sig[:]))
	}})
}

func slotTargets(t testing.TB, s Suite) (list []target) {
	ring, _, err := NewKeyring(s)
	require.NoError(t, err)
	pw := Passphrase("pw")
	pw.Argon2 = Argon2{Time: 1, Memory: 8, Lanes: 1}
	_, file := NewKeyFile()
	_, rec := NewRecovery()
	_, id, err := NewIdentity()
	require.NoError(t, err)
	for _, c := range []struct {
		seal Sealer
		open Credential
		step int
	}{{pw, pw, 3}, {file, file, 1}, {rec, rec, 1}, {id.Recipient(), id, 13}} {
		k, err := ring.Restrict(Collector)
		require.NoError(t, err)
		b, _, err := SealSlot(k, ID{1}, "label", c.seal)
		require.NoError(t, err)
		name := c.seal.slotKind().String() + " slot " + s.String()
		list = append(list, target{name, b, 1, func(b []byte) error { return openBytes(b, c.open) }})
		list = append(list, target{name + " with a good checksum", b[:len(b)-32], c.step, func(b []byte) error {
			sum := Hash(b)
			return openBytes(append(b[:len(b):len(b)], sum[:]...), c.open)
		}})
	}
	return list
}

// openBytes decodes and opens a slot. A password is not tried at a cost that only a changed slot asks for.
func openBytes(b []byte, c Credential) error {
	s, err := DecodeSlot(b)
	if err == nil && expensive(s) {
		return ErrWrongCredential
	}
	if err == nil {
		_, err = s.Open(c)
	}
	if err == nil || errors.Is(err, ErrWrongCredential) || errors.As(err, new(*SlotError)) || errors.Is(err, wire.ErrVersion) {
		return err
	}
	return errors.Join(errUnexpected, err)
}

func expensive(s *Slot) bool {
	if s.Kind != PasswordSlot {
		return false
	}
	a, _, err := decodeArgon2(s.params)
	return err == nil && uint64(a.Time)*uint64(a.Memory) > 1<<10
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	for _, x := range targets(t) {
		for bit := 0; bit < 8*len(x.b); bit += x.step {
			b := append([]byte{}, x.b...)
			b[bit/8] ^= 1 << (bit % 8)
			err := x.open(b)
			require.Error(t, err, "%s, bit %d", x.name, bit)
			require.NotErrorIs(t, err, errUnexpected, "%s, bit %d", x.name, bit)
		}
	}
}

func TestEveryCutIsFound(t *testing.T) {
	for _, x := range targets(t) {
		if len(x.b) == len(Key{}) {
			continue // of fixed size
		}
		for n := range len(x.b) {
			require.Error(t, x.open(x.b[:n:n]), "%s cut to %d", x.name, n)
		}
		require.Error(t, x.open(append(x.b[:len(x.b):len(x.b)], 0)), "%s with a byte more", x.name)
	}
}

// FuzzMalleability changes one byte somewhere, and up to eight more after it.
func FuzzMalleability(f *testing.F) {
	list := targets(f)
	for i := range list {
		f.Add(uint(i), uint(i*31), byte(1<<(i%8)), uint64(i))
	}
	f.Fuzz(func(t *testing.T, which, at uint, mask byte, more uint64) {
		x := list[which%uint(len(list))]
		if mask == 0 {
			t.Skip()
		}
		b := append([]byte{}, x.b...)
		at %= uint(len(b))
		b[at] ^= mask
		for i := at + 1; i < uint(len(b)) && more != 0; i, more = i+1, more>>8 {
			b[i] ^= byte(more)
		}
		err := x.open(b)
		require.Error(t, err, x.name)
		require.NotErrorIs(t, err, errUnexpected, x.name)
	})
}
