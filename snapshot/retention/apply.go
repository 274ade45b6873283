package retention

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Snapshot is what a policy looks at.
type Snapshot struct {
	// Time is when the snapshot was made, as its writer's clock had it.
	Time time.Time
	// Opened is when the session that made it began, as the entry in the repository's ledger claims, and Order is the place of that
	// entry in the ledger, which nobody can choose.
	Opened time.Time
	Order  uint64
	// Tags are its tags.
	Tags []string
	// Complete is false when something was missing in it.
	Complete bool
	// Protected: it is kept whatever the rules say. It counts for them as any other does.
	Protected bool
}

// Decision is what a policy says of one snapshot.
type Decision struct {
	Keep bool
	// Reasons say why it is kept, for people.
	Reasons []string
}

// tolerance is how far clocks may be apart before a snapshot counts as back-dated.
const tolerance = time.Hour

// Apply decides about snapshots that belong together, usually those of one host and source. Decisions stand in the order of
// list. A snapshot from after now counts as made now, so a clock that is ahead makes nothing else look old.
func (p *Policy) Apply(list []Snapshot, now time.Time) []Decision {
	out := make([]Decision, len(list))
	if p.Empty() {
		for i := range out {
			out[i] = Decision{Keep: true, Reasons: []string{"the policy has no rules"}}
		}
		return out
	}
	all := make([]*candidate, len(list))
	late := backDated(list, now)
	var sound []*candidate
	for i := range list {
		t := list[i].Time
		if t.After(now) {
			t = now
		}
		all[i] = &candidate{Snapshot: &list[i], time: t.In(now.Location()), place: i}
		if list[i].Complete && !late[i] {
			sound = append(sound, all[i])
		}
	}
	p.pass(all, out, "")
	if len(sound) < len(all) {
		p.pass(sound, out, " of those that are complete and on time")
	}
	for i := range list {
		if list[i].Protected {
			out[i] = Decision{Keep: true, Reasons: append(out[i].Reasons, "protected")}
		}
	}
	return out
}

// candidate is a snapshot whose fate is open.
type candidate struct {
	*Snapshot
	time  time.Time
	place int // in the caller's list
}

// backDated tells which snapshots claim to have been made before sessions that the ledger had received earlier than theirs. Of what
// the ledger claims about time only the order is certain; so each entry counts as no older than those before it.
func backDated(list []Snapshot, now time.Time) []bool {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(list[a].Order, list[b].Order) })
	late := make([]bool, len(list))
	var received time.Time
	for _, i := range order {
		opened := list[i].Opened
		if opened.After(received) && !opened.After(now) {
			received = opened
		}
		late[i] = list[i].Time.Before(received.Add(-tolerance))
	}
	return late
}

// pass applies the rules to candidates and notes what they keep, unless it is kept already.
func (p *Policy) pass(list []*candidate, out []Decision, among string) {
	slices.SortStableFunc(list, func(a, b *candidate) int {
		return cmp.Or(b.time.Compare(a.time), cmp.Compare(b.Order, a.Order))
	})
	rules := p.rules(list)
	for n, c := range list {
		var why []string
		for _, rule := range rules {
			if w := rule(c, n == len(list)-1); w != "" {
				why = append(why, w+among)
			}
		}
		if d := &out[c.place]; !d.Keep {
			d.Keep, d.Reasons = len(why) > 0, why
		}
	}
}

// rule sees the candidates from the newest to the oldest and says why it keeps one, or "".
type rule func(c *candidate, oldest bool) string

func (p *Policy) rules(list []*candidate) []rule {
	if len(list) == 0 {
		return nil
	}
	newest := list[0].time
	rules := []rule{lastRule(p.Last)}
	for _, r := range p.periods() {
		if r.count != 0 {
			rules = append(rules, r.counted())
		}
	}
	if !p.Within.IsZero() {
		limit := p.Within.Before(newest)
		rules = append(rules, func(c *candidate, _ bool) string {
			if c.time.After(limit) {
				return "within " + p.Within.String()
			}
			return ""
		})
	}
	for _, r := range p.periods() {
		if !r.within.IsZero() {
			rules = append(rules, r.bounded(newest))
		}
	}
	for _, tags := range p.Tags {
		rules = append(rules, tagRule(tags))
	}
	return rules
}

func lastRule(count int) rule {
	return func(*candidate, bool) string {
		if count == 0 {
			return ""
		}
		count = spend(count)
		return "last snapshot"
	}
}

func tagRule(tags []string) rule {
	return func(c *candidate, _ bool) string {
		for _, t := range tags {
			if !slices.Contains(c.Tags, t) {
				return ""
			}
		}
		return "has tags " + strings.Join(tags, ", ")
	}
}

// spend takes one off a number of snapshots.
func spend(count int) int {
	if count > 0 {
		return count - 1
	}
	return count
}
