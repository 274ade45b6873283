package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// forgetFlags are the flags of forget.
type forgetFlags struct {
	filter    filterFlags
	policy    policyFlags
	groupBy   string
	dryRun    bool
	removeAll bool
	reason    string
	undo      bool
	prune     bool
	pruning   pruneFlags
}

func (a *app) forgetCommand() *cobra.Command {
	var f forgetFlags
	cmd := &cobra.Command{
		Use:   "forget [flags] [SNAPSHOT...]",
		Short: "Take snapshots out of the repository",
		Long: `Take the snapshots named out of the repository, or those that a policy does not
keep. The policy is applied to each group of snapshots, by default those of one
host and the same paths. A snapshot that any of its rules wants is kept. Those
that are incomplete, and those that claim to be older than the repository can have
received them, never make others go.

Nothing is deleted by this, unless --prune asks for it, and each run is in the ledger for
good. It takes the key of an admin or a collector.

What was forgotten can be taken back with --undo until a prune has deleted something
('holdfast snapshots --forgotten' lists it).

A policy file has rules named as the flags are, for each retention class
(see 'holdfast backup --class') and for all other snapshots:

  [default]
  keep-last = 3
  [class.monthly]
  keep-within = "7y"`,
		Example: `  holdfast forget --keep-within 14d --keep-weekly 5 --dry-run
  holdfast forget --keep-last 3 --keep-tag release --host db1 --prune
  holdfast forget --policy-file /etc/holdfast/policy.toml
  holdfast forget 4bba301e 5d21cb5a
  holdfast forget --undo 4bba301e`,
		Args: between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runForget(cmd.Context(), &f, args) },
	}
	s := cmd.Flags()
	f.filter.registerShort(s, "")
	f.policy.register(s)
	s.StringVarP(&f.groupBy, "group-by", "g", "host,paths", "apply the policy to groups of snapshots with the same `what`: host, paths, tags, separated by commas; '' for one group")
	s.BoolVarP(&f.dryRun, "dry-run", "n", false, "forget nothing, and say what would be forgotten")
	s.BoolVar(&f.removeAll, "unsafe-allow-remove-all", false, "allow forgetting the last snapshot of a group")
	s.StringVar(&f.reason, "reason", "", "`why`, for the ledger")
	s.BoolVar(&f.prune, "prune", false, "then delete what no snapshot needs, as 'holdfast prune' does")
	f.pruning.register(s)
	s.BoolVar(&f.undo, "undo", false, "take back that the snapshots named were forgotten")
	a.completeSnapshots(cmd)
	return cmd
}

func (a *app) runForget(ctx context.Context, f *forgetFlags, args []string) (err error) {
	policies, err := f.policy.policies()
	if err != nil {
		return err
	}
	by, err := snapshot.ParseGrouping(f.groupBy)
	switch {
	case err != nil:
		return usagef("--group-by: %w", err)
	case len(args) > 0 && (!policies.Empty() || f.policy.file != ""):
		return usagef("forget: name snapshots or give a policy, not both")
	case f.undo && len(args) == 0:
		return usagef("forget --undo: which snapshots? 'holdfast snapshots --forgotten' lists them")
	case f.undo && (f.prune || f.dryRun):
		return usagef("forget: --undo excludes --prune and --dry-run")
	case len(args) == 0 && policies.Empty():
		return usagef("forget: which snapshots? name them, or say what to keep with the --keep-* flags or --policy-file")
	}
	if f.undo {
		return a.unforget(ctx, f, args)
	}
	f.pruning.dryRun = f.dryRun
	pruning, err := f.pruning.options()
	if err != nil {
		return err
	}
	r, err := a.openRepo(ctx, unlessDry(f.dryRun))
	if err != nil {
		return err
	}
	defer r.close(&err)
	plan, err := f.plan(ctx, r, policies, by, args)
	if err != nil {
		return err
	}
	if err := a.forget(ctx, r, f, plan); err != nil || !f.prune {
		return err
	}
	if f.dryRun {
		pruning.Without = idsOf(plan.forget)
	}
	return a.prune(ctx, r, pruning)
}

// forgetPlan is what a run of forget would do.
type forgetPlan struct {
	groups []snapshot.Retained // by a policy
	forget []*snapshot.Manifest
	kept   int
}

