package specreader

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/base32"
	"encoding/hex"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The kinds of slots.
const kindPassword, kindKeyFile, kindRecipient, kindRecovery = 1, 2, 3, 4

// Credential opens slots. Its zero value opens none: it is an auditor's, who verifies the ledger.
type Credential struct {
	kind    uint8
	secret  []byte
	private hpke.PrivateKey
}

// Password returns the credential for a password.
func Password(password string) Credential {
	return Credential{kind: kindPassword, secret: []byte(password)}
}

// KeyFile reads the text of a key file.
func KeyFile(text string) (c Credential, err error) {
	defer during(&err, "reading a key file")
	return Credential{kind: kindKeyFile, secret: readText(text, "holdfast-key-1 ", 32)}, nil
}

// Identity reads the text of a recipient's private key.
func Identity(text string) (c Credential, err error) {
	defer during(&err, "reading an identity")
	return Credential{kind: kindRecipient, private: privateKey(readText(text, "holdfast-identity-1 ", 32))}, nil
}

func readText(text, prefix string, size int) []byte {
	digits, ok := strings.CutPrefix(strings.TrimSpace(text), prefix)
	b, err := hex.DecodeString(digits)
	check(ok && err == nil && len(b) == size, "not %q and %d bytes in hexadecimal digits", prefix, size)
	return b
}

// Recovery reads a printed recovery key.
func Recovery(text string) (c Credential, err error) {
	defer during(&err, "reading a recovery key")
	text = strings.ToUpper(strings.Join(strings.Fields(text), ""))
	text = strings.NewReplacer("-", "", "O", "0", "I", "1", "L", "1").Replace(text)
	crockford := base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)
	b := must(crockford.DecodeString(text))
	check(len(b) == 37 && crockford.EncodeToString(b) == text, "not 60 characters, or not the last four bits zero")
	sum := hash(b[:32])
	check(bytes.Equal(sum[:5], b[32:]), "mistyped")
	return Credential{kind: kindRecovery, secret: b[:32]}, nil
}

// The roles.
const roleAdmin, roleWriter, roleReader, roleCollector = 1, 2, 3, 4

// slot is a key slot object.
type slot struct {
	kind, role, suite, lanes uint8
	slotID                   name16
	genesis, actor, aad      ID // actor is a public key
	time, memory             uint32
	salt, public, sealed     []byte
}

func parseSlot(b []byte) *slot {
	check(len(b) >= 32, "ends too early")
	body := b[:len(b)-32]
	check(hash(body) == ID(b[len(body):]), "damaged")
	return whole(body, func(d *decoder) *slot {
		d.header("HFSLOT")
		s := &slot{kind: d.among(1, 7), role: d.among(roleAdmin, roleCollector), suite: d.among(1, 2), slotID: d.name(), genesis: d.id()}
		d.i64() // when it was made
		s.actor = d.id()
		check(utf8.ValidString(d.text(256)), "label is not UTF-8")
		parameters := &decoder{b: d.bytes()}
		s.aad = hash(d.before())
		s.sealed = d.fixed(d.within(0, 64<<10))
		switch s.kind {
		case kindRecipient:
			s.public = parameters.fixed(publicSize)
		case kindPassword:
			s.time, s.memory, s.lanes = parameters.u32(), parameters.u32(), parameters.among(1, 64)
			check(s.time >= 1 && s.time <= 64 && s.memory >= 8*uint32(s.lanes) && s.memory <= 2<<20 && uint64(s.time)*uint64(s.memory) <= 16<<20,
				"time %d, memory %d KiB, lanes %d", s.time, s.memory, s.lanes)
			fallthrough
		case kindKeyFile, kindRecovery:
			s.salt = parameters.fixed(32)
		}
		check(len(parameters.b) == 0 || s.kind > kindRecovery && len(parameters.b) <= 4096, "parameters too long")
		return s
	})
}

// open returns the keys inside, or nil if the slot was not made for the credential.
func (s *slot) open(c *Credential) *keys {
	var kek []byte
	switch {
	case s.kind != c.kind || s.kind == kindRecipient && !bytes.Equal(c.private.PublicKey().Bytes(), s.public):
		return nil
	case s.kind == kindRecipient:
		return s.readKeys(openHPKE(c.private, append([]byte("holdfast v1 slot"), s.aad[:]...), s.sealed))
	case s.kind == kindPassword:
		kek = argon2.IDKey(c.secret, s.salt, s.time, s.memory, s.lanes, 32)
	default:
		context := map[uint8]string{kindKeyFile: "holdfast v1 key file", kindRecovery: "holdfast v1 recovery key"}[s.kind]
		kek = derive(context, 32, c.secret, s.salt)
	}
	if !bytes.HasPrefix(s.sealed, derive("holdfast v1 slot commitment", 32, kek)) {
		return nil
	}
	return s.readKeys(openBox(s.suite, kek, "slot", s.aad[:], s.sealed[32:]))
}

// fields says which fields a role holds.
var fields = [...][]uint8{roleAdmin: {1, 2, 4, 5, 6, 7}, roleWriter: {1, 2, 4, 7}, roleReader: {1, 4, 5, 6, 7}, roleCollector: {3, 4, 7}}

func (s *slot) readKeys(plain []byte) *keys {
	k, last := &keys{}, uint64(0)
	for d := (&decoder{plain, plain}); len(d.b) > 0; {
		tag, epoch := d.among(1, 7), uint32(0)
		whole(d.bytes(), func(v *decoder) any {
			if tag >= tagMapKey && tag <= tagMetaKey {
				epoch = v.u32()
				check(epoch >= 1, "epoch 0")
			}
			if k[tag] == nil {
				k[tag] = map[uint32][]byte{}
			}
			k[tag][epoch] = v.fixed(32)
			return nil
		})
		order := uint64(tag)<<32 | uint64(epoch)
		check(order > last, "field %d is out of order", tag)
		last = order
	}
	for tag := range k {
		check((k[tag] != nil) == slices.Contains(fields[s.role], uint8(tag)), "field %d of role %d", tag, s.role)
		if tag == tagDataKey || tag == tagMetaKey {
			for epoch := range k[tag] {
				k.mapKey(epoch)
			}
			check(k[tag] == nil || len(k[tag]) == len(k[tagMapKey]), "field %d for some epochs only", tag)
		}
	}
	check(bytes.Equal(ed25519.NewKeyFromSeed(k[tagSeed][0])[32:], s.actor[:]), "the seed is not the actor's")
	return k
}
