package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// logFlags are the flags of log.
type logFlags struct {
	number       int
	since, until string
	actor        string
	types        []string
	snapshot     string
	reverse      bool
}

func (a *app) logCommand() *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "log [flags]",
		Short: "Print who did what to the repository",
		Long: `Print the ledger, the newest entry first: who did what, when by their own clock, on which
session or snapshot, and why. Each entry is signed by who made it and names the one before
by its hash, so nothing can be changed or taken out afterwards. An entry that changed
nothing, since its signer may not write it or something came in between, is void.

With --no-key it shows what anybody can see. 'holdfast cat log' prints all that an entry
says, as JSON.`,
		Example: `  holdfast log -n 20
  holdfast log --type FORGET,DELETE --since 2026-01-01
  holdfast log --snapshot 4bba301e --json`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runLog(cmd.Context(), &f) },
	}
	a.global.credential.registerNoKey(cmd.PersistentFlags())
	s := cmd.Flags()
	s.IntVarP(&f.number, "number", "n", 0, "print at most `n` entries")
	s.StringVar(&f.since, "since", "", "only entries that claim to be from this `time` or later")
	s.StringVar(&f.until, "until", "", "only entries that claim to be from before this `time`")
	s.StringVar(&f.actor, "actor", "", "only entries of the actor with this label, or whose `id` begins so")
	s.StringSliceVar(&f.types, "type", nil, "only entries of these `types`, such as COMMIT or FORGET, separated by commas")
	s.StringVar(&f.snapshot, "snapshot", "", "only entries that name the snapshot whose `id` begins so")
	s.BoolVar(&f.reverse, "reverse", false, "print the oldest entry first")
	cmd.AddCommand(a.logVerifyCommand())
	return cmd
}

// logFilter says which entries are printed.
type logFilter struct {
	*logFlags
	from, to time.Time
}

func (f *logFlags) filter() (*logFilter, error) {
	l := &logFilter{logFlags: f}
	if f.number < 0 {
		return nil, usagef("--number %d: give a positive number", f.number)
	}
	for text, at := range map[*string]*time.Time{&f.since: &l.from, &f.until: &l.to} {
		if *text != "" {
			t, err := parseTime(*text)
			if err != nil {
				return nil, err
			}
			*at = t
		}
	}
	for i, t := range f.types {
		f.types[i] = strings.ToUpper(t)
		if !knownType(f.types[i]) {
			return nil, usagef("--type %q: there is no such type of entry", t)
		}
	}
	return l, nil
}

func knownType(name string) bool {
	for t := ledger.TypeGenesis; t <= ledger.TypeSweep; t++ {
		if t.String() == name {
			return true
		}
	}
	return false
}

func (f *logFilter) match(e *repo.Entry) bool {
	switch {
	case !f.from.IsZero() && e.Time.Before(f.from), !f.to.IsZero() && !e.Time.Before(f.to):
		return false
	case f.actor != "" && e.Actor.Label != f.actor && !strings.HasPrefix(e.Actor.ID.String(), f.actor):
		return false
	case len(f.types) > 0 && !slices.Contains(f.types, e.Type.String()):
		return false
	}
	return f.snapshot == "" || slices.ContainsFunc(snapshotsOf(e), func(id repo.ID) bool { return strings.HasPrefix(id.String(), f.snapshot) })
}

// snapshotsOf returns the snapshots that an entry names.
func snapshotsOf(e *repo.Entry) []repo.ID {
	switch b := e.Body.(type) {
	case *ledger.Commit:
		if !b.Snapshot.IsZero() {
			return []repo.ID{b.Snapshot}
		}
	case *ledger.Tags:
		return []repo.ID{b.Snapshot}
	case *ledger.Forget:
		return b.Snapshots
	case *ledger.Unforget:
		return b.Snapshots
	case *ledger.Protect:
		return b.Snapshots
	case *ledger.Unprotect:
		return b.Snapshots
	case *ledger.Hold:
		return b.Snapshots
	}
	return nil
}

