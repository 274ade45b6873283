package main

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/chunk"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/pack"
	"github.com/holdfast-backup/holdfast/snapshot"
)

// backupFlags are the flags of backup.
type backupFlags struct {
	sources sourceFlags

	init       bool
	newKeyFile string

	tags                 []string
	class                string
	host, time           string
	parent, groupBy      string
	chunker, compression string
	readConcurrency      int
	force, ignoreInode   bool
	ignoreCTime          bool
	withATime            bool
	allowInUse           bool
	allowFailure         bool
	skipIfUnchanged      bool
	dryRun               bool
	changeMaps           []string
	verifyChangeMaps     bool
}

func (a *app) backupCommand() *cobra.Command {
	var f backupFlags
	cmd := &cobra.Command{
		Use:   "backup [flags] PATH...",
		Short: "Make a snapshot of disks, files and folders, or of a stream",
		Long: `Make a snapshot of files and folders with all below them, of disks, or of a
stream. A block device named here is read as a disk image (met inside a folder
it is only a node). What did not change since the last snapshot of the same host
and paths is not read again, and nothing that the repository has is stored again.

With --change-map, only what changed in a disk or file since the parent is read,
as the output of one of these says: 'nbdinfo --map=qemu:dirty-bitmap:NAME --json'
(dirty: changed), or 'qemu-img map --output=json' (what is in the top layer:
changed; the backing file must be what the parent has). Name the parent: a map
that starts later misses changes. A map that does not fit is not used, and all is
read. After 30 such backups or 30 days all is read and compared with what the map
says; if it was wrong, the exit code is 3.

A source in use (a mounted device, an image that a virtual machine has open) is
refused unless --allow-in-use is given. What cannot be read is reported and left
out: the snapshot is marked incomplete, and the exit code is 3.`,
		Example: `  holdfast backup /etc /home --exclude '*.o' --exclude-caches
  holdfast backup /dev/vg0/db-snapshot --tag nightly
  holdfast backup --init --new-key-file /root/holdfast.key -r /srv/backups /etc
  holdfast backup /srv/vm.img --parent 1a2b3c4d --change-map dirty.json
  pg_dump mydb | holdfast backup --stdin --stdin-filename mydb.sql
  holdfast backup --stdin-from-command --stdin-filename mydb.sql -- pg_dump mydb`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.runBackup(cmd.Context(), &f, args) },
	}
	f.register(cmd.Flags())
	return cmd
}

func (f *backupFlags) register(s *pflag.FlagSet) {
	f.sources.register(s)
	s.BoolVar(&f.init, "init", false, "make the repository if there is none")
	s.StringVar(&f.newKeyFile, "new-key-file", "", "with --init: make a key `file` (it must not exist) to open the repository with")
	s.StringArrayVar(&f.tags, "tag", nil, "`tags` of the snapshot, separated by commas (repeatable)")
	s.StringVar(&f.class, "class", "", "retention `class` of the snapshot, for the policies of 'holdfast forget'")
	s.StringVarP(&f.host, "host", "H", "", "`name` of the host (default: this one's)")
	s.StringVar(&f.time, "time", "", "`time` of the snapshot, as 2006-01-02 15:04:05 (default: now)")
	s.StringVar(&f.parent, "parent", "", "compare with this `snapshot`, whatever its host and paths")
	s.StringVarP(&f.groupBy, "group-by", "g", "host,paths", "compare with the newest snapshot that has the same: `what`: host, paths, tags, separated by commas")
	s.BoolVarP(&f.force, "force", "f", false, "read every file, changed or not")
	s.StringArrayVar(&f.changeMaps, "change-map", nil, "read only what changed in a disk by the JSON in `[PATH=]FILE` (repeatable)")
	s.BoolVar(&f.verifyChangeMaps, "verify-change-map", false, "read all, and compare it with what the change maps say")
	s.BoolVar(&f.ignoreInode, "ignore-inode", false, "take files for unchanged whatever their inode numbers")
	s.BoolVar(&f.ignoreCTime, "ignore-ctime", false, "take files for unchanged whatever their times of status change")
	s.BoolVar(&f.withATime, "with-atime", false, "keep times of access")
	s.StringVar(&f.chunker, "chunker", "auto", "`how` to cut files: auto, aligned, gear, rabin or fixed")
	s.StringVar(&f.compression, "compression", "fastest", "`how` hard to compress: off, s2, fastest, default, better or best")
	s.IntVar(&f.readConcurrency, "read-concurrency", 0, "how `many` files, or parts of files, to read at the same time (default: one for each processor)")
	s.BoolVar(&f.allowInUse, "allow-in-use", false, "read disks and images that are in use, and take files that changed meanwhile as they were")
	s.BoolVar(&f.allowFailure, "allow-failure", false, "keep what a failing stream gave, as an incomplete snapshot")
	s.BoolVar(&f.skipIfUnchanged, "skip-if-unchanged", false, "make no snapshot if nothing named here differs from the parent")
	s.BoolVarP(&f.dryRun, "dry-run", "n", false, "store nothing, and say what would be")
}

