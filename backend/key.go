package backend

import (
	"fmt"
	"io/fs"
	"strings"
)

// Limits of keys, in bytes and segments.
const (
	// MaxKeyLen is the greatest length of a key.
	MaxKeyLen = 512
	// MaxKeySegments is the greatest number of segments of a key.
	MaxKeySegments = 8
	// MaxSegmentLen is the greatest length of one segment of a key.
	MaxSegmentLen = 200
)

// KeyError reports a key or prefix that breaks the rules of [CheckKey] or [CheckPrefix]. It is fs.ErrInvalid.
type KeyError struct {
	// Key is the key or prefix as it was given.
	Key string
	// Reason says which rule it breaks.
	Reason string
}

// Error names the key and the broken rule.
func (e *KeyError) Error() string {
	key := e.Key
	if len(key) > MaxKeyLen {
		key = key[:MaxKeyLen] + "..."
	}
	return fmt.Sprintf("invalid key %q: %s", key, e.Reason)
}

// Unwrap returns fs.ErrInvalid.
func (e *KeyError) Unwrap() error { return fs.ErrInvalid }

// CheckKey returns nil if key can name an object, else a [*KeyError]. A key consists of 1 to [MaxKeySegments] segments
// separated by "/", each of 1 to [MaxSegmentLen] bytes out of a-z, 0-9, ".", "_" and "-", and has at most [MaxKeyLen]
// bytes in all. No segment begins with ".". The first segments "tmp" and "locks" are reserved: drivers keep files being
// written and kernel locks there.
func CheckKey(key string) error {
	if reason := keyFault(key); reason != "" {
		return &KeyError{Key: key, Reason: reason}
	}
	return nil
}

// CheckPrefix returns nil if prefix is empty or a valid key followed by "/", else a [*KeyError].
func CheckPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	key, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return &KeyError{Key: prefix, Reason: `a prefix is empty or ends with "/"`}
	}
	if reason := keyFault(key); reason != "" {
		return &KeyError{Key: prefix, Reason: reason}
	}
	return nil
}

func keyFault(key string) string {
	if len(key) > MaxKeyLen {
		return fmt.Sprintf("longer than %d bytes", MaxKeyLen)
	}
	segments := 0
	for segment := range strings.SplitSeq(key, "/") {
		if reason := segmentFault(segment); reason != "" {
			return reason
		}
		if segments == 0 && (segment == "tmp" || segment == "locks") {
			return fmt.Sprintf("the first segment %q is reserved", segment)
		}
		segments++
	}
	if segments > MaxKeySegments {
		return fmt.Sprintf("more than %d segments", MaxKeySegments)
	}
	return ""
}

func segmentFault(segment string) string {
	switch {
	case segment == "":
		return "an empty segment"
	case segment[0] == '.':
		return `a segment that begins with "."`
	case len(segment) > MaxSegmentLen:
		return fmt.Sprintf("a segment longer than %d bytes", MaxSegmentLen)
	}
	for i := range len(segment) {
		c := segment[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return fmt.Sprintf("byte 0x%02x at place %d of a segment", c, i)
		}
	}
	return ""
}
