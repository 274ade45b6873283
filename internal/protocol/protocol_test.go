package protocol

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// soon bounds the long casts, but for SOAKTIME.
const soon = 50_000

// explored are casts with the number of states up to which they are explored; 0 means all. The long ones take SOAKTIME for that.
var explored = map[string]struct {
	cast  Cast
	limit int
	long  bool
}{
	"a writer that comes back, a collector":            {Cast{Writers: 1, Again: true, Collectors: 1, Forgets: 1}, 0, false},
	"a writer, a collector, a reader":                  {Cast{Writers: 1, Collectors: 1, Reader: true, Forgets: 1}, 0, false},
	"a writer, a collector, undo":                      {Cast{Writers: 1, Collectors: 1, Forgets: 1, Unforgets: 1}, 0, false},
	"two writers, a collector":                         {Cast{Writers: 2, Collectors: 1, Forgets: 1}, 200_000, false},
	"a writer, two who delete objects":                 {Cast{Writers: 1, Collectors: 2, SweepOnly: true, Leftover: true}, 0, false},
	"a writer, two who delete objects, a repair":       {Cast{Writers: 1, Collectors: 2, SweepOnly: true, Leftover: true, Repair: true}, 0, false},
	"a writer, a collector, a repair":                  {Cast{Writers: 1, Collectors: 1, Leftover: true, Repair: true, Forgets: 1}, 0, false},
	"everybody, in part":                               {Cast{Writers: 2, Again: true, Collectors: 2, Reader: true, Repair: true, Forgets: 2, Unforgets: 1}, 200_000, false},
	"two writers, a collector, all":                    {Cast{Writers: 2, Collectors: 1, Forgets: 1}, 0, true},
	"a writer, two collectors":                         {Cast{Writers: 1, Collectors: 2, Forgets: 1}, 0, true},
	"a writer that comes back, a collector, a reader":  {Cast{Writers: 1, Again: true, Collectors: 1, Reader: true, Forgets: 1, Unforgets: 1}, 0, true},
	"two writers, two collectors, a reader, as far as": {Cast{Writers: 2, Again: true, Collectors: 2, Reader: true, Repair: true, Forgets: 2, Unforgets: 1}, 12_000_000, true},
}

// TestProtocol explores the protocol: no order of steps breaks an invariant.
func TestProtocol(t *testing.T) {
	for name, c := range explored {
		t.Run(name, func(t *testing.T) {
			if c.long && os.Getenv("SOAKTIME") == "" {
				c.limit = soon
			}
			got := Explore(Protocol(), c.cast, c.limit)
			require.Empty(t, got.Broken, strings.Join(got.Trace, "\n"))
			t.Logf("%d states", got.States)
			require.True(t, got.Whole || c.limit > 0)
		})
	}
}

// TestWeakened takes one rule away at a time. Each must be missed, or the search would see nothing.
func TestWeakened(t *testing.T) {
	simple := Cast{Writers: 1, Collectors: 1, Forgets: 1}
	two := Cast{Writers: 2, Collectors: 1, Forgets: 2, Single: true}
	back := Cast{Writers: 1, Again: true, Collectors: 1, Forgets: 1}
	sweepers := Cast{Writers: 1, Collectors: 2, SweepOnly: true, Leftover: true}
	fenced := Cast{Writers: 1, Collectors: 2, Forgets: 1, Single: true, NoSweep: true}
	reads := Cast{Writers: 1, Collectors: 1, Reader: true, Forgets: 1}
	repairs := Cast{Writers: 1, Collectors: 1, SweepOnly: true, Leftover: true, Repair: true}
	undo := Cast{Writers: 1, Collectors: 1, Forgets: 1, Unforgets: 1}
	for name, w := range map[string]struct {
		weaken func(*Rules)
		cast   Cast
	}{
		"the index is read before OPEN":                      {func(r *Rules) { r.OpenBeforeIndex = false }, simple},
		"condemned chunks are used":                          {func(r *Rules) { r.CondemnedIsAbsent = false }, simple},
		"a cache lists what was deleted":                     {func(r *Rules) { r.CacheFollows = false }, simple},
		"nobody waits for older writers":                     {func(r *Rules) { r.WaitForOlder = false }, simple},
		"what is needed is not decided again":                {func(r *Rules) { r.Recheck = false }, simple},
		"a DELETE counts though more is needed":              {func(r *Rules) { r.FencedDelete, r.WaitForOlder = false, true }, undo},
		"two collections drop one copy each":                 {func(r *Rules) { r.FencedCondemn = false }, fenced},
		"a revoked session commits":                          {func(r *Rules) { r.FencedCommit = false }, back},
		"a parent is taken over though packs of it may go":   {func(r *Rules) { r.SafeParent = false }, two},
		"a node is taken for proof of its leaves":            {func(r *Rules) { r.LeavesAreChecked = false }, two},
		"who deletes objects lists after reading the ledger": {func(r *Rules) { r.ListThenReplay = false }, simple},
		"who deletes objects goes by two states":             {func(r *Rules) { r.OneState = false }, simple},
		"who deletes objects goes by age":                    {func(r *Rules) { r.SessionsKnown = false }, simple},
		"names are used again":                               {func(r *Rules) { r.NamesNeverRecur = false }, sweepers},
		"what is deleted is taken back":                      {func(r *Rules) { r.UndoUntilDelete = false }, undo},
		"a reader does not look again":                       {func(r *Rules) { r.LookAgain = false }, reads},
		"who deletes does not heed a repair":                 {func(r *Rules) { r.RepairFences = false }, repairs},
		"a repair lists what is being deleted":               {func(r *Rules) { r.RepairCopies = false }, repairs},
		"a reader ignores what is condemned":                 {func(r *Rules) { r.ReadCondemned = false }, reads},
	} {
		t.Run(name, func(t *testing.T) {
			rules := Protocol()
			w.weaken(&rules)
			got := Explore(rules, w.cast, 8_000_000)
			require.NotEmpty(t, got.Broken, "%d states, and nothing was found", got.States)
			t.Logf("%s, after %d states:\n%s", got.Broken, got.States, strings.Join(got.Trace, "\n"))
		})
	}
}
