// Package pattern matches paths against lists of exclude or include patterns, as backup and restore offer them.
//
// # Patterns
//
// A pattern is one or more components joined by "/". It matches a path when its components equal a run of whole
// components of the path: foo matches /a/foo and, because what is below a match is matched too, /a/foo/b, but not
// /a/foobar. In a component "*" stands for any number of bytes, "?" for one character, "[a-z]" and "[^a-z]" for one
// character of a set, and "\" makes the next character literal; none of them matches "/". The component "**" stands for
// any number of components, none included: foo/**/bar matches /foo/bar and /foo/x/y/bar. A leading "/" anchors a
// pattern at the root; a trailing "/" is ignored.
//
// In a list the last pattern that matches decides. A pattern that starts with "!" takes a match back, which works only
// for paths whose folders were not excluded, since nobody looks into those. A name that starts with "!" is written "\!".
//
// These are restic's rules for the options of the same names. Names are bytes: a name that is not UTF-8 matches "*" and
// is compared byte by byte.
package pattern

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// ErrPattern is wrapped by the errors for patterns that cannot be understood.
var ErrPattern = errors.New("bad pattern")

// List is an ordered list of patterns. It never changes and is safe for concurrent use. A nil *List matches nothing.
type List struct {
	patterns []compiled
	fold     bool
}

// Options change how a List matches. A nil *Options means none of them.
type Options struct {
	FoldCase bool // compare names without regard to case
}

// Compile reads patterns, in the order in which they apply. Its errors name the pattern and wrap ErrPattern.
func Compile(patterns []string, o *Options) (*List, error) {
	l := &List{fold: o != nil && o.FoldCase}
	for _, s := range patterns {
		p, err := l.compile(s)
		if err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrPattern, s, err)
		}
		l.patterns = append(l.patterns, p)
	}
	return l, nil
}

// Len returns the number of patterns.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	return len(l.patterns)
}

// Match reports whether the list matches the path name: some pattern matches it or a folder above it, and no later
// pattern takes that back. Components are separated by "/"; empty ones are ignored and the path counts from the root.
func (l *List) Match(name string) bool {
	if l.Len() == 0 {
		return false
	}
	return l.At(name).Matched()
}

// Below reports whether something below the folder dir may be matched, so that a walk that looks for matches must enter
// it. It may be true where nothing is, never false where something is.
func (l *List) Below(dir string) bool {
	if l.Len() == 0 {
		return false
	}
	var comps []string
	for c := range l.components(dir) {
		comps = append(comps, c)
	}
	for i := range l.patterns {
		if p := &l.patterns[i]; !p.negated && p.below(comps) {
			return true
		}
	}
	return false
}

// components yields the components of a path as this list compares them.
func (l *List) components(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for c := range strings.SplitSeq(name, "/") {
			if c != "" && !yield(l.canon(c)) {
				return
			}
		}
	}
}

// canon returns a name as this list compares it.
func (l *List) canon(name string) string {
	if l.fold {
		return fold(name)
	}
	return name
}

// compiled is one pattern: it matches a path whose last components match parts.
type compiled struct {
	parts    []part
	anchored bool // nothing may come before parts
	negated  bool
}

func (l *List) compile(s string) (compiled, error) {
	var c compiled
	s, c.negated = strings.CutPrefix(s, "!")
	if s == "" {
		return c, errors.New("it is empty")
	}
	s = path.Clean(s)
	s, c.anchored = strings.CutPrefix(s, "/")
	if s == "" {
		return c, nil // the root, and all below it
	}
	for comp := range strings.SplitSeq(s, "/") {
		p, err := newPart(l.canon(comp))
		if err != nil {
			return c, err
		}
		if p.kind == anyDepth && len(c.parts) > 0 && c.parts[len(c.parts)-1].kind == anyDepth {
			continue
		}
		c.parts = append(c.parts, p)
	}
	return c, nil
}

// endsAt reports whether the pattern matches the path n itself (and not just a folder above it). It runs from the last
// component to the first, and on a mismatch lets the last "**" it passed take one component more; an earlier "**" never
// needs to be tried again, so the time is bounded by components times parts.
func (c *compiled) endsAt(n *node) bool {
	i := len(c.parts) - 1
	star, starAt := -1, (*node)(nil) // the last "**" passed, and where it stopped
	for {
		switch {
		case i < 0 && (n == nil || !c.anchored):
			return true
		case i >= 0 && c.parts[i].kind == anyDepth:
			star, starAt = i, n
			i--
		case i >= 0 && n != nil && c.parts[i].match(n.name):
			i--
			n = n.up
		case star >= 0 && starAt != nil:
			starAt = starAt.up
			i, n = star-1, starAt
		default:
			return false
		}
	}
}

// below reports whether the pattern may match something below the folder with these components.
func (c *compiled) below(comps []string) bool {
	if !c.anchored {
		return true
	}
	for i, comp := range comps {
		if i == len(c.parts) || c.parts[i].kind == anyDepth {
			return true
		}
		if !c.parts[i].match(comp) {
			return false
		}
	}
	return true
}
