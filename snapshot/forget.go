package snapshot

import (
	"slices"
	"time"

	"github.com/holdfast-backup/holdfast/snapshot/retention"
)

// Policies say what to keep of the snapshots of each retention class.
type Policies struct {
	// Default is for snapshots whose class is not in Classes; an empty policy keeps them all.
	Default retention.Policy
	Classes map[string]retention.Policy
}

// Empty reports whether no policy has rules, so that nothing would ever be forgotten.
func (p *Policies) Empty() bool {
	for _, c := range p.Classes {
		if !c.Empty() {
			return false
		}
	}
	return p.Default.Empty()
}

// Retained is what the policies say of the snapshots of one group.
type Retained struct {
	Group
	// Class is the retention class that has a policy of its own; empty for all others together.
	Class string
	// Policy was applied. Decisions are those of Group.Snapshots, in their order.
	Policy    retention.Policy
	Decisions []retention.Decision
}

// Forgotten returns the snapshots that the policy does not keep.
func (r *Retained) Forgotten() (list []*Manifest) {
	for i, m := range r.Snapshots {
		if !r.Decisions[i].Keep {
			list = append(list, m)
		}
	}
	return list
}

// Retain applies policies to each group of the snapshots, and there to each class that has a policy separately. now is the caller's time: see
// [retention.Policy.Apply].
func (p *Policies) Retain(list []*Manifest, by Grouping, now time.Time) []Retained {
	var out []Retained
	for _, g := range by.Group(list) {
		for _, class := range p.classes(g.Snapshots) {
			r := Retained{Group: g, Class: class, Policy: p.Default}
			r.Snapshots = slices.DeleteFunc(slices.Clone(g.Snapshots), func(m *Manifest) bool { return p.class(m) != class })
			if class != "" {
				r.Policy = p.Classes[class]
			}
			r.Decisions = r.Policy.Apply(describe(r.Snapshots), now)
			out = append(out, r)
		}
	}
	return out
}

// class returns the class of a snapshot if it has a policy of its own.
func (p *Policies) class(m *Manifest) string {
	if _, ok := p.Classes[m.Class]; ok {
		return m.Class
	}
	return ""
}

func (p *Policies) classes(list []*Manifest) (names []string) {
	for _, m := range list {
		names = append(names, p.class(m))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func describe(list []*Manifest) []retention.Snapshot {
	out := make([]retention.Snapshot, len(list))
	for i, m := range list {
		out[i] = retention.Snapshot{Time: m.Time, Opened: m.Opened, Order: m.Order, Tags: m.Tags, Complete: m.Complete, Protected: m.Protected}
	}
	return out
}
