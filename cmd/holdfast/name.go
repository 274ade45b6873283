package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jsonName returns a path or a name, which may be any bytes, as text from which the bytes can be had back: each byte that is not part
// of UTF-8 is written \xNN, and so is a backslash (\x5c) where it would otherwise look like the start of one. Whoever
// reads it replaces each \xNN (two lower-case hexadecimal digits) by that byte; other names are as they are.
func jsonName(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, `\x`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\\' && looksEscaped(s[i:]):
			b.WriteString(`\x5c`)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func looksEscaped(s string) bool {
	const hex = "0123456789abcdef"
	return len(s) >= 4 && s[1] == 'x' && strings.IndexByte(hex, s[2]) >= 0 && strings.IndexByte(hex, s[3]) >= 0
}

func jsonNames(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = jsonName(s)
	}
	return out
}

// printable makes control characters, and bytes that are no text, visible.
func printable(s string) string {
	clean := func(r rune) bool { return r != utf8.RuneError && (unicode.IsPrint(r) || r == ' ') }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if clean(r) {
			b.WriteString(s[i : i+n])
		} else {
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		i += n
	}
	return b.String()
}
