package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/internal/fsx"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot/tree"
)

// TreeOptions are the options of [Tree] and [Node]; nil means all fields zero.
type TreeOptions struct {
	Options
	// Overwrite says what becomes of files that are in the target already.
	Overwrite Overwrite
	// Delete removes what is in the folders that are restored and not in the snapshot, as far as it is selected.
	// It stops at what is mounted in the target of which the snapshot has nothing.
	Delete bool
	// Include and Exclude are patterns like those for backups, matched with paths that start at the root of what is restored. With
	// Include only what matches is restored, and the folders that lead to it; IInclude and IExclude do not regard case.
	Include, IInclude []string
	Exclude, IExclude []string
	// DryRun changes nothing, and reports what would be done. Contents are not compared: a file that is there already counts as
	// updated.
	DryRun bool
	// NoOwner leaves everything to whoever runs this. Without it only root can give files away; for others that is no failure.
	NoOwner bool
	// OwnerByName looks for users and groups by name, and takes the stored numbers only for names unknown here.
	OwnerByName bool
	// NoXattrs sets no extended attributes, and so neither access control lists nor capabilities.
	NoXattrs bool
}

// Overwrite says what becomes of files that are in the target already.
type Overwrite uint8

// The ways to treat files that are there already. Folders are kept, and get the attributes of the snapshot except with
// OverwriteNever, and with OverwriteIfNewer if they are newer. A restore that was interrupted goes on with OverwriteAlways or
// OverwriteIfChanged: the others take a file that it left half done for one of the user's.
const (
	// OverwriteAlways compares the contents and writes what differs.
	OverwriteAlways Overwrite = iota
	// OverwriteIfChanged takes files of the same size and modification time for equal, and treats others as OverwriteAlways does.
	OverwriteIfChanged
	// OverwriteIfNewer skips what is not newer in the snapshot, and treats the rest as OverwriteAlways does.
	OverwriteIfNewer
	// OverwriteNever skips whatever is there.
	OverwriteNever
)

// String returns the name that ParseOverwrite takes.
func (o Overwrite) String() string {
	if o > OverwriteNever {
		return fmt.Sprintf("overwrite(%d)", uint8(o))
	}
	return [...]string{"always", "if-changed", "if-newer", "never"}[o]
}

// ParseOverwrite returns what always, if-changed, if-newer or never means.
func ParseOverwrite(s string) (Overwrite, error) {
	for o := OverwriteAlways; o <= OverwriteNever; o++ {
		if s == o.String() {
			return o, nil
		}
	}
	return 0, fmt.Errorf("overwriting %q: must be always, if-changed, if-newer or never", s)
}

// Tree restores what is in a directory of a snapshot into the folder dir, which is made if it is missing, with owners, permissions, times,
// extended attributes and hard links. dir itself keeps its attributes, and may be reached through symlinks; below it none is followed.
//
// What is there already is treated as Overwrite says; a symlink, fifo or device in the place of something else, and a file with
// further links or that others may have open who may not open it as restored, is replaced, but a folder in the place of something else only
// if it is empty, or with Delete.
//
// Items that cannot be restored do not stop the rest: the error is an [*IncompleteError] then. Any other error ended the restore; run again
// it goes on where it stopped.
func Tree(ctx context.Context, r *repo.Repository, root repo.Pair, dir string, opts *TreeOptions) (*Stats, error) {
	return restoreTree(ctx, r, dir, opts, func(w *walk, s *selection) (bool, error) { return w.folder(root, s, 1) })
}

// Node restores one entry of a snapshot, with all that is below it, under its name into the folder dir. Patterns apply as if it were
// the only entry of a root. All else is as for [Tree], which restores the root itself.
func Node(ctx context.Context, r *repo.Repository, n *tree.Node, dir string, opts *TreeOptions) (*Stats, error) {
	if err := n.Validate(); err != nil {
		return nil, err
	}
	return restoreTree(ctx, r, dir, opts, func(w *walk, s *selection) (bool, error) { return false, w.node(n, s, 1) })
}

// start begins a walk at the root. Its result says whether all that the root has was shown.
type start func(*walk, *selection) (whole bool, err error)