// options turns the flags into options, but for the parent, which the repository must tell.
func (f *backupFlags) options() (*snapshot.BackupOptions, error) {
	o := &snapshot.BackupOptions{
		Host: f.host, Program: programVersion(), Class: f.class, Force: f.force, IgnoreInode: f.ignoreInode, IgnoreCTime: f.ignoreCTime,
		Workers: f.readConcurrency, WithATime: f.withATime, AllowInUse: f.allowInUse, AllowFailure: f.allowFailure,
		SkipIfUnchanged: f.skipIfUnchanged, DryRun: f.dryRun, VerifyChangeMaps: f.verifyChangeMaps,
	}
	for _, t := range f.tags {
		o.Tags = append(o.Tags, splitTags(t)...)
	}
	if err := checkTags(o.Tags); err != nil {
		return nil, err
	}
	var err error
	if f.chunker != "auto" {
		if o.Chunker, err = chunk.ParseKind(f.chunker); err != nil {
			return nil, usagef("--chunker %q: it is auto, aligned, gear, rabin or fixed", f.chunker)
		}
	}
	if o.Compression, err = parseCompression(f.compression); err != nil {
		return nil, usagef("--compression %q: it is off, s2, fastest, default, better or best", f.compression)
	}
	if f.time != "" {
		if o.Time, err = parseTime(f.time); err != nil {
			return nil, err
		}
	}
	by, err := snapshot.ParseGrouping(f.groupBy)
	if err != nil {
		return nil, usagef("--group-by: %w", err)
	}
	o.GroupBy = &by
	switch {
	case f.readConcurrency < 0 || f.readConcurrency > 64*runtime.NumCPU():
		return nil, usagef("--read-concurrency %d: give a small positive number", f.readConcurrency)
	case f.force && f.parent != "":
		return nil, usagef("--force and --parent exclude each other")
	case f.verifyChangeMaps && len(f.changeMaps) == 0:
		return nil, usagef("--verify-change-map needs a --change-map")
	case len(f.changeMaps) > 0 && (f.sources.stdin || f.sources.stdinCommand):
		return nil, usagef("a stream has no --change-map")
	case f.newKeyFile != "" && !f.init:
		return nil, usagef("--new-key-file is for a new repository: it needs --init")
	case f.init && f.dryRun:
		return nil, usagef("--init and --dry-run exclude each other")
	}
	return o, nil
}

// parseCompression reads a level; auto and max are what restic calls two of them.
func parseCompression(s string) (pack.Level, error) {
	switch s {
	case "auto":
		return pack.Fastest, nil
	case "max":
		return pack.Best, nil
	}
	return pack.ParseLevel(s)
}

func (a *app) runBackup(ctx context.Context, f *backupFlags, args []string) (err error) {
	o, err := f.options()
	if err != nil {
		return err
	}
	set, err := a.findSources(ctx, f, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, set.close()) }()
	r, err := a.openForBackup(ctx, f)
	if err != nil {
		return err
	}
	defer r.close(&err)
	if err := set.start(ctx); err != nil {
		return err
	}
	if f.parent != "" {
		m, err := snapshot.Find(ctx, r.Repository, f.parent, nil)
		if err != nil {
			return err
		}
		o.Parent = m.ID
	}
	m, alarmed, err := a.backup(ctx, r, set, o)
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return &stoppedError{"what was uploaded is kept, and the next run of this backup uses it"}
	}
	if err != nil {
		return err
	}
	a.printBackup(m, f)
	if !m.Complete {
		return errIncomplete
	}
	if alarmed {
		return errMapWrong
	}
	return nil
}

// openForBackup opens the repository, or makes it if that was asked for and there is none.
func (a *app) openForBackup(ctx context.Context, f *backupFlags) (*openRepo, error) {
	switch {
	case f.dryRun:
		return a.openRepo(ctx, reading)
	case !f.init:
		return a.openRepo(ctx, writing)
	}
	if err := a.checkNewKeyFile(f.newKeyFile); err != nil {
		return nil, err
	}
	there, err := a.repoExists(ctx)
	if err != nil {
		return nil, err
	}
	if !there {
		r, err := a.makeRepo(ctx, repo.Config{}, f.newKeyFile, "")
		if err == nil {
			a.printInit(r, f.newKeyFile)
		}
		return r, err
	}
	if f.newKeyFile != "" {
		return nil, errors.Join(a.mustBeVacant(ctx), errors.New("--new-key-file is for a new one: use --key-file"))
	}
	return a.openRepo(ctx, writing)
}

