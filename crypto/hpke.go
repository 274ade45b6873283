package crypto

import (
	"crypto/hpke"
	"fmt"
	"sync"
)

// Sizes in bytes of HPKE keys and of what wrapping adds, for KEM MLKEM768-X25519 and AEAD AES-256-GCM.
const (
	publicKeySize = 1216
	wrapOverhead  = 1120 + TagSize
)

// privateKey is an HPKE private key, expanded when first used.
type privateKey struct {
	seed   Key
	expand func() (hpke.PrivateKey, error)
}

func newPrivateKey(seed *Key) *privateKey {
	p := &privateKey{seed: *seed}
	p.expand = sync.OnceValues(func() (hpke.PrivateKey, error) { return hpke.MLKEM768X25519().NewPrivateKey(p.seed[:]) })
	return p
}

// public returns the encoded public key.
func (p *privateKey) public() ([]byte, error) {
	priv, err := p.expand()
	if err != nil {
		return nil, err
	}
	return priv.PublicKey().Bytes(), nil
}

// unwrap opens what wrap made. The error wraps ErrAuth.
func (p *privateKey) unwrap(info, wrapped []byte) ([]byte, error) {
	priv, err := p.expand()
	if err != nil {
		return nil, err
	}
	out, err := hpke.Open(priv, hpke.HKDFSHA256(), hpke.AES256GCM(), info, wrapped)
	if err != nil {
		return nil, fmt.Errorf("%w: HPKE", ErrAuth)
	}
	return out, nil
}

func parsePublic(b []byte) (hpke.PublicKey, error) {
	pub, err := hpke.MLKEM768X25519().NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("public key of %d bytes: %w", len(b), err)
	}
	return pub, nil
}

// wrap seals plaintext to pub; the result is wrapOverhead bytes longer.
func wrap(pub hpke.PublicKey, info, plaintext []byte) ([]byte, error) {
	out, err := hpke.Seal(pub, hpke.HKDFSHA256(), hpke.AES256GCM(), info, plaintext)
	if err != nil {
		return nil, fmt.Errorf("wrapping with HPKE: %w", err)
	}
	return out, nil
}
