package retention_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/snapshot/retention"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

// every makes snapshots so far apart, the newest at now, each received when it says it was made.
func every(step time.Duration, n int) []retention.Snapshot {
	list := make([]retention.Snapshot, n)
	for i := range list {
		t := now.Add(-step * time.Duration(n-1-i))
		list[i] = retention.Snapshot{Time: t, Opened: t, Order: uint64(10 + i), Complete: true}
	}
	return list
}

func kept(list []retention.Snapshot, d []retention.Decision) (days []string) {
	for i := range list {
		if d[i].Keep {
			days = append(days, list[i].Time.Format("2006-01-02T15"))
		}
	}
	return days
}

// TestGolden holds the decisions of policies about snapshots four hours apart over two years and a half. The files show each kept snapshot with its reasons.
func TestGolden(t *testing.T) {
	dur := func(s string) retention.Duration {
		d, err := retention.ParseDuration(s)
		require.NoError(t, err)
		return d
	}
	policies := map[string]retention.Policy{
		"last":           {Last: 5},
		"hourly":         {Hourly: 7},
		"daily":          {Daily: 7},
		"weekly":         {Weekly: 5},
		"monthly":        {Monthly: 12},
		"yearly":         {Yearly: 10},
		"site":           {Daily: 14, Weekly: 5, Monthly: retention.Unlimited},
		"within":         {Within: dur("1d12h")},
		"within-periods": {WithinHourly: dur("1d"), WithinDaily: dur("7d"), WithinWeekly: dur("1m"), WithinMonthly: dur("1y"), WithinYearly: dur("75y")},
		"tags":           {Last: 1, Tags: [][]string{{"release"}, {"a", "b"}}},
	}
	for name, p := range policies {
		t.Run(name, func(t *testing.T) {
			list := every(4*time.Hour, 6*900)
			list[100].Tags, list[200].Tags, list[300].Tags = []string{"x", "release"}, []string{"b", "a"}, []string{"a"}
			var b strings.Builder
			fmt.Fprintf(&b, "# %s\n", p.String())
			for i, d := range p.Apply(list, now) {
				require.Equal(t, d.Keep, len(d.Reasons) > 0)
				if d.Keep {
					fmt.Fprintf(&b, "%s %s\n", list[i].Time.Format(time.RFC3339), strings.Join(d.Reasons, "; "))
				}
			}
			golden(t, name, b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	path := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestEmptyPolicyKeepsEverything(t *testing.T) {
	list := every(time.Hour, 10)
	for _, d := range (&retention.Policy{}).Apply(list, now) {
		require.True(t, d.Keep)
	}
}

func TestOldestIsKeptWhileThereAreTooFew(t *testing.T) {
	list := every(24*time.Hour, 20)
	p := retention.Policy{Monthly: 3}
	require.Equal(t, []string{"2026-03-12T12", "2026-03-31T12"}, kept(list, p.Apply(list, now)))
}

func TestDaysAreThoseOfTheLocation(t *testing.T) {
	at := func(h int) retention.Snapshot {
		ts := time.Date(2026, 3, 30, h, 0, 0, 0, time.UTC)
		return retention.Snapshot{Time: ts, Opened: ts, Order: uint64(h), Complete: true}
	}
	list := []retention.Snapshot{at(1), at(3), at(20)}
	p := retention.Policy{Daily: 2}
	require.Equal(t, []string{"2026-03-30T01", "2026-03-30T20"}, kept(list, p.Apply(list, now)), "the oldest beside one day")
	west := time.FixedZone("west", -2*3600)
	p.Daily = 1
	require.Equal(t, []string{"2026-03-30T20"}, kept(list, p.Apply(list, now.In(west))))
	p.Daily = 3
	require.Equal(t, []string{"2026-03-30T01", "2026-03-30T20"}, kept(list, p.Apply(list, now.In(west))), "23:00 the day before, and 18:00")
}

func TestIncompleteNeverDisplacesComplete(t *testing.T) {
	list := every(24*time.Hour, 10)
	list[9].Complete = false
	p := retention.Policy{Last: 1}
	require.Equal(t, []string{"2026-03-30T12", "2026-03-31T12"}, kept(list, p.Apply(list, now)))
	p = retention.Policy{Weekly: 1}
	require.Equal(t, []string{"2026-03-30T12", "2026-03-31T12"}, kept(list, p.Apply(list, now)))
}

// TestBackDatedPushesNothingOut: whoever holds a writer's key makes snapshots that claim to be of the past days.
func TestBackDatedPushesNothingOut(t *testing.T) {
	list := every(7*24*time.Hour, 6) // weekly
	p := retention.Policy{Daily: 4}
	before := kept(list, p.Apply(list, now))
	attack := list
	for i := range 30 {
		ts := now.AddDate(0, 0, -i).Add(time.Minute)
		attack = append(attack, retention.Snapshot{Time: ts, Opened: ts, Order: uint64(100 + i), Complete: true})
	}
	after := kept(attack, p.Apply(attack, now.Add(time.Hour)))
	require.Subset(t, after, before)
}

// TestClockAhead: a snapshot from the future must not make the others look old.
func TestClockAhead(t *testing.T) {
	list := every(24*time.Hour, 10)
	list = append(list, retention.Snapshot{Time: now.AddDate(50, 0, 0), Opened: now.AddDate(50, 0, 0), Order: 99, Complete: true})
	within, err := retention.ParseDuration("3d")
	require.NoError(t, err)
	p := retention.Policy{Within: within}
	require.Len(t, kept(list, p.Apply(list, now)), 4)
	list = append(list, retention.Snapshot{Time: now, Opened: now, Order: 100, Complete: true})
	d := p.Apply(list, now)
	require.True(t, d[len(d)-1].Keep)
	require.Equal(t, []string{"within 3d"}, d[len(d)-1].Reasons, "an entry from the future makes nothing late")
}

// TestProperties: any policy keeps the newest if it counts anything, and what it keeps of the sound ones alone; the order of the list is of no importance;
// more of a rule never keeps less.
func TestProperties(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("HOLDFAST_TEST_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("HOLDFAST_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 500 {
		list := every(time.Duration(1+r.IntN(100))*time.Hour, 1+r.IntN(60))
		var sound []retention.Snapshot
		for i := range list {
			list[i].Complete = r.IntN(4) > 0
			if list[i].Complete {
				sound = append(sound, list[i])
			}
		}
		p := randomPolicy(r)
		all := p.Apply(list, now)
		got := kept(list, all)
		require.Contains(t, got, list[len(list)-1].Time.Format("2006-01-02T15"))
		require.Subset(t, got, kept(sound, p.Apply(sound, now)))

		shuffled := append([]retention.Snapshot{}, list...)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		require.ElementsMatch(t, got, kept(shuffled, p.Apply(shuffled, now)))

		more := p
		if more.Last++; p.Last == retention.Unlimited {
			more.Last = retention.Unlimited
		}
		require.Subset(t, kept(list, more.Apply(list, now)), got)
	}
}

func randomPolicy(r *rand.Rand) retention.Policy {
	n := func() int { return r.IntN(5) - r.IntN(2) }
	p := retention.Policy{Hourly: n(), Daily: n(), Weekly: n(), Monthly: n(), Yearly: n(), Last: n()}
	if r.IntN(2) == 0 {
		p.WithinDaily = retention.Duration{Days: r.IntN(30), Hours: 1}
	}
	if p.Empty() {
		p.Last = 1
	}
	return p
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]string{"1y5m7d2h": "1y5m7d2h", "14d": "14d", "2h1d": "1d2h", "0h": "0h", "100000d": "100000d"} {
		d, err := retention.ParseDuration(in)
		require.NoError(t, err, in)
		require.Equal(t, want, d.String())
		again, err := retention.ParseDuration(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
	}
	for _, bad := range []string{"", "1", "d", "1w", "1d1d", "-1d", "1.5d", "1d ", "100001d", "99999999999999999999d", "1é"} {
		_, err := retention.ParseDuration(bad)
		require.ErrorIs(t, err, retention.ErrDuration, bad)
	}
}

func FuzzParseDuration(f *testing.F) {
	f.Add("1y5m7d2h")
	f.Add("0h")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := retention.ParseDuration(s)
		if err != nil {
			require.ErrorIs(t, err, retention.ErrDuration)
			return
		}
		again, err := retention.ParseDuration(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again)
		require.False(t, d.Before(now).After(now))
	})
}

func TestValidate(t *testing.T) {
	require.NoError(t, (&retention.Policy{Last: retention.Unlimited}).Validate())
	require.Error(t, (&retention.Policy{Last: -2}).Validate())
	require.Error(t, (&retention.Policy{Weekly: -2}).Validate())
	require.Error(t, (&retention.Policy{Tags: [][]string{{}}}).Validate())
}

func ExamplePolicy_Apply() {
	noon := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	var list []retention.Snapshot
	for i := range 4 {
		t := noon.AddDate(0, 0, i-3)
		list = append(list, retention.Snapshot{Time: t, Opened: t, Order: uint64(i), Complete: true})
	}
	p := retention.Policy{Daily: 2}
	for i, d := range p.Apply(list, noon) {
		fmt.Println(list[i].Time.Format(time.DateOnly), d.Keep, d.Reasons)
	}
	// Output:
	// 2026-03-28 false []
	// 2026-03-29 false []
	// 2026-03-30 true [daily snapshot]
	// 2026-03-31 true [daily snapshot]
}
