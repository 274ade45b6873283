package crypto

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/stretchr/testify/require"
)

// twoEpochs returns an admin's keyring that has seen a change of epoch, still bound to the first one.
func twoEpochs(t testing.TB) *Keyring {
	t.Helper()
	k, pub, err := NewKeyring(AES256GCM)
	require.NoError(t, err)
	data, meta := NewKey(), NewKey()
	later := epochKeys{epoch: 7, mapKey: NewKey(), data: newPrivateKey(&data), meta: newPrivateKey(&meta)}
	n := newRing(&secrets{role: Admin, suite: k.s().suite, id: k.s().id, cut: k.s().cut, epochs: append(k.s().epochs, later), seed: k.s().seed})
	require.Equal(t, uint32(7), n.Epoch())
	require.NoError(t, n.Bind(k.Domain(), AES256GCM, pub))
	return n
}

// fields lists the tags and epochs of a slot's plaintext by the format alone.
func fields(t *testing.T, plain []byte) (list [][2]uint32) {
	d := wire.NewDecoder(plain)
	for d.Len() > 0 {
		f := [2]uint32{uint32(d.U8())}
		v := wire.NewDecoder(d.Bytes(36, "value"))
		if v.Len() == 36 {
			f[1] = v.U32()
		}
		v.Fixed(32)
		require.NoError(t, v.Finish())
		list = append(list, f)
	}
	require.NoError(t, d.Finish())
	return list
}

func TestRolesHoldTheirKeysOnly(t *testing.T) {
	admin := twoEpochs(t)
	s := admin.s()
	secret := map[string][]byte{"K_id": s.id[:], "K_cut": s.cut[:], "admin's seed": s.seed[:]}
	for _, e := range s.epochs {
		secret["K_map"+string('0'+rune(e.epoch))] = e.mapKey[:]
		secret["DATA"+string('0'+rune(e.epoch))] = e.data.seed[:]
		secret["META"+string('0'+rune(e.epoch))] = e.meta.seed[:]
	}
	mapID := mapIDKey(s.id)
	secret["id key of MAP"] = mapID[:]
	for _, c := range []struct {
		role Role
		tags [][2]uint32
		has  []string
	}{
		{Admin, [][2]uint32{{1, 0}, {2, 0}, {4, 1}, {4, 7}, {5, 1}, {5, 7}, {6, 1}, {6, 7}, {7, 0}},
			[]string{"K_id", "K_cut", "K_map1", "K_map7", "DATA1", "DATA7", "META1", "META7"}},
		{Writer, [][2]uint32{{1, 0}, {2, 0}, {4, 1}, {4, 7}, {7, 0}}, []string{"K_id", "K_cut", "K_map1", "K_map7"}},
		{Reader, [][2]uint32{{1, 0}, {4, 1}, {4, 7}, {5, 1}, {5, 7}, {6, 1}, {6, 7}, {7, 0}},
			[]string{"K_id", "K_map1", "K_map7", "DATA1", "DATA7", "META1", "META7"}},
		{Collector, [][2]uint32{{3, 0}, {4, 1}, {4, 7}, {7, 0}}, []string{"id key of MAP", "K_map1", "K_map7"}},
	} {
		k, err := admin.Restrict(c.role)
		require.NoError(t, err)
		plain := k.appendKeys(nil)
		require.Equal(t, c.tags, fields(t, plain), c.role)
		var has []string
		for name, b := range secret {
			if bytes.Contains(plain, b) {
				has = append(has, name)
			}
		}
		require.ElementsMatch(t, c.has, has, c.role)
		require.True(t, bytes.HasSuffix(plain, k.s().seed[:]))

		back, err := decodeKeys(c.role, AES256GCM, plain)
		require.NoError(t, err)
		require.Equal(t, plain, back.appendKeys(nil))
		require.Equal(t, uint32(7), back.Epoch())
		for _, other := range []Role{Admin, Writer, Reader, Collector} {
			_, err := decodeKeys(other, AES256GCM, plain)
			require.Equal(t, other == c.role, err == nil, "keys of a %s taken for a %s's", c.role, other)
		}
	}
}

// A keyring of several epochs opens session keys of each and makes them for the one that it is bound to.
func TestEpochs(t *testing.T) {
	k := twoEpochs(t)
	var entries []KeyEntry
	for i := range k.s().epochs {
		e := &k.s().epochs[i]
		data, err := e.data.public()
		require.NoError(t, err)
		meta, err := e.meta.public()
		require.NoError(t, err)
		require.NoError(t, k.Bind([16]byte{3}, AES256GCM, PublicKeys{Epoch: e.epoch, Data: data, Meta: meta}))
		require.Equal(t, e.epoch, k.Epoch())
		for _, c := range []Class{Data, Meta, Map} {
			_, entry, err := k.NewSessionKey(c)
			require.NoError(t, err)
			require.Equal(t, e.epoch, entry.Epoch)
			entries = append(entries, entry)
		}
	}
	for i := range entries {
		_, err := k.OpenSessionKey(Class(entries[i].Kind), &entries[i])
		require.NoError(t, err)
		entries[i].Epoch = 8 - entries[i].Epoch
		_, err = k.OpenSessionKey(Class(entries[i].Kind), &entries[i])
		require.ErrorIs(t, err, ErrAuth)
	}
}

