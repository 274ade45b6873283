package restore

import (
	"fmt"

	"github.com/holdfast-backup/holdfast/internal/pattern"
)

// filter decides what of a tree is restored.
type filter struct {
	include, exclude []*pattern.List
}

func newFilter(o *TreeOptions) (*filter, error) {
	f := &filter{}
	for _, in := range []struct {
		patterns []string
		fold     bool
		to       *[]*pattern.List
		what     string
	}{
		{o.Include, false, &f.include, "including"}, {o.IInclude, true, &f.include, "including"},
		{o.Exclude, false, &f.exclude, "excluding"}, {o.IExclude, true, &f.exclude, "excluding"},
	} {
		l, err := pattern.Compile(in.patterns, &pattern.Options{FoldCase: in.fold})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.what, err)
		}
		if l.Len() > 0 {
			*in.to = append(*in.to, l)
		}
	}
	return f, nil
}

// selection is a filter at one folder.
type selection struct {
	filter  *filter
	include []*pattern.Cursor
	exclude []*pattern.Cursor
	path    string // of the folder; only kept while something may be included below it
}

func (f *filter) root() selection {
	s := selection{filter: f, path: "/"}
	for _, l := range f.include {
		s.include = append(s.include, l.At("/"))
	}
	for _, l := range f.exclude {
		s.exclude = append(s.exclude, l.At("/"))
	}
	return s
}

// selected reports whether an entry of the folder is restored.
func (s *selection) selected(name string) bool {
	return !s.excluded(name) && s.included(name)
}

func (s *selection) excluded(name string) bool {
	for _, c := range s.exclude {
		if c.Match(name) {
			return true
		}
	}
	return false
}

func (s *selection) included(name string) bool {
	for _, c := range s.include {
		if c.Match(name) {
			return true
		}
	}
	return len(s.include) == 0
}

// leads reports whether something below a folder in the folder may be selected.
func (s *selection) leads(name string) bool {
	if s.excluded(name) {
		return false
	}
	if s.included(name) {
		return true
	}
	for _, l := range s.filter.include {
		if l.Below(s.path + name) {
			return true
		}
	}
	return false
}

// enter returns the selection in a folder of the folder.
func (s *selection) enter(name string) selection {
	below := selection{filter: s.filter}
	if len(s.include) > 0 {
		below.path = s.path + name + "/"
	}
	for _, c := range s.include {
		below.include = append(below.include, c.Enter(name))
	}
	for _, c := range s.exclude {
		below.exclude = append(below.exclude, c.Enter(name))
	}
	return below
}
