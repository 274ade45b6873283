package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
)

func (a *app) repairSnapshotsCommand() *cobra.Command {
	var f rewriteFlags
	cmd := &cobra.Command{
		Use:   "snapshots [flags] [SNAPSHOT...]",
		Short: "Make snapshots anew of what is left of them",
		Long: `Look for what is lost of the snapshots named, or of all, say which files and ranges of
bytes, and make snapshots anew of what is left: they are incomplete, and lost ranges are
errors when they are read. Of snapshots of which nothing is lost nothing is made.

The old ones stay, unless --forget takes them out of the repository: they are whole again
should a backup store again what is lost, so do that first. Repair the index and the packs
before. It takes the key of an admin.`,
		Example: `  holdfast repair snapshots --dry-run
  holdfast repair snapshots --forget 4bba301e`,
		Args: between(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runMend(cmd.Context(), &f, args) },
	}
	s := cmd.Flags()
	f.filter.register(s)
	s.BoolVar(&f.forget, "forget", false, "forget the old snapshots when the new ones are there")
	s.BoolVarP(&f.dryRun, "dry-run", "n", false, "store nothing, and say what is lost")
	a.completeSnapshots(cmd)
	return cmd
}

func (a *app) runMend(ctx context.Context, f *rewriteFlags, args []string) error {
	return a.replaceAll(ctx, f, args, "repaired", func(r *openRepo, m *snapshot.Manifest) (bool, error) { return a.mend(ctx, r, f, m) })
}

type lostJSON struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Reason string `json:"reason"`
}

func (a *app) mend(ctx context.Context, r *openRepo, f *rewriteFlags, m *snapshot.Manifest) (changed bool, err error) {
	lost := []lostJSON{}
	if !a.out.json {
		a.out.infof("snapshot %s of %s\n", m.ShortID(), localTime(m.Time))
	}
	o := &snapshot.MendOptions{Program: programVersion(), DryRun: f.dryRun, Report: func(l snapshot.Lost) {
		lost = append(lost, lostJSON{jsonName(l.Path), l.Offset, l.Length, oneLine(l.Err.Error())})
		switch {
		case a.out.json:
		case l.Length > 0:
			a.out.infof("  %s: bytes %d to %d are lost\n", a.out.name(l.Path), l.Offset, l.Offset+l.Length)
		default:
			a.out.infof("  %s: %s\n", a.out.name(l.Path), oneLine(l.Err.Error()))
		}
	}}
	made, err := snapshot.Mend(ctx, r.Repository, m, o)
	if err != nil {
		return false, err
	}
	id := a.printMade(f, made, "is whole")
	if a.out.json {
		a.out.object(struct {
			Type string     `json:"message_type"`
			Old  string     `json:"original"`
			New  string     `json:"snapshot_id,omitempty"`
			Lost []lostJSON `json:"lost"`
		}{"repaired", m.ID.String(), id, lost})
	}
	return made != nil, nil
}
