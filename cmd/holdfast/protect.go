package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
)

// protectFlags are the flags of protect and unprotect.
type protectFlags struct {
	filter filterFlags
	reason string
}

func (a *app) protectCommand() *cobra.Command {
	return a.protection("protect", "Keep snapshots from being forgotten", `Keep snapshots from being forgotten, by name or by a policy, whoever tries, until they are
unprotected. It takes the key of an admin, and is in the ledger for good.`,
		"  holdfast protect latest --reason 'evidence, case 12'\n  holdfast protect 4bba301e 5d21cb5a",
		"protected", (*repo.Repository).Protect)
}

func (a *app) unprotectCommand() *cobra.Command {
	return a.protection("unprotect", "Let snapshots be forgotten again", `Let protected snapshots be forgotten again. It takes the key of an admin, and is in the
ledger for good.`,
		"  holdfast unprotect 4bba301e --reason 'case closed'", "unprotected", (*repo.Repository).Unprotect)
}

type protectFunc func(*repo.Repository, context.Context, []repo.ID, string) error

func (a *app) protection(verb, short, long, example, done string, do protectFunc) *cobra.Command {
	var f protectFlags
	cmd := &cobra.Command{
		Use: verb + " [flags] SNAPSHOT...", Short: short, Long: long, Example: example, Args: between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runProtection(cmd.Context(), &f, args, done, do)
		},
	}
	f.filter.register(cmd.Flags())
	cmd.Flags().StringVar(&f.reason, "reason", "", "`why`, for the ledger")
	a.completeSnapshots(cmd)
	return cmd
}

func (a *app) runProtection(ctx context.Context, f *protectFlags, args []string, done string, do protectFunc) (err error) {
	r, err := a.openRepo(ctx, writing)
	if err != nil {
		return err
	}
	defer r.close(&err)
	list, err := f.filter.named(ctx, r, args, false)
	if err != nil {
		return err
	}
	if err := do(r.Repository, ctx, idsOf(list), f.reason); err != nil {
		return err
	}
	if a.out.json {
		a.out.object(struct {
			Type      string   `json:"message_type"`
			Snapshots []string `json:"snapshots"`
		}{"summary", snapshotIDs(list)})
		return nil
	}
	for _, m := range list {
		a.out.infof("%s %s of %s\n", done, m.ShortID(), localTime(m.Time))
	}
	return nil
}
