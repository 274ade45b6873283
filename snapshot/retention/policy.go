package retention

import (
	"fmt"
	"strings"
)

// Unlimited as a number of snapshots means all of them.
const Unlimited = -1

// Policy says what to keep; a snapshot that any of its rules wants is kept. The zero value has no rules: [Policy.Apply] keeps everything then.
type Policy struct {
	// Last keeps so many snapshots, the newest.
	Last int
	// Hourly to Yearly keep the newest snapshot of so many hours, days, weeks (ISO 8601), months and years that have any. As
	// long as there are fewer, the oldest snapshot of all is kept beside them.
	Hourly, Daily, Weekly, Monthly, Yearly int
	// Within keeps all snapshots made within a time before the newest.
	Within Duration
	// WithinHourly to WithinYearly keep the newest snapshot of each hour to year within a time before the newest.
	WithinHourly, WithinDaily, WithinWeekly, WithinMonthly, WithinYearly Duration
	// Tags keeps snapshots that have all tags of one of the lists.
	Tags [][]string
}

// Empty reports whether the policy has no rules.
func (p *Policy) Empty() bool {
	for _, r := range p.periods() {
		if r.count != 0 || !r.within.IsZero() {
			return false
		}
	}
	return p.Last == 0 && p.Within.IsZero() && len(p.Tags) == 0
}

// Validate reports numbers below [Unlimited] and empty lists of tags.
func (p *Policy) Validate() error {
	if p.Last < Unlimited {
		return fmt.Errorf("keeping the last %d snapshots: give a positive number, or %d for all", p.Last, Unlimited)
	}
	for _, r := range p.periods() {
		if r.count < Unlimited {
			return fmt.Errorf("keeping %d %s snapshots: give a positive number, or %d for all", r.count, r.name, Unlimited)
		}
	}
	for _, tags := range p.Tags {
		if len(tags) == 0 {
			return fmt.Errorf("keeping snapshots by tags: an empty list of tags would keep all")
		}
	}
	return nil
}

// String describes the policy for people, such as "7 daily, 4 weekly, within 14d".
func (p *Policy) String() string {
	var parts []string
	add := func(n int, name string) {
		switch {
		case n == Unlimited:
			parts = append(parts, "all "+name)
		case n != 0:
			parts = append(parts, fmt.Sprintf("%d %s", n, name))
		}
	}
	add(p.Last, "last")
	for _, r := range p.periods() {
		add(r.count, r.name)
	}
	if !p.Within.IsZero() {
		parts = append(parts, "within "+p.Within.String())
	}
	for _, r := range p.periods() {
		if !r.within.IsZero() {
			parts = append(parts, r.name+" within "+r.within.String())
		}
	}
	for _, tags := range p.Tags {
		parts = append(parts, "tags "+strings.Join(tags, "+"))
	}
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, ", ")
}