func (f *forgetFlags) plan(ctx context.Context, r *openRepo, policies *snapshot.Policies, by snapshot.Grouping, args []string) (*forgetPlan, error) {
	all, err := snapshot.List(ctx, r.Repository, nil)
	if err != nil {
		return nil, err // a policy that does not see all snapshots decides wrongly
	}
	p := &forgetPlan{}
	if len(args) == 0 {
		filter, err := f.filter.filter()
		if err != nil {
			return nil, err
		}
		list, err := snapshot.List(ctx, r.Repository, filter)
		if err != nil {
			return nil, err
		}
		p.groups = policies.Retain(list, by, time.Now())
		for i := range p.groups {
			p.forget = append(p.forget, p.groups[i].Forgotten()...)
		}
		p.kept = len(list) - len(p.forget)
	} else if p.forget, err = f.filter.named(ctx, r, args, false); err != nil {
		return nil, err
	}
	if f.removeAll {
		return p, nil
	}
	return p, f.checkLast(all, p.forget, by)
}

// checkLast fails if a group would lose its last snapshot.
func (f *forgetFlags) checkLast(all, forget []*snapshot.Manifest, by snapshot.Grouping) error {
	gone := map[repo.ID]bool{}
	for _, m := range forget {
		gone[m.ID] = true
	}
	for _, g := range by.Group(all) {
		left := 0
		for _, m := range g.Snapshots {
			if !gone[m.ID] {
				left++
			}
		}
		if left == 0 {
			return fmt.Errorf("this would forget the last snapshot of %s; if that is meant, --unsafe-allow-remove-all allows it", groupName(&g))
		}
	}
	return nil
}

func groupName(g *snapshot.Group) string {
	if title := groupTitle(g); title != "" {
		return title
	}
	return "the repository"
}

func (a *app) forget(ctx context.Context, r *openRepo, f *forgetFlags, p *forgetPlan) error {
	for i := range p.groups {
		a.printRetained(&p.groups[i])
	}
	if !f.dryRun {
		if err := r.Forget(ctx, idsOf(p.forget), f.reason); err != nil {
			return err
		}
	}
	verb := "forgot"
	if f.dryRun {
		verb = "dry run: would forget"
	}
	if a.out.json {
		last := "summary"
		if f.prune {
			last = "forgotten"
		}
		a.out.object(struct {
			Type   string   `json:"message_type"`
			DryRun bool     `json:"dry_run"`
			Kept   int      `json:"kept"`
			Forgot []string `json:"forgotten"`
		}{last, f.dryRun, p.kept, snapshotIDs(p.forget)})
	}
	for _, m := range p.forget {
		if len(p.groups) == 0 {
			a.out.infof("%s %s of %s\n", m.ShortID(), localTime(m.Time), a.out.name(m.Host))
		}
	}
	a.out.infof("%s %s\n", verb, count(int64(len(p.forget)), "snapshot"))
	return nil
}

func snapshotIDs(list []*snapshot.Manifest) []string {
	ids := []string{}
	for _, m := range list {
		ids = append(ids, m.ID.String())
	}
	return ids
}

type reasonJSON struct {
	ID      string   `json:"snapshot_id"`
	Matches []string `json:"matches"`
}

func (a *app) printRetained(r *snapshot.Retained) {
	if a.out.json {
		a.printRetainedJSON(r)
		return
	}
	title := groupName(&r.Group)
	if r.Class != "" {
		title += ", class " + r.Class
	}
	a.out.infof("snapshots of %s, keeping %s:\n", a.out.name(title), r.Policy.String())
	if a.out.quiet {
		return
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for i, m := range r.Snapshots {
		what := "forget"
		if r.Decisions[i].Keep {
			what = "keep"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", what, m.ShortID(), localTime(m.Time), printable(strings.Join(m.Tags, ",")), strings.Join(r.Decisions[i].Reasons, ", "))
	}
	w.Flush()
}

func (a *app) printRetainedJSON(r *snapshot.Retained) {
	reasons := []reasonJSON{}
	keep := []string{}
	for i, m := range r.Snapshots {
		if r.Decisions[i].Keep {
			keep = append(keep, m.ID.String())
			reasons = append(reasons, reasonJSON{m.ID.String(), jsonNames(r.Decisions[i].Reasons)})
		}
	}
	a.out.object(struct {
		Type    string       `json:"message_type"`
		Key     groupKeyJSON `json:"group_key"`
		Class   string       `json:"class,omitempty"`
		Policy  string       `json:"policy"`
		Keep    []string     `json:"keep"`
		Remove  []string     `json:"remove"`
		Reasons []reasonJSON `json:"reasons"`
	}{
		"group", groupKeyJSON{jsonName(r.Host), jsonNames(r.Paths), jsonNames(r.Tags)}, r.Class, r.Policy.String(),
		keep, snapshotIDs(r.Forgotten()), reasons,
	})
}
