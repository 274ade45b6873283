package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/repo"
)

// Filter selects snapshots. Its zero value selects all.
type Filter struct {
	// Hosts: the snapshot's host is one of them.
	Hosts []string
	// Tags: one of the lists is contained in the snapshot's tags. An empty list means: has no tags.
	Tags [][]string
	// Paths: the snapshot has all of these absolute paths.
	Paths []string
	// Forgotten selects among the snapshots that were forgotten and can be taken back, instead of the live ones.
	Forgotten bool
}

// Match reports whether the filter selects m.
func (f *Filter) Match(m *Manifest) bool {
	if f == nil {
		return true
	}
	if len(f.Hosts) > 0 && !slices.Contains(f.Hosts, m.Host) {
		return false
	}
	if len(f.Tags) > 0 && !slices.ContainsFunc(f.Tags, func(want []string) bool { return hasTags(m, want) }) {
		return false
	}
	return !slices.ContainsFunc(f.Paths, func(p string) bool { return !slices.Contains(m.Paths, p) })
}

func hasTags(m *Manifest, want []string) bool {
	if len(want) == 0 {
		return len(m.Tags) == 0
	}
	return !slices.ContainsFunc(want, func(t string) bool { return !slices.Contains(m.Tags, t) })
}

// List returns the snapshots that the filter selects, oldest first by their own time. Snapshots that cannot be read are reported
// by the error, beside those that can.
func List(_ context.Context, r *repo.Repository, f *Filter) ([]*Manifest, error) {
	stored, err := f.stored(r)
	errs := []error{err}
	var list []*Manifest
	for i := range stored {
		m, err := openManifest(&stored[i])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if f.Match(m) {
			list = append(list, m)
		}
	}
	slices.SortStableFunc(list, func(a, b *Manifest) int { return cmp.Compare(a.Time.UnixNano(), b.Time.UnixNano()) })
	return list, errors.Join(errs...)
}

func (f *Filter) stored(r *repo.Repository) ([]repo.Snapshot, error) {
	if f != nil && f.Forgotten {
		return r.Forgotten()
	}
	return r.Snapshots()
}

func openManifest(s *repo.Snapshot) (*Manifest, error) {
	m, err := decodeManifest(s.Manifest)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", s.ID, err)
	}
	m.ID, m.Root, m.Order, m.Opened, m.number, m.Protected = s.ID, s.Root, s.Order, s.Opened, s.Number, s.Protected
	if s.Tags != nil {
		m.Tags = s.Tags
	}
	return m, nil
}

// Find returns the snapshot that name means: "latest", "latest~N" (N before it), both among those that the filter selects,
// or the first hexadecimal digits of an id, at least one, whatever the filter but for its Forgotten. Errors wrap [repo.ErrNotFound] or [repo.ErrAmbiguous].
func Find(ctx context.Context, r *repo.Repository, name string, f *Filter) (*Manifest, error) {
	if rest, ok := strings.CutPrefix(name, "latest"); ok {
		return findLatest(ctx, r, name, rest, f)
	}
	if name == "" || strings.Trim(name, "0123456789abcdef") != "" {
		return nil, fmt.Errorf("snapshot %q: %w: a name is latest, latest~N or the start of an id", name, repo.ErrNotFound)
	}
	list, listErr := List(ctx, r, &Filter{Forgotten: f != nil && f.Forgotten})
	var found []*Manifest
	for _, m := range list {
		if strings.HasPrefix(m.ID.String(), name) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return nil, errors.Join(fmt.Errorf("snapshot %s: %w", name, repo.ErrNotFound), listErr)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("snapshot %s: %w: it begins the ids of %d snapshots (%s, %s ...); give more digits", name, repo.ErrAmbiguous,
		len(found), found[0].ShortID(), found[1].ShortID())
}

func findLatest(ctx context.Context, r *repo.Repository, name, rest string, f *Filter) (*Manifest, error) {
	back := 0
	if rest != "" {
		n, err := strconv.ParseUint(strings.TrimPrefix(rest, "~"), 10, 31)
		if rest[0] != '~' || err != nil {
			return nil, fmt.Errorf("snapshot %q: %w: a name is latest, latest~N or the start of an id", name, repo.ErrNotFound)
		}
		back = int(n)
	}
	list, err := List(ctx, r, f)
	if err != nil { // it may be the one that is meant
		return nil, fmt.Errorf("snapshot %s: a newer one cannot be read, so give an id: %w", name, err)
	}
	if len(list) > back {
		return list[len(list)-1-back], nil
	}
	return nil, fmt.Errorf("snapshot %s: %w: %d snapshots match", name, repo.ErrNotFound, len(list))
}

// ShortID returns the first eight digits of the id, for people.
func (m *Manifest) ShortID() string { return m.ID.String()[:8] }

// findParent returns the newest snapshot, by its own time, that is not newer than m, in one group with it and usable; nil if there is none.
func findParent(ctx context.Context, r *repo.Repository, m *Manifest, by Grouping, usable func(*Manifest) bool) *Manifest {
	list, _ := List(ctx, r, nil) // one that cannot be read is no parent
	for _, old := range slices.Backward(list) {
		if !old.Time.After(m.Time) && compareGroups(by.key(old), by.key(m)) == 0 && usable(old) {
			return old
		}
	}
	return nil
}
