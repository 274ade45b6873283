package retention

import "time"

// period is a rule that keeps one snapshot for each hour, day, week, month or year.
type period struct {
	name   string
	number func(time.Time) int // of the period that a time is in; times of one period have one number
	count  int
	within Duration
}

func (p *Policy) periods() []period {
	return []period{
		{"hourly", hour, p.Hourly, p.WithinHourly},
		{"daily", day, p.Daily, p.WithinDaily},
		{"weekly", week, p.Weekly, p.WithinWeekly},
		{"monthly", month, p.Monthly, p.WithinMonthly},
		{"yearly", time.Time.Year, p.Yearly, p.WithinYearly},
	}
}

func month(t time.Time) int { return t.Year()*12 + int(t.Month()) }
func day(t time.Time) int   { return t.Year()*366 + t.YearDay() }
func hour(t time.Time) int  { return day(t)*24 + t.Hour() }

func week(t time.Time) int {
	year, week := t.ISOWeek()
	return year*53 + week
}

// newest keeps the first candidate of each period that it sees, and the oldest of all.
func (r period) newest() rule {
	var last int
	seen := false
	return func(c *candidate, oldest bool) string {
		n := r.number(c.time)
		switch {
		case !seen || n != last:
			last, seen = n, true
			return r.name + " snapshot"
		case oldest:
			return "oldest " + r.name + " snapshot"
		}
		return ""
	}
}

// counted keeps one snapshot for each of a number of periods.
func (r period) counted() rule {
	count, rule := r.count, r.newest()
	return func(c *candidate, oldest bool) string {
		if count == 0 {
			return ""
		}
		why := rule(c, oldest)
		if why != "" {
			count = spend(count)
		}
		return why
	}
}

// bounded keeps one snapshot for each period within a time before the newest.
func (r period) bounded(newest time.Time) rule {
	limit, rule := r.within.Before(newest), r.newest()
	return func(c *candidate, oldest bool) string {
		if !c.time.After(limit) {
			return ""
		}
		if why := rule(c, oldest); why != "" {
			return why + " within " + r.within.String()
		}
		return ""
	}
}
