package crypto

import (
	"crypto/hpke"
	"errors"
	"fmt"
)

// Credential opens slots: a *PassphraseCredential, *KeyFile, *Identity or *Recovery.
type Credential interface {
	slotKind() SlotKind
	// fits says, without opening it, whether a slot of the right kind with these parameters may be for this credential.
	fits(params []byte) bool
	// open returns the plaintext of sealed. The error wraps ErrWrongCredential or ErrAuth.
	open(s Suite, params, sealed []byte, bind *ID) ([]byte, error)
}

// Sealer makes slots: a *PassphraseCredential, *KeyFile, *Recipient or *Recovery.
type Sealer interface {
	slotKind() SlotKind
	parameters(salt *[SaltSize]byte) ([]byte, error)
	seal(s Suite, params, plaintext []byte, bind *ID, salt *[SaltSize]byte) ([]byte, error)
}

// ErrWrongCredential is wrapped when a slot is intact but not for the credential given.
var ErrWrongCredential = errors.New("wrong password or key")

// PassphraseCredential opens and makes slots with a password, used as the bytes given.
type PassphraseCredential struct {
	hidden
	Argon2 Argon2 // the cost of new slots; all zero means DefaultArgon2
	pw     veiled[string]
}

// Passphrase returns the credential for a password.
func Passphrase(pw string) *PassphraseCredential { return &PassphraseCredential{pw: veil(&pw)} }

func (*PassphraseCredential) slotKind() SlotKind { return PasswordSlot }
func (*PassphraseCredential) fits([]byte) bool   { return true }

func (p *PassphraseCredential) parameters(salt *[SaltSize]byte) ([]byte, error) {
	cost := p.Argon2
	if cost == (Argon2{}) {
		cost = DefaultArgon2()
	}
	if *p.pw() == "" {
		return nil, errors.New("the password is empty")
	}
	return cost.appendParameters(nil, salt), cost.validate()
}

func (p *PassphraseCredential) kek(params []byte) (*Key, error) {
	cost, salt, err := decodeArgon2(params)
	if err != nil {
		return nil, err
	}
	return cost.key(*p.pw(), &salt), nil
}

func (p *PassphraseCredential) seal(s Suite, params, plaintext []byte, bind *ID, salt *[SaltSize]byte) ([]byte, error) {
	kek, err := p.kek(params)
	if err != nil {
		return nil, err
	}
	return sealKeys(s, kek, plaintext, bind, salt), nil
}

func (p *PassphraseCredential) open(s Suite, params, sealed []byte, bind *ID) ([]byte, error) {
	kek, err := p.kek(params)
	if err != nil {
		return nil, err
	}
	return openKeys(s, kek, sealed, bind)
}

// rawSecret is a random 32-byte secret that opens slots of one kind.
type rawSecret struct {
	hidden
	kind   SlotKind
	secret veiled[Key]
}

func (r *rawSecret) slotKind() SlotKind { return r.kind }
func (*rawSecret) fits([]byte) bool     { return true }

func (r *rawSecret) parameters(salt *[SaltSize]byte) ([]byte, error) { return salt[:], nil }

func (r *rawSecret) kek(params []byte) *Key {
	context := "holdfast v1 key file"
	if r.kind == RecoverySlot {
		context = "holdfast v1 recovery key"
	}
	k := Derive(context, r.secret()[:], params)
	return &k
}

func (r *rawSecret) seal(s Suite, params, plaintext []byte, bind *ID, salt *[SaltSize]byte) ([]byte, error) {
	return sealKeys(s, r.kek(params), plaintext, bind, salt), nil
}

func (r *rawSecret) open(s Suite, params, sealed []byte, bind *ID) ([]byte, error) {
	return openKeys(s, r.kek(params), sealed, bind)
}

// sealKeys seals a slot's plaintext under its key-encryption key, with a commitment to that key: without it, one altered slot
// could be made to open under thousands of passwords, and so test them all at once.
func sealKeys(s Suite, kek *Key, plaintext []byte, bind *ID, salt *[SaltSize]byte) []byte {
	c := Derive("holdfast v1 slot commitment", kek[:])
	return sealBox(c[:], s, kek, "slot", salt, plaintext, bind[:])
}

func openKeys(s Suite, kek *Key, sealed []byte, bind *ID) ([]byte, error) {
	c := Derive("holdfast v1 slot commitment", kek[:])
	if len(sealed) < len(c) {
		return nil, fmt.Errorf("%w: %d sealed bytes", ErrAuth, len(sealed))
	}
	if !equal(c[:], sealed[:len(c)]) {
		return nil, ErrWrongCredential
	}
	return OpenBox(nil, s, kek, "slot", sealed[len(c):], bind[:])
}

// Recipient is the public half of an Identity: slots are made for it by whoever knows it.
type Recipient struct {
	pub hpke.PublicKey
}

func (*Recipient) slotKind() SlotKind { return RecipientSlot }

func (r *Recipient) parameters(*[SaltSize]byte) ([]byte, error) { return r.pub.Bytes(), nil }

func (r *Recipient) seal(_ Suite, _, plaintext []byte, bind *ID, _ *[SaltSize]byte) ([]byte, error) {
	return wrap(r.pub, recipientInfo(bind), plaintext)
}

func recipientInfo(bind *ID) []byte { return append([]byte("holdfast v1 slot"), bind[:]...) }

// Identity is a private key that opens the slots made for its Recipient.
type Identity struct {
	hidden
	priv veiled[privateKey]
	pub  []byte
	to   *Recipient
}

func newIdentity(seed *Key) (*Identity, error) {
	priv := newPrivateKey(seed)
	pub, err := priv.public()
	if err != nil {
		return nil, err
	}
	to, err := newRecipient(pub)
	if err != nil {
		return nil, err
	}
	return &Identity{priv: veil(priv), pub: pub, to: to}, nil
}

// Recipient returns the public half.
func (i *Identity) Recipient() *Recipient { return i.to }

func newRecipient(b []byte) (*Recipient, error) {
	pub, err := parsePublic(b)
	if err != nil {
		return nil, err
	}
	return &Recipient{pub: pub}, nil
}

func (*Identity) slotKind() SlotKind        { return RecipientSlot }
func (i *Identity) fits(params []byte) bool { return string(params) == string(i.pub) }

func (i *Identity) open(_ Suite, _, sealed []byte, bind *ID) ([]byte, error) {
	return i.priv().unwrap(recipientInfo(bind), sealed)
}
