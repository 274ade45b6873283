package crypto

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// First words of the text forms; each is followed by a space and hexadecimal digits.
const (
	keyFilePrefix   = "holdfast-key-1"
	identityPrefix  = "holdfast-identity-1"
	recipientPrefix = "holdfast-recipient-1"
)

// recipientCheck is how many bytes of its hash follow a recipient's public key: a slot for a mistyped one would open for nobody.
const recipientCheck = 4

// KeyFile is a random secret kept in a file. It opens and makes slots.
type KeyFile struct{ rawSecret }

// NewKeyFile draws a secret and returns it with the text of its file, one line.
func NewKeyFile() (text []byte, c *KeyFile) {
	k := NewKey()
	return writeText(keyFilePrefix, k[:]), newKeyFile(&k)
}

func newKeyFile(k *Key) *KeyFile { return &KeyFile{rawSecret{kind: KeyFileSlot, secret: veil(k)}} }

// ParseKeyFile reads the text of a key file. White space around it is ignored. Errors do not repeat the text.
func ParseKeyFile[T string | []byte](text T) (*KeyFile, error) {
	k, err := parseSecret(keyFilePrefix, string(text))
	if err != nil {
		return nil, fmt.Errorf("reading a key file: %w", err)
	}
	return newKeyFile(k), nil
}

// NewIdentity draws a private key and returns it with its text, one line, to be kept secret.
func NewIdentity() (text []byte, c *Identity, err error) {
	k := NewKey()
	if c, err = newIdentity(&k); err != nil {
		return nil, nil, fmt.Errorf("making an identity: %w", err)
	}
	return writeText(identityPrefix, k[:]), c, nil
}

// ParseIdentity reads the text of an identity. White space around it is ignored. Errors do not repeat the text.
func ParseIdentity[T string | []byte](text T) (*Identity, error) {
	k, err := parseSecret(identityPrefix, string(text))
	if err != nil {
		return nil, fmt.Errorf("reading an identity: %w", err)
	}
	c, err := newIdentity(k)
	if err != nil {
		return nil, fmt.Errorf("reading an identity: %w", err)
	}
	return c, nil
}

// Text returns the text of the recipient, one line, which ParseRecipient reads. It is public.
func (r *Recipient) Text() []byte {
	pub := r.pub.Bytes()
	h := Hash(pub)
	return writeText(recipientPrefix, append(pub, h[:recipientCheck]...))
}

// String returns the text of the recipient without the newline.
func (r *Recipient) String() string { return strings.TrimSpace(string(r.Text())) }

// ParseRecipient reads the text of a recipient. White space around it is ignored; a mistyped one is an error.
func ParseRecipient[T string | []byte](text T) (*Recipient, error) {
	b, err := parseText(recipientPrefix, string(text), publicKeySize+recipientCheck)
	if err != nil {
		return nil, fmt.Errorf("reading a recipient: %w", err)
	}
	pub := b[:publicKeySize]
	if h := Hash(pub); string(h[:recipientCheck]) != string(b[publicKeySize:]) {
		return nil, errors.New("reading a recipient: its checksum does not match, a character is wrong")
	}
	r, err := newRecipient(pub)
	if err != nil {
		return nil, fmt.Errorf("reading a recipient: %w", err)
	}
	return r, nil
}

func writeText(prefix string, b []byte) []byte {
	out := append([]byte(prefix), ' ')
	return append(hex.AppendEncode(out, b), '\n')
}

func parseSecret(prefix, text string) (*Key, error) {
	b, err := parseText(prefix, text, len(Key{}))
	if err != nil {
		return nil, err
	}
	k := Key(b)
	return &k, nil
}

// parseText reads the text form of size bytes. Its errors hold nothing of the text but a known first word.
func parseText(prefix, text string, size int) ([]byte, error) {
	text = strings.TrimSpace(text)
	for _, p := range []string{keyFilePrefix, identityPrefix, recipientPrefix} {
		if p != prefix && strings.HasPrefix(text, p+" ") {
			return nil, fmt.Errorf("it is a %s, not a %s", p, prefix)
		}
	}
	digits, ok := strings.CutPrefix(text, prefix+" ")
	if !ok {
		return nil, fmt.Errorf("it does not start with %q", prefix+" ")
	}
	if len(digits) != 2*size {
		return nil, fmt.Errorf("it has %d characters after %q, want %d", len(digits), prefix+" ", 2*size)
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("it has a character after %q that is no hexadecimal digit", prefix+" ")
	}
	return b, nil
}
