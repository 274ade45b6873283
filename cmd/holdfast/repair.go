package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/repo"
)

func (a *app) repairCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Repair a damaged repository",
		Long: `Repair what 'holdfast check' found. Nothing is lost by it: what is damaged is set aside,
and what is right in it is stored again. Begin with the ledger, if that cannot be read, then
the index; snapshots come last. Backups and restores may go on meanwhile; a repair of the index
or of packs does not begin beside a prune or another repair, and says which session that is.`,
		Example: `  holdfast repair ledger --source-repo /mnt/copy/repo
  holdfast repair index --dry-run
  holdfast repair packs
  holdfast repair snapshots --dry-run`,
		Args: noVerb,
		RunE: func(*cobra.Command, []string) error {
			return usagef("repair needs to know what: ledger, index, packs or snapshots")
		},
	}
	cmd.AddCommand(a.repairLedgerCommand(), a.repairIndexCommand(), a.repairPacksCommand(), a.repairSnapshotsCommand())
	return cmd
}

func (a *app) repairIndexCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "index [flags]",
		Short: "Make lost index files anew",
		Long: `Replace index files that are missing or damaged by new ones, made of what the packs
themselves say of their contents. It takes the key of an admin or a collector.`,
		Example: `  holdfast repair index`,
		Args:    between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runRepair(cmd.Context(), dryRun, nil, (*repo.Repository).RepairIndex, a.printIndexRepair)
		},
	}
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "change nothing, and say what would be done")
	return cmd
}

func (a *app) repairPacksCommand() *cobra.Command {
	var dryRun bool
	var from healFlags
	cmd := &cobra.Command{
		Use:   "packs [flags] [PACK...]",
		Short: "Save what can be read of damaged packs",
		Long: `Read every pack, or those named as 'holdfast check' names them, and store again what can
be read of the damaged ones. Their bytes are kept under quarantine/ in the repository. What
is lost counts as absent from then on: the next backup of the same data stores it again, and
all snapshots that need it are whole then. So does --source, from what was backed up, as far
as it is still the same, without making a snapshot; and --source-repo, from a copy of the
repository, also an older one.

Packs with parity (see 'holdfast init --parity') are made whole by it first, and those to
which something was added are made as they were; neither takes a key (--no-key). The rest
takes the key of an admin. The exit code is 1 if something stays lost.`,
		Example: `  holdfast repair packs --dry-run
  holdfast repair packs packs/1f0a.../9c3d...
  holdfast repair packs --source /var/lib/vm/disk.img --source-repo /mnt/copy/repo`,
		Args: between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runRepairPacks(cmd.Context(), dryRun, args, &from)
		},
	}
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "change nothing, and say what would be done")
	from.register(cmd.Flags())
	a.global.credential.registerNoKey(cmd.Flags())
	return cmd
}

func (a *app) runRepairPacks(ctx context.Context, dryRun bool, packs []string, from *healFlags) (err error) {
	r, err := a.openRepo(ctx, unlessDry(dryRun))
	if err != nil {
		return err
	}
	defer r.close(&err)
	healers, err := from.open(ctx, a, r)
	defer healers.close(&err)
	if err != nil {
		return err
	}
	repair, show, kind := (*repo.Repository).RepairPacks, a.printPackRepair, "summary"
	switch {
	case !from.empty():
		kind = "repair"
	case !r.CanRead(repo.Data):
		repair, show = (*repo.Repository).RestorePacks, a.printPackRestore
	}
	report, err := a.repairWith(ctx, r, &repo.RepairOptions{Packs: packs, DryRun: dryRun}, repair, show, kind)
	switch {
	case err != nil:
		return err
	case dryRun && !from.empty():
		return a.heal(ctx, r, healers, true, "summary", report.LostChunks...)
	case !from.empty():
		return a.heal(ctx, r, healers, false, "summary")
	case dryRun:
		return nil
	case len(report.LostChunks) > 0:
		return stayLost(len(report.LostChunks))
	case !r.CanRead(repo.Data) && len(report.DamagedPacks) > 0:
		return fmt.Errorf("%s damaged still; the key of an admin saves what can be read", are(len(report.DamagedPacks), "pack"))
	}
	return nil
}

// stayLost says that not all could be repaired.
func stayLost(chunks int) error { return fmt.Errorf("%s lost still", are(chunks, "chunk")) }

