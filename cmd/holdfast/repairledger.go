package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
)

func (a *app) repairLedgerCommand() *cobra.Command {
	var copies []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "ledger [flags]",
		Short: "Put back lost entries of the ledger",
		Long: `Put back entries of the ledger that are missing or damaged, byte for byte, from the local
cache, or from a copy of the repository. No key is needed: entries are signed, and each names
the one before it.

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
	store, err := a.openStore(unlessDry(dryRun))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	o := &repo.RestoreLedgerOptions{DryRun: dryRun}
	if o.CacheDir, err = a.cacheFolder(); err != nil {
		return err
	}
	for _, path := range copies {
		s, err := openCopy(path)
		if err != nil {
			return err
		}
		defer s.Close()
		o.Copies = append(o.Copies, s)
	}
	report, err := repo.RestoreLedger(ctx, store, o)
	if err == nil || len(report.Restored) > 0 { // what was restored before the error stays
		a.printLedgerRepair(report, dryRun)
	}
	return err
}

func (a *app) printLedgerRepair(report *repo.RestoreLedgerReport, dryRun bool) {
	if a.out.json {
		a.out.object(struct {
			Type     string   `json:"message_type"`
			DryRun   bool     `json:"dry_run"`
			Restored []string `json:"restored"`
			Entries  uint64   `json:"ledger_entries"`
		}{"summary", dryRun, append([]string{}, report.Restored...), report.Entries})
		return
	}
	if dryRun {
		a.out.infof("dry run: nothing was changed\n")
	}
	for _, key := range report.Restored {
		a.out.infof("%s is restored\n", key)
	}
	a.out.infof("restored: %d of %d entries\n", len(report.Restored), report.Entries)
}
