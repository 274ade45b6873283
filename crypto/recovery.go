package crypto

import (
	"errors"
	"fmt"
	"strings"
)

// base32Alphabet is Crockford's: without I, L, O and U.
const base32Alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Sizes of a printed recovery key: 32 + 5 bytes and 4 zero bits are 60 characters in 12 groups.
const (
	recoveryCheck = 5
	recoveryChars = 60
	recoveryGroup = 5
)

// Recovery is a random secret in a form to be printed and typed. It opens and makes slots.
type Recovery struct{ rawSecret }

// NewRecovery draws a secret and returns it with its printable form: twelve groups of five letters and digits.
func NewRecovery() (text string, c *Recovery) {
	k := NewKey()
	return formatRecovery(&k), newRecovery(&k)
}

func newRecovery(k *Key) *Recovery { return &Recovery{rawSecret{kind: RecoverySlot, secret: veil(k)}} }

// ParseRecovery reads what NewRecovery printed. Case, white space and dashes do not matter, O reads as 0, I and L as 1. A wrong
// or swapped character is found by a 40-bit checksum. Errors do not repeat the key.
func ParseRecovery[T string | []byte](text T) (*Recovery, error) {
	k, err := parseRecovery(string(text))
	if err != nil {
		return nil, fmt.Errorf("reading a recovery key: %w", err)
	}
	return newRecovery(k), nil
}

func formatRecovery(k *Key) string {
	h := Hash(k[:])
	in := append(k[:len(k):len(k)], h[:recoveryCheck]...)
	var b strings.Builder
	for i := range recoveryChars {
		if i > 0 && i%recoveryGroup == 0 {
			b.WriteByte('-')
		}
		v := 0
		for bit := 5 * i; bit < 5*i+5; bit++ {
			v <<= 1
			if bit < 8*len(in) {
				v |= int(in[bit/8]>>(7-bit%8)) & 1
			}
		}
		b.WriteByte(base32Alphabet[v])
	}
	return b.String()
}

func parseRecovery(text string) (*Key, error) {
	var bits [(recoveryChars*5 + 7) / 8]byte
	n := 0
	for _, c := range text {
		if strings.ContainsRune(" -\t\r\n", c) {
			continue
		}
		v := base32Value(c)
		if v < 0 {
			return nil, fmt.Errorf("character %d is %q, which never occurs in one", n+1, c)
		}
		if n < recoveryChars {
			for j := range 5 {
				bit := 5*n + j
				bits[bit/8] |= byte(v>>(4-j)&1) << (7 - bit%8)
			}
		}
		n++
	}
	if n != recoveryChars {
		return nil, fmt.Errorf("it has %d characters, want %d", n, recoveryChars)
	}
	k := Key(bits[:32])
	h := Hash(k[:])
	if string(bits[32:32+recoveryCheck]) != string(h[:recoveryCheck]) || bits[32+recoveryCheck] != 0 {
		return nil, errors.New("its checksum does not match: a character is wrong, or two are swapped")
	}
	return &k, nil
}

func base32Value(c rune) int {
	switch c {
	case 'o', 'O':
		return 0
	case 'i', 'I', 'l', 'L':
		return 1
	}
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return strings.IndexRune(base32Alphabet, c)
}
