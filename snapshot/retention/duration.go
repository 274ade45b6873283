package retention

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of the calendar. The zero value is no time at all.
type Duration struct{ Years, Months, Days, Hours int }

// ErrDuration is wrapped by the errors of [ParseDuration].
var ErrDuration = errors.New("bad duration")

// maxUnits bounds each number of a duration, so that no sum of times overflows.
const maxUnits = 100000

// ParseDuration reads numbers with the units y, m (months), d and h, each at most once and in any order, such as "1y6m" or "14d".
func ParseDuration(s string) (Duration, error) {
	var d Duration
	seen := ""
	for rest := s; ; {
		digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if digits < 1 {
			return Duration{}, fmt.Errorf("%w %q: give numbers with the units y, m (months), d and h, such as 1y6m or 14d", ErrDuration, s)
		}
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n > maxUnits {
			return Duration{}, fmt.Errorf("%w %q: %s is more than %d", ErrDuration, s, rest[:digits], maxUnits)
		}
		unit := rest[digits : digits+1]
		field := d.field(unit)
		if field == nil || strings.Contains(seen, unit) {
			return Duration{}, fmt.Errorf("%w %q: the units are y, m (months), d and h, each once", ErrDuration, s)
		}
		*field, seen, rest = n, seen+unit, rest[digits+1:]
		if rest == "" {
			return d, nil
		}
	}
}

func (d *Duration) field(unit string) *int {
	switch unit {
	case "y":
		return &d.Years
	case "m":
		return &d.Months
	case "d":
		return &d.Days
	case "h":
		return &d.Hours
	}
	return nil
}

// IsZero reports whether d is no time at all.
func (d Duration) IsZero() bool { return d == Duration{} }

// String returns what [ParseDuration] reads: "0h" for no time.
func (d Duration) String() string {
	var b strings.Builder
	for _, unit := range []string{"y", "m", "d", "h"} {
		if n := *d.field(unit); n != 0 {
			fmt.Fprintf(&b, "%d%s", n, unit)
		}
	}
	if b.Len() == 0 {
		return "0h"
	}
	return b.String()
}

// Before returns the time that lies d before t.
func (d Duration) Before(t time.Time) time.Time {
	return t.AddDate(-d.Years, -d.Months, -d.Days).Add(time.Duration(-d.Hours) * time.Hour)
}

// UnmarshalText implements [encoding.TextUnmarshaler] by [ParseDuration].
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
