package crypto

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/holdfast-backup/holdfast/internal/wire"
)

// NoKeyError is returned when a keyring lacks the key for what is asked: its role may not, or the key's epoch is not one of its own.
type NoKeyError struct {
	What string // the key
	Role Role   // who asked
}

// Error names the key and the role.
func (e *NoKeyError) Error() string { return fmt.Sprintf("a %s holds no %s", e.Role, e.What) }

// PublicKeys are the public HPKE keys of one epoch, 1216 bytes each.
type PublicKeys struct {
	Epoch uint32
	Data  []byte // session keys of class DATA are wrapped to it
	Meta  []byte // session keys of class META are wrapped to it
}

// Keyring holds the keys of one role. Make one with NewKeyring, Keyring.Restrict or Slot.Open. It is safe for concurrent use,
// and never printed.
type Keyring struct {
	hidden
	s veiled[secrets]
}

type secrets struct {
	role   Role
	suite  Suite // of the slot, until bound
	id     *Key  // nil: not held
	cut    *Key
	mapID  *Key // held alone by collectors
	epochs []epochKeys
	seed   Key
	sign   ed25519.PrivateKey
	bound  atomic.Pointer[binding]
}

// epochKeys are the keys of one epoch; epochs ascend.
type epochKeys struct {
	epoch      uint32
	mapKey     Key
	data, meta *privateKey // nil: not held
}

// binding is what GENESIS says about the repository.
type binding struct {
	domain     [16]byte
	suite      Suite
	epoch      uint32
	data, meta hpke.PublicKey
}

// NewKeyring makes the keys of a new domain: epoch 1, role admin, a fresh actor, already bound.
func NewKeyring(suite Suite) (*Keyring, PublicKeys, error) {
	if !suite.Valid() {
		return nil, PublicKeys{}, fmt.Errorf("making a keyring: unknown %s", suite)
	}
	id, cut, data, meta := NewKey(), NewKey(), NewKey(), NewKey()
	e := epochKeys{epoch: 1, mapKey: NewKey(), data: newPrivateKey(&data), meta: newPrivateKey(&meta)}
	k := newRing(&secrets{role: Admin, suite: suite, id: &id, cut: &cut, epochs: []epochKeys{e}, seed: NewKey()})
	pub := PublicKeys{Epoch: 1}
	var err error
	if pub.Data, err = e.data.public(); err != nil {
		return nil, PublicKeys{}, fmt.Errorf("making a keyring: %w", err)
	}
	if pub.Meta, err = e.meta.public(); err != nil {
		return nil, PublicKeys{}, fmt.Errorf("making a keyring: %w", err)
	}
	var domain [16]byte
	rand.Read(domain[:])
	if err := k.Bind(domain, suite, pub); err != nil {
		return nil, PublicKeys{}, err
	}
	return k, pub, nil
}

func newRing(s *secrets) *Keyring {
	s.sign = ed25519.NewKeyFromSeed(s.seed[:])
	return &Keyring{s: veil(s)}
}

// Restrict returns a keyring with a fresh actor and only the keys of role r; Restrict(Admin) makes another admin. Only an admin
// may; for others the error is a *NoKeyError. The result is bound if k is.
func (k *Keyring) Restrict(r Role) (*Keyring, error) {
	if !r.Valid() {
		return nil, fmt.Errorf("restricting a keyring: unknown %s", r)
	}
	if k.s().role != Admin {
		return nil, fmt.Errorf("restricting a keyring: %w", &NoKeyError{What: "admin keys", Role: k.s().role})
	}
	h := holdings(r)
	s := &secrets{role: r, suite: k.s().suite, seed: NewKey()}
	if h.id {
		s.id = k.s().id
	}
	if h.cut {
		s.cut = k.s().cut
	}
	if h.mapID {
		key := mapIDKey(k.s().id)
		s.mapID = &key
	}
	for _, e := range k.s().epochs {
		if !h.private {
			e.data, e.meta = nil, nil
		}
		s.epochs = append(s.epochs, e)
	}
	n := newRing(s)
	n.s().bound.Store(k.s().bound.Load())
	return n, nil
}

// held says which keys a role holds besides every K_map and its actor's seed.
type held struct{ id, cut, mapID, private bool }

func holdings(r Role) held {
	switch r {
	case Admin:
		return held{id: true, cut: true, private: true}
	case Writer:
		return held{id: true, cut: true}
	case Reader:
		return held{id: true, private: true}
	case Collector:
		return held{mapID: true}
	}
	return held{}
}

