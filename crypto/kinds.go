package crypto

import "fmt"

// Class says what a chunk, and so a pack and a session key, is about, and thereby who can read it.
type Class uint8

// The classes. Numbers are those of the format.
const (
	Data Class = 1 // file contents; readable with the DATA private key
	Meta Class = 2 // names and attributes; readable with the META private key
	Map  Class = 3 // content maps and reference nodes; readable by every role
)

// Valid reports whether c is one of the classes.
func (c Class) Valid() bool { return c >= Data && c <= Map }

// String returns "DATA", "META" or "MAP".
func (c Class) String() string {
	switch c {
	case Data:
		return "DATA"
	case Meta:
		return "META"
	case Map:
		return "MAP"
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// Role is what a keyring may do.
type Role uint8

// The roles. Numbers are those of the format; docs/format.md section 3 says which keys each holds.
const (
	Admin     Role = 1 // all keys; makes keyrings for others
	Writer    Role = 2 // names and seals chunks, opens only class MAP
	Reader    Role = 3 // opens everything, cannot cut chunks as writers do
	Collector Role = 4 // sees ids and lengths; opens only class MAP
)

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r >= Admin && r <= Collector }

// String returns the role's name in lower case, as ParseRole reads it.
func (r Role) String() string {
	switch r {
	case Admin:
		return "admin"
	case Writer:
		return "writer"
	case Reader:
		return "reader"
	case Collector:
		return "collector"
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	for r := Admin; r <= Collector; r++ {
		if r.String() == s {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q is not admin, writer, reader or collector", s)
}

// Suite is an authenticated cipher.
type Suite uint8

// The suites. Numbers are those of the format. Both have 32-byte keys and 16-byte tags.
const (
	AES256GCM         Suite = 1
	XChaCha20Poly1305 Suite = 2
)

// Valid reports whether s is one of the suites.
func (s Suite) Valid() bool { return s == AES256GCM || s == XChaCha20Poly1305 }

// String returns "aes-256-gcm" or "xchacha20-poly1305".
func (s Suite) String() string {
	switch s {
	case AES256GCM:
		return "aes-256-gcm"
	case XChaCha20Poly1305:
		return "xchacha20-poly1305"
	}
	return fmt.Sprintf("suite(%d)", uint8(s))
}

// ParseSuite reads what String writes for a valid suite.
func ParseSuite(s string) (Suite, error) {
	for _, v := range []Suite{AES256GCM, XChaCha20Poly1305} {
		if v.String() == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("cipher suite %q is not %s or %s", s, AES256GCM, XChaCha20Poly1305)
}