func (a *app) runLog(ctx context.Context, f *logFlags) (err error) {
	filter, err := f.filter()
	if err != nil {
		return err
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	var arr *array
	if a.out.json {
		arr = &array{o: a.out}
		defer arr.end()
	}
	n := 0
	for e, err := range r.Log(ctx, 0, !f.reverse) {
		if err != nil {
			return err
		}
		if !filter.match(e) {
			continue
		}
		if arr != nil {
			arr.add(newEntryJSON(e))
		} else {
			a.out.printf("%s\n", logLine(e))
		}
		if n++; n == f.number {
			break
		}
	}
	return nil
}

// logLine says in one line what an entry did.
func logLine(e *repo.Entry) string {
	who := e.Actor.Label
	if who == "" {
		who = e.Actor.ID.String()[:8]
	}
	line := fmt.Sprintf("%6d  %s  %s (%s)  %s%s", e.Number, localTime(e.Time), printable(who), e.Actor.Role, e.Type, logDetails(e))
	if e.Void != "" {
		line += "  VOID: " + printable(e.Void)
	}
	return line
}

func logDetails(e *repo.Entry) string {
	var b strings.Builder
	for _, id := range snapshotsOf(e) {
		b.WriteString(" " + id.String()[:8])
	}
	reason := ""
	switch body := e.Body.(type) {
	case *ledger.Open:
		fmt.Fprintf(&b, " session %s for %s", body.Session.String()[:8], body.Purpose)
		if e.Opened {
			fmt.Fprintf(&b, ": %s on %s by %s", printable(body.Kind), printable(body.Host), printable(body.Program))
		}
	case *ledger.Commit:
		fmt.Fprintf(&b, " session %s", body.Session.String()[:8])
	case *ledger.Close:
		fmt.Fprintf(&b, " session %s", body.Session.String()[:8])
		reason = body.Reason
	case *ledger.Revoke:
		fmt.Fprintf(&b, " session %s", body.Session.String()[:8])
		reason = body.Reason
	case *ledger.Checkpoint:
		fmt.Fprintf(&b, " of %s", bytesText(body.Size))
	case *ledger.Condemn:
		fmt.Fprintf(&b, " session %s: %s for %d", body.Session.String()[:8], count(int64(len(body.Retired)), "index file"), len(body.Added))
	case *ledger.Delete:
		fmt.Fprintf(&b, " session %s: what entry %d condemned", body.Session.String()[:8], body.Condemned)
	case *ledger.Sweep:
		fmt.Fprintf(&b, " session %s: deletes %s", body.Session.String()[:8], count(int64(body.Packs), "pack"))
		for _, n := range body.Ended {
			fmt.Fprintf(&b, ", ends entry %d", n)
		}
	case *ledger.Forget:
		reason = body.Reason
	case *ledger.Unforget:
		reason = body.Reason
	case *ledger.Protect:
		reason = body.Reason
	case *ledger.Unprotect:
		reason = body.Reason
	case *ledger.Tags:
		if e.Opened {
			b.WriteString(": " + printable(strings.Join(body.Tags, ",")))
		}
	case *ledger.Key:
		verb := "admits"
		if body.Op == ledger.Remove {
			verb = "removes"
		}
		fmt.Fprintf(&b, " %s %s %s", verb, body.Role, body.Actor.ID().String()[:8])
		reason = body.Label
	}
	if reason != "" {
		b.WriteString(": " + printable(reason))
	}
	return b.String()
}

func (a *app) logVerifyCommand() *cobra.Command {
	var expect string
	cmd := &cobra.Command{
		Use:   "verify [flags]",
		Short: "Verify the ledger from its first entry to its last",
		Long: `Read the whole ledger from the repository and verify each number, hash, signature and
rule, and that it is the one that was seen here before. The last line says which ledger it
is: the number of its entries and the hash of the last one. Noted elsewhere, they prove
later that nothing was taken back: give them to --expect.

It needs no key (--no-key).`,
		Example: `  holdfast log verify
  holdfast log verify --no-key --expect 1207:5f0c...`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runLogVerify(cmd.Context(), expect) },
	}
	cmd.Flags().StringVar(&expect, "expect", "", "fail unless the ledger has, or once had, this `head`: NUMBER:HASH")
	return cmd
}

func parseHead(s string) (n uint64, hash repo.ID, err error) {
	number, text, ok := strings.Cut(s, ":")
	if ok {
		n, err = strconv.ParseUint(number, 10, 64)
	}
	if ok && err == nil && n > 0 {
		hash, err = repo.ParseID(text)
	}
	if !ok || err != nil || n == 0 {
		return 0, hash, usagef("--expect %q: give NUMBER:HASH as 'holdfast log verify' prints it", s)
	}
	return n, hash, nil
}

func (a *app) runLogVerify(ctx context.Context, expect string) (err error) {
	var n uint64
	var hash repo.ID
	if expect != "" {
		if n, hash, err = parseHead(expect); err != nil {
			return err
		}
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	report, err := r.VerifyLedger(ctx)
	if err != nil {
		return err
	}
	a.printVoid(report.Void)
	if expect != "" {
		if err := a.expectHead(ctx, r, report, n, hash); err != nil {
			return err
		}
	}
	if a.out.json {
		a.out.object(struct {
			Type    string `json:"message_type"`
			Entries uint64 `json:"ledger_entries"`
			Hash    string `json:"hash"`
			Void    int    `json:"void_entries"`
			Actors  int    `json:"actors"`
		}{"summary", report.Entries, report.Hash.String(), len(report.Void), len(report.Actors)})
		return nil
	}
	a.out.infof("verified %d entries by %s\n", report.Entries, count(int64(len(report.Actors)), "actor"))
	a.out.printf("%d:%s\n", report.Entries, report.Hash)
	return nil
}

// expectHead fails unless the ledger had that head once.
func (a *app) expectHead(ctx context.Context, r *openRepo, report *repo.LedgerReport, n uint64, hash repo.ID) error {
	if n > report.Entries {
		return fmt.Errorf("%w: its ledger has %d entries, and had %d", repo.ErrRolledBack, report.Entries, n)
	}
	got, err := r.HashAt(ctx, n)
	if err != nil {
		return err
	}
	if got != hash {
		return fmt.Errorf("%w: entry %d of its ledger is another one", repo.ErrRolledBack, n-1)
	}
	return nil
}