// Bind sets what GENESIS says of the repository; the slot that k came from vouches for GENESIS. The keyring must hold K_map of
// pub's epoch, and its private keys of that epoch, if it holds any, must belong to pub. Binding again replaces the binding.
func (k *Keyring) Bind(domain [16]byte, suite Suite, pub PublicKeys) error {
	if !suite.Valid() {
		return fmt.Errorf("binding a keyring: unknown %s", suite)
	}
	e, err := k.epoch(pub.Epoch)
	if err != nil {
		return fmt.Errorf("binding a keyring: %w", err)
	}
	b := &binding{domain: domain, suite: suite, epoch: pub.Epoch}
	if b.data, err = bindPublic(pub.Data, e.data); err != nil {
		return fmt.Errorf("binding a keyring: DATA key: %w", err)
	}
	if b.meta, err = bindPublic(pub.Meta, e.meta); err != nil {
		return fmt.Errorf("binding a keyring: META key: %w", err)
	}
	k.s().bound.Store(b)
	return nil
}

func bindPublic(pub []byte, priv *privateKey) (hpke.PublicKey, error) {
	if priv != nil {
		own, err := priv.public()
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(own, pub) {
			return nil, fmt.Errorf("%w: the public key is not that of the private key", ErrAuth)
		}
	}
	return parsePublic(pub)
}

// Role returns whose keys these are.
func (k *Keyring) Role() Role { return k.s().role }

// Domain returns the domain that the keyring is bound to; zero before Bind.
func (k *Keyring) Domain() [16]byte {
	if b := k.s().bound.Load(); b != nil {
		return b.domain
	}
	return [16]byte{}
}

// Suite returns the suite for sealing in the repository; before Bind, that of the slot.
func (k *Keyring) Suite() Suite {
	if b := k.s().bound.Load(); b != nil {
		return b.suite
	}
	return k.s().suite
}

// Epoch returns the current epoch; before Bind, the last one that the keyring holds keys of.
func (k *Keyring) Epoch() uint32 {
	if b := k.s().bound.Load(); b != nil {
		return b.epoch
	}
	return k.s().epochs[len(k.s().epochs)-1].epoch
}

// Hasher returns a new Hasher for chunks of class c, or a *NoKeyError.
func (k *Keyring) Hasher(c Class) (*Hasher, error) {
	switch {
	case !c.Valid():
		return nil, fmt.Errorf("hashing chunks: unknown %s", c)
	case k.s().id != nil:
		key := idKey(k.s().id, c)
		return newHasher(&key)
	case c == Map && k.s().mapID != nil:
		return newHasher(k.s().mapID)
	}
	return nil, k.lacks("id key of class " + c.String())
}

func idKey(id *Key, c Class) Key { return Derive("holdfast v1 chunk id "+c.String(), id[:]) }
func mapIDKey(id *Key) Key       { return idKey(id, Map) }

// ChunkerSecret returns the secret that chunkers of this domain cut by, or a *NoKeyError.
func (k *Keyring) ChunkerSecret() (*[32]byte, error) {
	if k.s().cut == nil {
		return nil, k.lacks("chunker secret")
	}
	key := Derive("holdfast v1 chunker", k.s().cut[:])
	return (*[32]byte)(&key), nil
}

// MapKey returns K_map of an epoch, or a *NoKeyError. The key is the keyring's own: read it only.
func (k *Keyring) MapKey(epoch uint32) (*Key, error) {
	e, err := k.epoch(epoch)
	if err != nil {
		return nil, err
	}
	return &e.mapKey, nil
}

func (k *Keyring) epoch(n uint32) (*epochKeys, error) {
	for i := range k.s().epochs {
		if k.s().epochs[i].epoch == n {
			return &k.s().epochs[i], nil
		}
	}
	return nil, k.lacks(fmt.Sprintf("keys of epoch %d", n))
}

func (k *Keyring) lacks(what string) error { return &NoKeyError{What: what, Role: k.s().role} }

var errUnbound = errors.New("the keyring is not bound to a repository")

// SourceID returns what equal sources have in common in the ledger, without telling their names to others; or a *NoKeyError.
func (k *Keyring) SourceID(names ...[]byte) (ID, error) {
	if k.s().id == nil {
		return ID{}, k.lacks("K_id")
	}
	var b []byte
	for _, n := range names {
		b = wire.AppendBytes(b, n)
	}
	return ID(Derive("holdfast v1 source", k.s().id[:], b)), nil
}

// StateKey returns a key for sealing local state that belongs to this slot. Different purposes give unrelated keys.
func (k *Keyring) StateKey(purpose string) Key {
	return Derive("holdfast v1 local state "+purpose, k.s().seed[:])
}

// Actor returns who Sign signs as.
func (k *Keyring) Actor() Actor { return Actor{Public: [32]byte(k.s().sign[32:])} }

// Sign signs msg for one purpose. Contexts are constants of the format without a zero byte.
func (k *Keyring) Sign(context string, msg []byte) [64]byte {
	return [64]byte(ed25519.Sign(k.s().sign, signedBytes(context, msg)))
}