func are(n int, thing string) string {
	if n == 1 {
		return "1 " + thing + " is"
	}
	return count(int64(n), thing) + " are"
}

type repairFunc func(*repo.Repository, context.Context, *repo.RepairOptions) (*repo.RepairReport, error)

func (a *app) runRepair(ctx context.Context, dryRun bool, packs []string, repair repairFunc, show func(*repo.RepairReport)) (err error) {
	r, err := a.openRepo(ctx, unlessDry(dryRun))
	if err != nil {
		return err
	}
	defer r.close(&err)
	_, err = a.repairWith(ctx, r, &repo.RepairOptions{Packs: packs, DryRun: dryRun}, repair, show, "summary")
	return err
}

// repairWith repairs and prints what was done, also before an error, as JSON by the name kind.
func (a *app) repairWith(ctx context.Context, r *openRepo, o *repo.RepairOptions, repair repairFunc, show func(*repo.RepairReport), kind string) (*repo.RepairReport, error) {
	o.Host, _ = os.Hostname()
	o.Program = programVersion()
	dryRun := o.DryRun
	meter := newMeter(a.out, "read")
	o.Progress = func(done, total uint64) { meter.show(state{Bytes: done, TotalBytes: total}) }
	report, err := repair(r.Repository, ctx, o)
	if report == nil || err != nil && len(report.RestoredPacks)+len(report.Skipped) == 0 {
		return report, err
	}
	for _, err := range report.Skipped {
		a.out.fault("repair", "", err)
	}
	if a.out.json {
		a.out.object(newRepairJSON(kind, report, dryRun))
		return report, err
	}
	if dryRun {
		a.out.infof("dry run: nothing was changed\n")
	}
	show(report)
	if report.Pending {
		a.out.note("what was replaced is deleted by a later prune")
	}
	return report, err
}

// repairJSON is the last line of `repair --json`.
type repairJSON struct {
	Type       string   `json:"message_type"`
	DryRun     bool     `json:"dry_run"`
	IndexFiles []string `json:"lost_index_files"`
	Rebuilt    uint64   `json:"packs_listed_again"`
	Restored   []string `json:"restored_packs"`
	Packs      []string `json:"damaged_packs"`
	Saved      uint64   `json:"chunks_saved"`
	Lost       []string `json:"chunks_lost"`
	Skipped    int      `json:"skipped"`
	Pending    bool     `json:"pending"`
}

func newRepairJSON(kind string, r *repo.RepairReport, dryRun bool) *repairJSON {
	return &repairJSON{
		kind, dryRun, append([]string{}, r.LostIndexFiles...), r.RebuiltPacks, append([]string{}, r.RestoredPacks...), append([]string{}, r.DamagedPacks...), r.SavedChunks,
		texts(r.LostChunks), len(r.Skipped), r.Pending,
	}
}

func (a *app) printIndexRepair(r *repo.RepairReport) {
	for _, f := range r.LostIndexFiles {
		a.out.infof("%s is lost\n", f)
	}
	if len(r.LostIndexFiles) == 0 {
		a.out.infof("every index file can be read\n")
		return
	}
	a.out.infof("%s: %s listed again\n", count(int64(len(r.LostIndexFiles)), "lost index file"), count(int64(r.RebuiltPacks), "pack"))
}

// printPackRestore says which packs were restored and which are damaged.
func (a *app) printPackRestore(r *repo.RepairReport) {
	for _, p := range r.RestoredPacks {
		a.out.infof("%s was damaged, and is whole again\n", p)
	}
	for _, p := range r.DamagedPacks {
		a.out.infof("%s is damaged\n", p)
	}
	if len(r.DamagedPacks)+len(r.RestoredPacks) == 0 {
		a.out.infof("no pack is damaged\n")
	}
}

func (a *app) printPackRepair(r *repo.RepairReport) {
	a.printPackRestore(r)
	if len(r.DamagedPacks) == 0 {
		return
	}
	a.out.infof("%s: %s saved, %s lost\n", count(int64(len(r.DamagedPacks)), "damaged pack"), count(int64(r.SavedChunks), "chunk"), count(int64(len(r.LostChunks)), "chunk"))
	if len(r.LostChunks) > 0 {
		a.out.infof("what a copy (--source-repo) or the source (--source) has of them heals what refers to them, and so does the next backup of the same data\n")
	}
}