// Plaintexts that authenticate but are not what the format says are refused: whoever has the password may still be hostile.
func TestMalformedKeys(t *testing.T) {
	key := make([]byte, 32)
	one := func(tag byte) []byte { return wire.AppendBytes([]byte{tag}, key) }
	at := func(tag byte, epoch uint32) []byte {
		return wire.AppendBytes([]byte{tag}, append(wire.AppendU32(nil, epoch), key...))
	}
	cat := func(p ...[]byte) []byte { return bytes.Join(p, nil) }
	good := cat(one(1), one(2), at(4, 1), at(4, 2), one(7))
	_, err := decodeKeys(Writer, AES256GCM, good)
	require.NoError(t, err)
	reader := cat(one(1), at(4, 1), at(4, 2), at(5, 1), at(5, 2), at(6, 1), at(6, 2), one(7))
	_, err = decodeKeys(Reader, AES256GCM, reader)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		role  Role
		plain []byte
	}{
		"empty":                 {Writer, nil},
		"left over":             {Writer, append(good[:len(good):len(good)], 0)},
		"twice":                 {Writer, cat(one(1), one(1), one(2), at(4, 1), one(7))},
		"tags out of order":     {Writer, cat(one(2), one(1), at(4, 1), one(7))},
		"epochs out of order":   {Writer, cat(one(1), one(2), at(4, 2), at(4, 1), one(7))},
		"an epoch twice":        {Writer, cat(one(1), one(2), at(4, 1), at(4, 1), one(7))},
		"epoch 0":               {Writer, cat(one(1), one(2), at(4, 0), one(7))},
		"no epoch":              {Writer, cat(one(1), one(2), one(7))},
		"no seed":               {Writer, cat(one(1), one(2), at(4, 1))},
		"tag 0":                 {Writer, cat(one(0), good)},
		"tag 8":                 {Writer, cat(good, one(8))},
		"short key":             {Writer, cat(wire.AppendBytes([]byte{1}, key[1:]), one(2), at(4, 1), one(7))},
		"epoch without key":     {Writer, cat(one(1), one(2), wire.AppendBytes([]byte{4}, key[:4]), one(7))},
		"private of one epoch":  {Reader, cat(one(1), at(4, 1), at(4, 2), at(5, 1), at(6, 1), one(7))},
		"private of another":    {Reader, cat(one(1), at(4, 1), at(5, 2), at(6, 2), one(7))},
		"META key missing":      {Reader, cat(one(1), at(4, 1), at(5, 1), one(7))},
		"long form of a length": {Writer, cat([]byte{1, 0xa0, 0}, key, one(2), at(4, 1), one(7))},
	} {
		_, err := decodeKeys(c.role, AES256GCM, c.plain)
		require.Error(t, err, name)
	}
	for n := range good {
		_, err := decodeKeys(Writer, AES256GCM, good[:n])
		require.Error(t, err, "cut to %d", n)
	}
}

// The signing key inside a slot must be that of the actor outside.
func TestSlotActorMismatch(t *testing.T) {
	k, _, err := NewKeyring(AES256GCM)
	require.NoError(t, err)
	_, file := NewKeyFile()
	params, bind := make([]byte, SaltSize), ID{}
	info := SlotInfo{Kind: KeyFileSlot, Role: Admin, Suite: AES256GCM, Created: time.Unix(0, 1), Actor: k.Actor()}
	for _, altered := range []bool{false, true} {
		if altered {
			info.Actor.Public[0] ^= 1
		}
		b := appendSlotHeader(nil, &info, params)
		bind = Hash(b)
		sealed, err := file.seal(AES256GCM, params, k.appendKeys(nil), &bind, &[SaltSize]byte{})
		require.NoError(t, err)
		b = wire.AppendBytes(b, sealed)
		sum := Hash(b)
		s, err := DecodeSlot(append(b, sum[:]...))
		require.NoError(t, err)
		_, err = s.Open(file)
		if !altered {
			require.NoError(t, err)
			continue
		}
		require.ErrorAs(t, err, new(*SlotError))
		require.ErrorContains(t, err, "actor")
	}
}

// A slot takes some hundred epochs; beyond that it is refused when made, not when read.
func TestManyEpochs(t *testing.T) {
	k := twoEpochs(t)
	_, file := NewKeyFile()
	for _, n := range []uint32{500, 700} {
		s := &secrets{role: Admin, suite: AES256GCM, id: k.s().id, cut: k.s().cut, seed: NewKey()}
		for i := range n {
			data, meta := NewKey(), NewKey()
			s.epochs = append(s.epochs, epochKeys{epoch: i + 1, mapKey: NewKey(), data: newPrivateKey(&data), meta: newPrivateKey(&meta)})
		}
		b, _, err := SealSlot(newRing(s), ID{}, "", file)
		if n == 700 {
			require.ErrorContains(t, err, "at most 65536 fit")
			continue
		}
		require.NoError(t, err)
		require.LessOrEqual(t, len(b), MaxSlotSize)
		slot, err := DecodeSlot(b)
		require.NoError(t, err)
		back, err := slot.Open(file)
		require.NoError(t, err)
		require.Equal(t, n, back.Epoch())

		_, err = back.OpenSessionKey(Map, &KeyEntry{Kind: 3, Epoch: 1})
		require.ErrorIs(t, err, errUnbound)
	}
}
