package snapshot

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// SearchOptions say what [Search] looks for; nil means all fields zero, which is everything.
type SearchOptions struct {
	// Patterns match an entry by its last components: foo and b*/foo both match /bar/foo, /foo matches in the root only. "*", "?",
	// "[a-z]" and "{a,b}" do not match "/"; "**" is any number of components. One of the patterns must match.
	Patterns []string
	// IgnoreCase compares without regard to case.
	IgnoreCase bool
	// Since and Until bound the modification time; zero means no bound.
	Since, Until time.Time
}

// Validate tells whether [Search] takes the options. Its errors wrap [ErrPattern].
func (o *SearchOptions) Validate() error {
	_, err := newSearcher(o)
	return err
}

// ErrPattern is wrapped by the errors for patterns that cannot be understood.
var ErrPattern = errors.New("bad pattern")

// Found is an entry of a snapshot.
type Found struct {
	Path string // absolute, as raw bytes
	Node *tree.Node
}

// searcher holds the patterns as they are compared.
type searcher struct {
	opts     SearchOptions
	patterns []string
}

// Search yields the entries of a snapshot that match, in the order of a walk. A folder that cannot be read is yielded as an error,
// with its path, and the search goes on after it; an error of ctx or of a pattern ends it.
func Search(ctx context.Context, r *repo.Repository, m *Manifest, opts *SearchOptions) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		s, err := newSearcher(opts)
		if err != nil {
			yield(Found{}, err)
			return
		}
		stopped := errors.New("stopped")
		err = tree.Walk(ctx, r, m.Root, func(p string, n *tree.Node, err error) error {
			f := Found{Path: "/" + p, Node: n}
			if err == nil && !s.match(f.Path, n) {
				return nil
			}
			if !yield(f, err) {
				return stopped
			}
			return nil
		})
		if err != nil && err != stopped {
			yield(Found{}, err)
		}
	}
}

func newSearcher(opts *SearchOptions) (*searcher, error) {
	s := &searcher{}
	if opts != nil {
		s.opts = *opts
	}
	for _, p := range s.opts.Patterns {
		full := path.Clean(p)
		if p == "" || !doublestar.ValidatePattern(full) {
			return nil, fmt.Errorf("%w %q", ErrPattern, p)
		}
		if !strings.HasPrefix(full, "/") {
			full = "/**/" + full
		}
		s.patterns = append(s.patterns, s.fold(full))
	}
	return s, nil
}

func (s *searcher) fold(text string) string {
	if s.opts.IgnoreCase {
		return strings.ToLower(text)
	}
	return text
}

func (s *searcher) match(p string, n *tree.Node) bool {
	o := &s.opts
	if !o.Since.IsZero() && n.ModTime < o.Since.UnixNano() || !o.Until.IsZero() && n.ModTime > o.Until.UnixNano() {
		return false
	}
	if len(s.patterns) == 0 {
		return true
	}
	p = s.fold(p)
	for _, pattern := range s.patterns {
		if doublestar.MatchUnvalidated(pattern, p) {
			return true
		}
	}
	return false
}
