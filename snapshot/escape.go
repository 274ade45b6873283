package snapshot

import (
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// EscapePath returns how a name or a path of raw bytes is shown where it must be UTF-8, as in [Tree.FS]. Every byte that is not part of
// valid UTF-8, and every backslash, becomes "%{XX}" with two upper-case hexadecimal digits: "caf\xe9" is shown as "caf%{E9}". So that
// nothing is lost, the "%" of a name that holds such a sequence itself is escaped too ("%{E9}" is shown as "%{25}{E9}"); any other "%",
// as in "100%" or "a%20b", is left alone. Different names are shown differently, and names without any of this as they are.
func EscapePath(raw string) string {
	if utf8.ValidString(raw) && !strings.Contains(raw, `\`) && !strings.Contains(raw, "%{") {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRuneInString(raw[i:])
		_, escape := escaped(raw[i:])
		if escape || r == '\\' || r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&b, "%%{%02X}", raw[i])
		} else {
			b.WriteString(raw[i : i+n])
		}
		i += n
	}
	return b.String()
}

// UnescapePath returns the raw bytes of what [EscapePath] made. What it never makes, such as "%{41}" for "A", names nothing: the error
// wraps [fs.ErrNotExist].
func UnescapePath(shown string) (string, error) {
	raw := shown
	if strings.Contains(shown, "%{") {
		raw = unescape(shown)
	}
	if EscapePath(raw) != shown {
		return "", fmt.Errorf("%q is not how any name is escaped: %w", shown, fs.ErrNotExist)
	}
	return raw, nil
}

func unescape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if c, ok := escaped(s); ok {
			b.WriteByte(c)
			s = s[len("%{XX}"):]
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

// escaped returns the byte that s begins with in escaped form, if it does.
func escaped(s string) (byte, bool) {
	if len(s) < len("%{XX}") || s[:2] != "%{" || s[4] != '}' {
		return 0, false
	}
	high, ok1 := hexDigit(s[2])
	low, ok2 := hexDigit(s[3])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
