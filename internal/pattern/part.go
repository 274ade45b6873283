package pattern

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

type partKind uint8

const (
	literal  partKind = iota // equal to text
	prefix                   // text*
	suffix                   // *text
	anyName                  // *
	glob                     // anything path.Match knows
	anyDepth                 // **, any number of components
)

// part is one component of a pattern. The kinds besides glob are what most patterns are made of, and much faster.
type part struct {
	text string
	kind partKind
}

func newPart(s string) (part, error) {
	if s == "**" {
		return part{kind: anyDepth}, nil
	}
	if _, err := path.Match(s, ""); err != nil {
		return part{}, err
	}
	const meta = `*?[\`
	switch {
	case !strings.ContainsAny(s, meta):
		return part{s, literal}, nil
	case strings.Trim(s, "*") == "":
		return part{kind: anyName}, nil
	case s[0] == '*' && !strings.ContainsAny(s[1:], meta):
		return part{s[1:], suffix}, nil
	case s[len(s)-1] == '*' && !strings.ContainsAny(s[:len(s)-1], meta):
		return part{s[:len(s)-1], prefix}, nil
	}
	return part{s, glob}, nil
}

// match reports whether one component of a path, which is not empty, matches. It must not be asked about anyDepth.
func (p *part) match(name string) bool {
	switch p.kind {
	case literal:
		return name == p.text
	case prefix:
		return strings.HasPrefix(name, p.text)
	case suffix:
		return strings.HasSuffix(name, p.text)
	case anyName:
		return true
	}
	ok, err := path.Match(p.text, name)
	return ok && err == nil
}

// fold returns s in lower case. Bytes that are not UTF-8 stay as they are, so that different names stay different.
func fold(s string) string {
	if utf8.ValidString(s) {
		return strings.ToLower(s)
	}
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			b = append(b, s[0])
		} else {
			b = utf8.AppendRune(b, unicode.ToLower(r))
		}
		s = s[n:]
	}
	return string(b)
}