func restoreTree(ctx context.Context, r *repo.Repository, dir string, opts *TreeOptions, begin start) (*Stats, error) {
	var o TreeOptions
	if opts != nil {
		o = *opts
	}
	o.setDefaults(r.Config().SegmentSize)
	f, err := newFilter(&o)
	if err != nil {
		return nil, err
	}
	if o.Overwrite > OverwriteNever {
		return nil, fmt.Errorf("restoring: unknown %s", o.Overwrite)
	}
	t := &treeRun{repo: r, opts: o, filter: f, begin: begin, problems: problems{report: o.Report}}
	t.counters.start = time.Now()
	t.folders.max, t.files.max, t.files.folders = maxFolders, maxFiles, &t.folders
	t.attributes = attributes{
		owner: !o.NoOwner, xattrs: !o.NoXattrs, byName: o.OwnerByName, root: isRoot(), failure: t.problems.failure, note: t.note,
	}
	if err := t.openTarget(dir); err != nil {
		return nil, fmt.Errorf("opening the target: %w", err)
	}
	defer t.folders.closeAll(t.root)
	defer t.files.closeAll()
	stop := t.counters.show(o.Progress, &t.problems)
	err = t.run(ctx)
	stop()
	if err == nil {
		err = t.problems.err()
	}
	return t.counters.stats(), err
}

// Limits of open files: together they stay below what systems allow by default.
const (
	maxFolders = 64
	maxFiles   = 128
)

// treeRun is one restore of a tree.
type treeRun struct {
	ctx        context.Context // of the engine
	repo       *repo.Repository
	opts       TreeOptions
	filter     *filter
	begin      start
	problems   problems
	counters   counters
	attributes attributes
	folders    folders
	files      files
	root       *folder
	done       doneList // what was put in place, for verifying
}

func (t *treeRun) note(path string, err error) {
	t.opts.Report(Event{Kind: EventNote, Path: path, Err: err})
}

// openTarget opens the folder to restore to, and makes it if need be.
func (t *treeRun) openTarget(dir string) error {
	t.root = newFolder(nil, "")
	t.root.ready = true
	if _, err := os.Stat(dir); t.opts.DryRun && errors.Is(err, fs.ErrNotExist) {
		t.root.made = true
		return nil
	}
	if err := fsx.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return t.folders.openRoot(t.root, dir)
}

func (t *treeRun) run(ctx context.Context) error {
	stop := t.count(ctx)
	defer stop()
	if err := t.restore(ctx); err != nil {
		return err
	}
	if t.opts.DryRun {
		return nil
	}
	if t.opts.Sync {
		if err := t.folders.sync(); err != nil {
			return fmt.Errorf("flushing the target: %w", err)
		}
	}
	if t.opts.Verify {
		return t.verify(ctx)
	}
	return nil
}

// restore walks through the tree once.
func (t *treeRun) restore(ctx context.Context) error {
	e, err := newEngine(ctx, t.repo, &t.opts.Options, &t.problems, &t.counters)
	if err != nil {
		return err
	}
	t.ctx = e.ctx
	v := &restorer{run: t, engine: e, at: t.root}
	w := &walk{ctx: e.ctx, loader: t.repo, v: v}
	s := t.filter.root()
	err = v.enterRoot()
	if err == nil {
		var whole bool
		if whole, err = t.begin(w, &s); err == nil {
			err = v.leave(&s, whole)
		}
	}
	v.links.forget(t)
	return e.finish(err)
}

// doneList is a bit for each entry that a walk shows: whether it was put in place. It is safe for concurrent use.
type doneList struct {
	mu   sync.Mutex
	bits []uint64
}

func (d *doneList) set(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.bits) <= i/64 {
		d.bits = append(d.bits, 0)
	}
	d.bits[i/64] |= 1 << (i % 64)
}

func (d *doneList) has(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return i/64 < len(d.bits) && d.bits[i/64]>>(i%64)&1 != 0
}

// count adds up what there is to restore, for the progress, until the returned function is called.
func (t *treeRun) count(ctx context.Context) (stop func()) {
	if t.opts.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := t.filter.root()
		_, _ = t.begin(&walk{ctx: ctx, loader: t.repo, v: &counter{counters: &t.counters}}, &s) // who restores hears of errors
	}()
	return func() {
		cancel()
		<-done
	}
}

// counter is the visitor that counts.
type counter struct{ counters *counters }

func (c *counter) enter(*tree.Node, *selection, bool) (bool, error) { return true, nil }
func (c *counter) leave(*selection, bool) error                     { return nil }
func (c *counter) name(string)                                      {}
func (c *counter) unreadable(error) error                           { return nil }

func (c *counter) entry(n *tree.Node) error {
	if n.Type.HasContent() {
		c.counters.filesTotal.Add(1)
		c.counters.bytesTotal.Add(n.Content.Size)
	}
	return nil
}
