package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/internal/pattern"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/restore"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// restoreFlags are the flags of restore.
type restoreFlags struct {
	filter     filterFlags
	target     string
	toFile     string
	overwrite  string
	tree       restore.TreeOptions
	allowInUse bool
	hold       bool
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

What is there already with the right contents is not written again, so a restore that
was interrupted goes on when it is run once more. Nothing is written outside the
target. Patterns are matched with paths from the root of what is restored; of several
the last that matches counts, and "!" takes a match back.`,
		Example: `  holdfast restore latest --target /tmp/restored
  holdfast restore latest:/home/joe --target /home/joe --overwrite if-newer
  holdfast restore latest --target / --include /etc --dry-run -v
  holdfast restore 4bba301e:/dev/vg0/db --to-file /dev/vg0/db-restored --verify`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runRestore(cmd.Context(), &f, args[0]) },
	}
	f.register(cmd.Flags())
	a.global.registerSalvage(cmd.Flags())
	a.completeSnapshots(cmd)
	return cmd
}

func (f *restoreFlags) register(s *pflag.FlagSet) {
	f.filter.register(s)
	o := &f.tree
	s.StringVarP(&f.target, "target", "t", "", "the `folder` to restore to")
	s.StringVar(&f.toFile, "to-file", "", "write one file or disk image to this `file` or device")
	s.StringVar(&f.overwrite, "overwrite", "always", "files that are there: `when` to overwrite them: always, if-changed, if-newer or never")
	s.BoolVar(&o.Delete, "delete", false, "delete what is in the restored folders and not in the snapshot")
	s.StringArrayVarP(&o.Include, "include", "i", nil, "restore only what matches this `pattern` (repeatable)")
	s.StringArrayVar(&o.IInclude, "iinclude", nil, "restore only what matches this `pattern`, whatever the case")
	s.StringArrayVarP(&o.Exclude, "exclude", "e", nil, "leave out what matches this `pattern` (repeatable)")
	s.StringArrayVar(&o.IExclude, "iexclude", nil, "leave out what matches this `pattern`, whatever the case")
	s.BoolVar(&o.Verify, "verify", false, "read everything back from the disk in the end and compare")
	s.BoolVar(&o.Sync, "sync", false, "make sure that all is on the disk in the end")
	s.BoolVar(&o.NoSparse, "no-sparse", false, "write zeros instead of leaving holes")
	s.BoolVarP(&o.DryRun, "dry-run", "n", false, "change nothing, and say what would be done")
	s.BoolVar(&o.NoOwner, "no-owner", false, "leave everything to whoever runs this")
	s.BoolVar(&o.OwnerByName, "owner-by-name", false, "look for users and groups by name instead of number")
	s.BoolVar(&o.NoXattrs, "no-xattrs", false, "set no extended attributes, ACLs or capabilities")
	s.BoolVar(&f.hold, "hold", false, "keep what is restored from being deleted by a forget and a prune meanwhile; takes the key of an admin")
	s.BoolVar(&f.allowInUse, "allow-in-use", false, "with --to-file: write to a device that is in use")
}

// validate reads what flags say, and refuses what cannot be meant.
func (f *restoreFlags) validate() (err error) {
	o := &f.tree
	if o.Overwrite, err = restore.ParseOverwrite(f.overwrite); err != nil {
		return usagef("--overwrite %q: it is always, if-changed, if-newer or never", f.overwrite)
	}
	for _, p := range slices.Concat(o.Include, o.IInclude, o.Exclude, o.IExclude) {
		if _, err := pattern.Compile([]string{p}, nil); err != nil {
			return asUsage(err)
		}
	}
	ofTree := o.Delete || o.DryRun || o.NoOwner || o.OwnerByName || o.NoXattrs || len(o.Include)+len(o.IInclude)+len(o.Exclude)+len(o.IExclude) > 0
	switch {
	case f.target == "" && f.toFile == "":
		return usagef("restore needs --target FOLDER or --to-file FILE")
	case f.target != "" && f.toFile != "":
		return usagef("--target and --to-file exclude each other")
	case f.toFile != "" && ofTree:
		return usagef("--to-file writes one file: it takes none of the flags that choose among files, delete, try or set attributes")
	case f.toFile != "" && o.Overwrite != restore.OverwriteAlways && o.Overwrite != restore.OverwriteNever:
		return usagef("--to-file: --overwrite is always or never")
	case f.target != "" && f.allowInUse:
		return usagef("--allow-in-use is for --to-file")
	}
	return nil
}

func (a *app) runRestore(ctx context.Context, f *restoreFlags, arg string) (err error) {
	if err := f.validate(); err != nil {
		return err
	}
	how := reading
	if f.hold {
		how = writing
	}
	r, err := a.openRepo(ctx, how)
	if err != nil {
		return err
	}
	defer r.close(&err)
	name, p := snapshot.SplitPath(arg)
	m, err := f.filter.find(ctx, r, name)
	if err != nil {
		return err
	}
	if f.hold {
		h, err := a.hold(ctx, r, m)
		if err != nil {
			return err
		}
		defer func() {
			if ended := h.Release(context.WithoutCancel(ctx)); err != nil && errors.Is(ended, repo.ErrSessionEnded) {
				a.out.note("a prune took this restore for dead and ended its hold on the snapshot, so that what was forgotten may be gone: %v", ended)
			}
		}()
	}
	a.setRestoreOptions(&f.tree.Options)
	f.tree.Sync = f.tree.Sync || f.tree.Verify // else memory would be compared
	if f.toFile != "" {
		return a.restoreFile(ctx, r, m, p, f)
	}
	return a.restoreTree(ctx, r, m, p, f)
}

// hold keeps a snapshot from being collected.
func (a *app) hold(ctx context.Context, r *openRepo, m *snapshot.Manifest) (*repo.Holding, error) {
	host, _ := os.Hostname()
	return r.Hold(ctx, []repo.ID{m.ID}, host, programVersion())
}

// restoreTree restores a whole snapshot, what is in a folder of it, or one entry.
func (a *app) restoreTree(ctx context.Context, r *openRepo, m *snapshot.Manifest, p string, f *restoreFlags) error {
	n, err := resolve(ctx, r, m, p)
	if err != nil {
		return err
	}
	var stats *restore.Stats
	if n.Type == tree.Directory {
		stats, err = restore.Tree(ctx, r.Repository, n.Dir, f.target, &f.tree)
	} else {
		stats, err = restore.Node(ctx, r.Repository, n, f.target, &f.tree)
	}
	return a.printRestore(ctx, m, stats, err, f.tree.DryRun)
}

// restoreFile writes one file or image.
func (a *app) restoreFile(ctx context.Context, r *openRepo, m *snapshot.Manifest, p string, f *restoreFlags) error {
	_, n, err := fileOf(ctx, r, m, p)
	if err != nil {
		return err
	}
	info, err := os.Stat(f.toFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	there := err == nil
	if there && f.tree.Overwrite == restore.OverwriteNever {
		return fmt.Errorf("%s is there already, and --overwrite never was given", f.toFile)
	}
	o := &restore.ImageOptions{
		Options: f.tree.Options, InPlace: there && (info.Size() > 0 || !info.Mode().IsRegular()), AllowInUse: f.allowInUse,
	}
	stats, err := restore.ImageFile(ctx, r.Repository, n.Content, f.toFile, o)
	return a.printRestore(ctx, m, stats, err, false)
}

// setRestoreOptions lets a restore tell how far it is.
func (a *app) setRestoreOptions(o *restore.Options) {
	show := newMeter(a.out, "restored")
	o.Report = a.reportRestore
	o.Progress = func(p restore.Progress) {
		show.show(state{
			Files: uint64(p.Files), TotalFiles: uint64(p.FilesTotal), Bytes: uint64(p.Bytes), TotalBytes: uint64(p.BytesTotal), Errors: uint64(p.Errors),
		})
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
	Type          string       `json:"message_type"`
	SnapshotID    string       `json:"snapshot_id"`
	DryRun        bool         `json:"dry_run"`
	Files         int64        `json:"files_restored"`
	Folders       int64        `json:"dirs_restored"`
	Others        int64        `json:"others_restored"`
	Unchanged     int64        `json:"files_unchanged"`
	Skipped       int64        `json:"files_skipped"`
	Deleted       int64        `json:"files_deleted"`
	Bytes         int64        `json:"total_bytes"`
	BytesWritten  int64        `json:"bytes_written"`
	BytesVerified int64        `json:"bytes_verified"`
	Seconds       float64      `json:"total_duration"`
	Traffic       *trafficJSON `json:"traffic,omitempty"`
}

// printRestore tells what was restored, and passes err on.
func (a *app) printRestore(ctx context.Context, m *snapshot.Manifest, s *restore.Stats, err error, dryRun bool) error {
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return &stoppedError{"run it again, and what is in place is not written again"}
	}
	if _, partly := errors.AsType[*restore.IncompleteError](err); s == nil || err != nil && !partly {
		return err
	}
	if a.out.json {
		a.out.object(restoreSummary{
			"summary", m.ID.String(), dryRun, s.Files, s.Folders, s.Others, s.Unchanged, s.Skipped, s.Deleted,
			s.Bytes, s.Written, s.Verified, s.Duration.Seconds(), a.traffic(),
		})
		return err
	}
	did := "restored"
	if dryRun {
		did = "dry run: would restore"
	}
	a.out.infof("%s %s, %s, %s of snapshot %s: %s, of which %s was written, in %s\n", did, count(s.Files, "file"), count(s.Folders, "folder"),
		count(s.Others, "other"), m.ShortID(), bytesText(uint64(s.Bytes)), bytesText(uint64(s.Written)), durationText(s.Duration))
	if s.Skipped+s.Deleted > 0 {
		a.out.infof("left as they were: %d, deleted: %d\n", s.Skipped, s.Deleted)
	}
	if s.Verified > 0 {
		a.out.infof("verified %s\n", bytesText(uint64(s.Verified)))
	}
	return err
}
