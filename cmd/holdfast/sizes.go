package main

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// parseSize reads a size in bytes: a number, perhaps with K, M, G or T, or KiB and so on, for powers of 1024.
func parseSize(s string) (int64, error) {
	n, err := source.ParseSize(strings.TrimSuffix(s, "iB"))
	if err != nil || strings.HasSuffix(s, "iB") && strings.Trim(s[:len(s)-2], "0123456789") == "" {
		return 0, usagef("size %q: give a number of bytes, or one with K, M, G, T or KiB, MiB, GiB, TiB", s)
	}
	return n, nil
}

// parseIntSize reads a size for a setting that is kept as an int; empty means 0.
func parseIntSize(flag, s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := parseSize(s)
	if err != nil || n <= 0 || n > math.MaxInt32 {
		return 0, usagef("--%s %q: give a size such as 64KiB or 1M", flag, s)
	}
	return int(n), nil
}

// bytesText writes a size for people.
func bytesText(n uint64) string { return humanize.IBytes(n) }

// count writes a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.FormatInt(n, 10) + " " + thing + "s"
}

// durationText writes a duration as hours, minutes and seconds.
func durationText(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	if s < 3600 {
		return itoa(s/60) + ":" + two(s%60)
	}
	return itoa(s/3600) + ":" + two(s/60%60) + ":" + two(s%60)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func two(n int64) string { return string([]byte{'0' + byte(n/10), '0' + byte(n%10)}) }

// jsonTime is a time in JSON: RFC 3339 in UTC with nine decimals.
type jsonTime time.Time

// MarshalText implements encoding.TextMarshaler.
func (t jsonTime) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000000000Z07:00")), nil
}

// localTime writes a time for people.
func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// parseTime reads a point in time: RFC 3339, or "2006-01-02", perhaps with "15:04" or "15:04:05", here.
func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("time %q: write it as 2006-01-02 15:04:05 or 2006-01-02T15:04:05Z", s)
}
