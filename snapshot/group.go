package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Grouping says what the snapshots of one group have in common. The zero value puts all into one group.
type Grouping struct{ Host, Paths, Tags bool }

// ErrGrouping is wrapped by the errors of [ParseGrouping].
var ErrGrouping = errors.New("unknown grouping")

// ParseGrouping reads words out of "host", "paths" and "tags", separated by commas; "" is the zero value.
func ParseGrouping(s string) (Grouping, error) {
	var g Grouping
	for word := range strings.SplitSeq(s, ",") {
		switch strings.TrimSpace(word) {
		case "host", "hosts":
			g.Host = true
		case "path", "paths":
			g.Paths = true
		case "tag", "tags":
			g.Tags = true
		case "":
		default:
			return g, fmt.Errorf("%w: %q is not host, paths or tags", ErrGrouping, word)
		}
	}
	return g, nil
}

// Group is a number of snapshots with something in common. Fields that the grouping does not name are empty.
type Group struct {
	Host        string
	Paths, Tags []string // sorted
	Snapshots   []*Manifest
}

// Group divides snapshots, keeping their order within each group. Groups come in the order of host, paths and tags.
func (g Grouping) Group(list []*Manifest) []Group {
	var groups []Group
	for _, m := range list {
		key := g.key(m)
		i, found := slices.BinarySearchFunc(groups, key, compareGroups)
		if !found {
			groups = slices.Insert(groups, i, key)
		}
		groups[i].Snapshots = append(groups[i].Snapshots, m)
	}
	return groups
}

func (g Grouping) key(m *Manifest) (key Group) {
	if g.Host {
		key.Host = m.Host
	}
	if g.Paths {
		key.Paths = slices.Sorted(slices.Values(m.Paths))
	}
	if g.Tags {
		key.Tags = slices.Sorted(slices.Values(m.Tags))
	}
	return key
}

func compareGroups(a, b Group) int {
	if c := strings.Compare(a.Host, b.Host); c != 0 {
		return c
	}
	if c := slices.Compare(a.Paths, b.Paths); c != 0 {
		return c
	}
	return slices.Compare(a.Tags, b.Tags)
}
