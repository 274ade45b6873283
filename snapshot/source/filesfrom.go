package source

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/holdfast-backup/holdfast/internal/pattern"
)

// ListForm is how a list of paths is written.
type ListForm uint8

// The forms of lists of paths.
const (
	// ListPatterns has one pattern of path/filepath.Glob a line, blanks around it ignored, empty lines and comments (#)
	// too, in UTF-8 or, with a byte-order mark, UTF-16.
	ListPatterns ListForm = iota
	// ListVerbatim has one path a line, as it is; empty lines are ignored.
	ListVerbatim
	// ListRaw has paths that each end with a NUL byte, as `find -print0` writes them.
	ListRaw
)

// ErrList is wrapped by the errors for lists that are malformed.
var ErrList = errors.New("malformed list of paths")

// PathList is a list of paths, as they were written or found.
type PathList struct {
	Paths     []string
	Unmatched []string // patterns that no file matched
}

// ReadPaths reads a list of paths. Of ListPatterns it returns what the patterns match at this moment. Whether the paths
// of the other forms exist is not its business.
func ReadPaths(r io.Reader, form ListForm) (*PathList, error) {
	switch form {
	case ListPatterns:
		text, err := pattern.ReadText(r)
		if err != nil {
			return nil, fmt.Errorf("reading list of paths: %w", err)
		}
		return globPaths(pattern.Lines(text))
	case ListVerbatim, ListRaw:
		return splitPaths(r, form)
	}
	return nil, fmt.Errorf("reading list of paths: unknown form %d", form)
}

func globPaths(patterns []string) (*PathList, error) {
	l := &PathList{}
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("%w: pattern %q: %w", ErrList, p, err)
		}
		if len(found) == 0 {
			l.Unmatched = append(l.Unmatched, p)
		}
		l.Paths = append(l.Paths, found...)
	}
	return l, nil
}

func splitPaths(r io.Reader, form ListForm) (*PathList, error) {
	raw, err := io.ReadAll(io.LimitReader(r, pattern.MaxText+1))
	if err != nil {
		return nil, fmt.Errorf("reading list of paths: %w", err)
	}
	text := string(raw)
	sep := "\n"
	switch {
	case len(text) > pattern.MaxText:
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrList, pattern.MaxText)
	case form == ListRaw && text != "" && text[len(text)-1] != 0:
		return nil, fmt.Errorf("%w: the last path does not end with NUL", ErrList)
	case form == ListRaw:
		sep, text = "\x00", strings.TrimSuffix(text, "\x00")
	case strings.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%w: it has NUL bytes; is it meant to be a raw one?", ErrList)
	}
	l := &PathList{}
	if text == "" && form == ListVerbatim || len(raw) == 0 {
		return l, nil
	}
	for p := range strings.SplitSeq(text, sep) {
		if form == ListVerbatim && runtime.GOOS == "windows" {
			p = strings.TrimSuffix(p, "\r")
		}
		if p == "" {
			if form == ListRaw {
				return nil, fmt.Errorf("%w: it has an empty path", ErrList)
			}
			continue
		}
		l.Paths = append(l.Paths, p)
	}
	return l, nil
}
