package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
)

// restoreFlags are the flags of restore.
type restoreFlags struct {
	filter     filterFlags
	target     string
	toFile     string
	overwrite  string
	noSparse   bool
	verify     bool
	allowInUse bool
}

func (a *app) restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore [flags] SNAPSHOT[:PATH] --target FOLDER | --to-file FILE",
		Short: "Get files, folders or a disk back",
		Long: `Get data of a snapshot back. With --target everything lands below that folder under
its original path; with SNAPSHOT:PATH what is in that folder, or that one file, lands
in it directly. With --to-file one file or disk image is written to a file or a
device; without a path the snapshot must hold one file only.

What is there already and has the right contents is not written again, so a restore
that was interrupted goes on when it is run once more.`,
		Example: `  holdfast restore latest --target /tmp/restored
  holdfast restore latest:/home/joe --target /home/joe
  holdfast restore 4bba301e:/dev/vg0/db --to-file /dev/vg0/db-restored --verify`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRestore(cmd.Context(), &f, args[0]) },
	}
	s := cmd.Flags()
	f.filter.register(s)
	s.StringVarP(&f.target, "target", "t", "", "the `folder` to restore to")
	s.StringVar(&f.toFile, "to-file", "", "write one file or disk image to this `file` or device")
	s.StringVar(&f.overwrite, "overwrite", "always", "what to do about files that are there: `when` is always, if-changed, if-newer or never")
	s.BoolVar(&f.noSparse, "no-sparse", false, "write zeros instead of leaving holes")
	s.BoolVar(&f.verify, "verify", false, "read everything back in the end and compare")
	s.BoolVar(&f.allowInUse, "allow-in-use", false, "write to a device that is in use")
	a.completeSnapshots(cmd)
	return cmd
}

func (f *restoreFlags) validate() error {
	switch {
	case f.target == "" && f.toFile == "":
		return usagef("restore needs --target FOLDER or --to-file FILE")
	case f.target != "" && f.toFile != "":
		return usagef("--target and --to-file exclude each other")
	}
	return nil
}

func (a *app) runRestore(ctx context.Context, f *restoreFlags, arg string) (err error) {
	if err := f.validate(); err != nil {
		return err
	}
	r, err := a.openRepo(ctx, reading)
	if err != nil {
		return err
	}
	defer r.close(&err)
	name, p := snapshot.SplitPath(arg)
	m, err := f.filter.find(ctx, r, name)
	if err != nil {
		return err
	}
	return a.restoreFile(ctx, r, m, p, f)
}

// restoreFile writes one file or image.
func (a *app) restoreFile(ctx context.Context, r *openRepo, m *snapshot.Manifest, p string, f *restoreFlags) error {
	p, n, err := fileOf(ctx, r, m, p)
	if err != nil {
		return err
	}
	info, err := os.Stat(f.toFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && f.overwrite == "never" {
		return fmt.Errorf("%s is there already, and --overwrite never was given", f.toFile)
	}
	o := &restore.ImageOptions{
		Options: a.restoreOptions(f), InPlace: err == nil && (info.Size() > 0 || !info.Mode().IsRegular()), AllowInUse: f.allowInUse,
	}
	stats, err := restore.ImageFile(ctx, r.Repository, n.Content, f.toFile, o)
	return a.printRestore(ctx, m, stats, err)
}

func (a *app) restoreOptions(f *restoreFlags) restore.Options {
	show := newMeter(a.out, "restored")
	return restore.Options{
		NoSparse: f.noSparse, Verify: f.verify, Report: a.reportRestore,
		Progress: func(p restore.Progress) {
			show.show(state{
				Files: uint64(p.Files), TotalFiles: uint64(p.FilesTotal), Bytes: uint64(p.Bytes), TotalBytes: uint64(p.BytesTotal), Errors: uint64(p.Errors),
			})
		},
	}
}

// reportRestore tells what became of a path.
func (a *app) reportRestore(e restore.Event) {
	switch e.Kind {
	case restore.EventError:
		a.out.fault("restore", e.Path, e.Err)
		return
	case restore.EventNote:
		a.out.note("%s: %v", e.Path, e.Err)
		return
	case restore.EventUnchanged, restore.EventSkipped:
		if a.out.verbose < 2 {
			return
		}
	}
	switch {
	case a.out.verbose == 0:
	case a.out.json:
		a.out.object(struct {
			Type   string `json:"message_type"`
			Action string `json:"action"`
			Item   string `json:"item"`
			Size   int64  `json:"size"`
		}{"verbose_status", e.Kind.String(), jsonName(e.Path), e.Size})
	default:
		a.out.printf("%-10s %s\n", e.Kind, a.out.name(e.Path))
	}
}

// restoreSummary is the last line of `restore --json`.
type restoreSummary struct {
	Type          string  `json:"message_type"`
	SnapshotID    string  `json:"snapshot_id"`
	Files         int64   `json:"files_restored"`
	Folders       int64   `json:"dirs_restored"`
	Others        int64   `json:"others_restored"`
	Unchanged     int64   `json:"files_unchanged"`
	Skipped       int64   `json:"files_skipped"`
	Deleted       int64   `json:"files_deleted"`
	Bytes         int64   `json:"total_bytes"`
	BytesWritten  int64   `json:"bytes_written"`
	BytesVerified int64   `json:"bytes_verified"`
	Seconds       float64 `json:"total_duration"`
}

// printRestore tells what was restored, and passes err on.
func (a *app) printRestore(ctx context.Context, m *snapshot.Manifest, s *restore.Stats, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return &stoppedError{"run it again, and what is in place is not written again"}
	}
	partly := func() bool { _, ok := errors.AsType[*restore.IncompleteError](err); return ok }
	if s == nil || err != nil && !partly() {
		return err
	}
	if a.out.json {
		a.out.object(restoreSummary{
			"summary", m.ID.String(), s.Files, s.Folders, s.Others, s.Unchanged, s.Skipped, s.Deleted, s.Bytes, s.Written, s.Verified, s.Duration.Seconds(),
		})
		return err
	}
	a.out.infof("restored %d files, %d folders, %d others of snapshot %s: %s, of which %s was written, in %s\n",
		s.Files, s.Folders, s.Others, m.ShortID(), bytesText(uint64(s.Bytes)), bytesText(uint64(s.Written)), durationText(s.Duration))
	if s.Skipped+s.Deleted > 0 {
		a.out.infof("%d files were left as they were, %d deleted\n", s.Skipped, s.Deleted)
	}
	if s.Verified > 0 {
		a.out.infof("verified %s\n", bytesText(uint64(s.Verified)))
	}
	return err
}
