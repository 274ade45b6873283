package main

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// filterFlags select snapshots.
type filterFlags struct {
	hosts, tags, paths []string
}

func (f *filterFlags) register(s *pflag.FlagSet) { f.registerShort(s, "H") }

// registerShort is register with another short name for --host, or "" for none.
func (f *filterFlags) registerShort(s *pflag.FlagSet, host string) {
	s.StringArrayVarP(&f.hosts, "host", host, nil, "only snapshots of this `host` (repeatable)")
	s.StringArrayVar(&f.tags, "tag", nil, "only snapshots with all of these `tags`, separated by commas (repeatable: any of them; \"\" is untagged)")
	s.StringArrayVar(&f.paths, "path", nil, "only snapshots that have this `path` (repeatable: all of them)")
}

func (f *filterFlags) empty() bool { return len(f.hosts)+len(f.tags)+len(f.paths) == 0 }

func (f *filterFlags) filter() (*snapshot.Filter, error) {
	out := &snapshot.Filter{Hosts: f.hosts}
	for _, t := range f.tags {
		out.Tags = append(out.Tags, splitTags(t))
	}
	for _, p := range f.paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		out.Paths = append(out.Paths, filepath.ToSlash(abs))
	}
	return out, nil
}

// splitTags splits a list at commas; empty tags do not count.
func splitTags(s string) []string {
	list := []string{}
	for t := range strings.SplitSeq(s, ",") {
		if t = strings.TrimSpace(t); t != "" {
			list = append(list, t)
		}
	}
	return list
}

// find returns the snapshot of an argument.
func (f *filterFlags) find(ctx context.Context, r *openRepo, name string) (*snapshot.Manifest, error) {
	filter, err := f.filter()
	if err != nil {
		return nil, err
	}
	return snapshot.Find(ctx, r.Repository, name, filter)
}

// named returns the snapshots of arguments, each once, among the live ones or those that were forgotten.
func (f *filterFlags) named(ctx context.Context, r *openRepo, args []string, forgotten bool) (list []*snapshot.Manifest, err error) {
	filter, err := f.filter()
	if err != nil {
		return nil, err
	}
	filter.Forgotten = forgotten
	seen := map[repo.ID]bool{}
	for _, name := range args {
		m, err := snapshot.Find(ctx, r.Repository, name, filter)
		if err != nil {
			return nil, err
		}
		if !seen[m.ID] {
			list = append(list, m)
		}
		seen[m.ID] = true
	}
	return list, nil
}

func idsOf(list []*snapshot.Manifest) []repo.ID {
	ids := make([]repo.ID, len(list))
	for i, m := range list {
		ids[i] = m.ID
	}
	return ids
}