// backup runs the backup, showing how far it is. It reports whether a change map was found wrong.
func (a *app) backup(ctx context.Context, r *openRepo, set *sourceSet, o *snapshot.BackupOptions) (*snapshot.Manifest, bool, error) {
	show := newMeter(a.out, "backed up")
	total := a.newEstimate(ctx, set)
	defer total.stop()
	o.Progress = func(p snapshot.Progress) {
		files, bytes := total.get()
		show.show(state{Files: p.Files, TotalFiles: files, Bytes: p.BytesProcessed, TotalBytes: bytes, Errors: p.Errors})
	}
	var alarmed atomic.Bool
	o.Report = func(e snapshot.Event) {
		if e.Kind == snapshot.EventAlarm {
			alarmed.Store(true)
		}
		a.reportBackup(e)
	}
	m, err := snapshot.Backup(ctx, r.Repository, set.items, o)
	return m, alarmed.Load(), err
}

// reportBackup tells what became of a path.
func (a *app) reportBackup(e snapshot.Event) {
	switch {
	case e.Kind == snapshot.EventError, e.Kind == snapshot.EventAlarm:
		a.out.fault("backup", e.Path, e.Err)
	case e.Kind == snapshot.EventNote:
		message := e.Err.Error()
		if !strings.Contains(message, e.Path) {
			message = e.Path + ": " + message
		}
		a.out.note("%s", message)
	case a.out.verbose == 0 || a.out.verbose == 1 && e.Kind == snapshot.EventUnmodified:
	case a.out.json:
		a.out.object(struct {
			Type   string `json:"message_type"`
			Action string `json:"action"`
			Item   string `json:"item"`
			Size   int64  `json:"data_size"`
		}{"verbose_status", e.Kind.String(), jsonName(e.Path), e.Size})
	default:
		a.out.printf("%-10s %s\n", e.Kind, a.out.name(e.Path))
	}
}

// backupSummary is the last line of `backup --json`.
type backupSummary struct {
	Type string `json:"message_type"`
	summaryJSON
	DryRun      bool         `json:"dry_run"`
	BackupStart jsonTime     `json:"backup_start"`
	BackupEnd   jsonTime     `json:"backup_end"`
	Complete    bool         `json:"complete"`
	Parent      string       `json:"parent,omitempty"`
	SnapshotID  string       `json:"snapshot_id,omitempty"`
	Traffic     *trafficJSON `json:"traffic,omitempty"`
}

func (a *app) printBackup(m *snapshot.Manifest, f *backupFlags) {
	s := &m.Stats
	if a.out.json {
		sum := backupSummary{
			Type: "summary", summaryJSON: newSummaryJSON(s), DryRun: f.dryRun, Complete: m.Complete,
			BackupStart: jsonTime(time.Now().Add(-s.Duration)), BackupEnd: jsonTime(time.Now()), Traffic: a.traffic(),
		}
		if !m.Parent.IsZero() {
			sum.Parent = m.Parent.String()
		}
		if !m.ID.IsZero() {
			sum.SnapshotID = m.ID.String()
		}
		a.out.object(sum)
		return
	}
	a.out.infof("Files:  %7d new, %7d changed, %7d unmodified\n", s.FilesNew, s.FilesChanged, s.FilesUnmodified)
	a.out.infof("Dirs:   %7d new, %7d changed, %7d unmodified\n", s.DirsNew, s.DirsChanged, s.DirsUnmodified)
	a.out.infof("Processed %s (%s of holes, %s read) in %s\n", bytesText(s.BytesProcessed), bytesText(s.HoleBytes), bytesText(s.BytesRead), durationText(s.Duration))
	verb := "Added"
	if f.dryRun {
		verb = "Would add"
	}
	a.out.infof("%s %s to the repository, stored in %s\n", verb, bytesText(s.BytesAdded), bytesText(s.BytesStored))
	switch {
	case f.dryRun:
		a.out.infof("dry run: nothing was stored\n")
	case m.ID.IsZero():
		a.out.infof("nothing differs from snapshot %s: no new one was made\n", m.Parent.String()[:8])
	default:
		a.out.infof("snapshot %s saved\n", m.ShortID())
	}
}

// maxTag is the length of the longest tag in bytes.
const maxTag = 4096

// checkTags refuses tags that cannot be stored.
func checkTags(tags []string) error {
	if len(tags) > 1024 {
		return usagef("there are %d tags, at most 1024 are kept", len(tags))
	}
	for _, t := range tags {
		if len(t) > maxTag {
			return usagef("tag %.20q...: it is longer than %d bytes", t, maxTag)
		}
	}
	return nil
}
