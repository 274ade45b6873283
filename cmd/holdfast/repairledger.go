package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

func (a *app) repairLedgerCommand() *cobra.Command {
	var copies []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "ledger [flags]",
		Short: "Put back lost entries of the ledger",
		Long: `Put back entries of the ledger that are missing or damaged, byte for byte, from the local
cache, or from a copy of the repository. No key is needed: entries are signed, and each names
the one before it. The states of its last checkpoints are made anew from the entries.

The last entries of all are taken from the cache alone, since a copy that has been written to
goes its own way.`,
		Example: `  holdfast repair ledger --dry-run
  holdfast repair ledger --source-repo /mnt/copy/repo`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runRepairLedger(cmd.Context(), copies, dryRun) },
	}
	cmd.Flags().StringArrayVar(&copies, "source-repo", nil, "take what is lost from this copy of the `repository` (repeatable)")
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "change nothing, and say what would be done")
	return cmd
}

func (a *app) runRepairLedger(ctx context.Context, copies []string, dryRun bool) (err error) {
	store, err := a.openStore(ctx, unlessDry(dryRun))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return a.repairLedger(ctx, store, copies, dryRun, "summary")
}

// repairLedger repairs the ledger and prints what was done, as JSON by the name kind.
func (a *app) repairLedger(ctx context.Context, store backend.Store, copies []string, dryRun bool, kind string) (err error) {
	o := &repo.RestoreLedgerOptions{DryRun: dryRun}
	if o.CacheDir, err = a.cacheFolder(); err != nil {
		return err
	}
	for _, path := range copies {
		s, err := a.openCopy(ctx, path)
		if err != nil {
			return err
		}
		defer s.Close()
		o.Copies = append(o.Copies, s)
	}
	report, err := repo.RestoreLedger(ctx, store, o)
	if err == nil || len(report.Restored) > 0 { // what was restored before the error stays
		a.printLedgerRepair(report, dryRun, kind)
	}
	return err
}

func (a *app) printLedgerRepair(report *repo.RestoreLedgerReport, dryRun bool, kind string) {
	if a.out.json {
		a.out.object(struct {
			Type     string   `json:"message_type"`
			DryRun   bool     `json:"dry_run"`
			Restored []string `json:"restored"`
			Entries  uint64   `json:"ledger_entries"`
		}{kind, dryRun, append([]string{}, report.Restored...), report.Entries})
		return
	}
	if dryRun {
		a.out.infof("dry run: nothing was changed\n")
	}
	for _, key := range report.Restored {
		a.out.infof("%s is restored\n", key)
	}
	states := 0
	for _, key := range report.Restored {
		if strings.HasPrefix(key, ledger.CheckpointPrefix) {
			states++
		}
	}
	a.out.infof("restored: %d of %d entries", len(report.Restored)-states, report.Entries)
	if states > 0 {
		a.out.infof(", and %s that CHECKPOINTs name", count(int64(states), "state"))
	}
	a.out.infof("\n")
}
