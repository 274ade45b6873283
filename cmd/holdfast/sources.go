package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// defaultStreamName is where a stream is in a snapshot unless it is given a name.
const defaultStreamName = "/stdin"

// sourceFlags say what to back up and what to leave out.
type sourceFlags struct {
	stdin, stdinCommand bool
	stdinFilename       string

	filesFrom, filesFromVerbatim, filesFromRaw []string

	filter     source.FilterOptions
	largerThan string
}

func (f *sourceFlags) register(s *pflag.FlagSet) {
	s.BoolVar(&f.stdin, "stdin", false, "back up standard input as one file")
	s.BoolVar(&f.stdinCommand, "stdin-from-command", false, "back up the output of the command in the arguments as one file; if it fails, nothing is kept")
	s.StringVar(&f.stdinFilename, "stdin-filename", defaultStreamName, "`path` of that file in the snapshot")
	s.StringArrayVar(&f.filesFrom, "files-from", nil, "back up what the patterns in `file` match, one a line (repeatable; - is standard input)")
	s.StringArrayVar(&f.filesFromVerbatim, "files-from-verbatim", nil, "back up the paths in `file`, one a line, as they are")
	s.StringArrayVar(&f.filesFromRaw, "files-from-raw", nil, "back up the paths in `file`, each ended by a NUL")
	s.StringArrayVarP(&f.filter.Exclude, "exclude", "e", nil, "leave out what matches this `pattern` (repeatable)")
	s.StringArrayVar(&f.filter.IExclude, "iexclude", nil, "leave out what matches this `pattern`, whatever the case")
	s.StringArrayVar(&f.filter.ExcludeFiles, "exclude-file", nil, "leave out what matches a pattern in `file` (repeatable)")
	s.StringArrayVar(&f.filter.IExcludeFiles, "iexclude-file", nil, "leave out what matches a pattern in `file`, whatever the case")
	s.BoolVar(&f.filter.ExcludeCaches, "exclude-caches", false, "leave out what is in folders with a CACHEDIR.TAG")
	s.StringArrayVar(&f.filter.ExcludeIfPresent, "exclude-if-present", nil, "leave out what is in folders with this `name`, or name:header")
	s.StringVar(&f.largerThan, "exclude-larger-than", "", "leave out files of more than this `size`")
	s.BoolVarP(&f.filter.OneFileSystem, "one-file-system", "x", false, "stay on the file system of each path")
}

// sourceSet is what one run backs up.
type sourceSet struct {
	items  []snapshot.Item
	closes []func() error
	// light are the items again, with trees that read no attributes, for measuring; empty if there is nothing to measure.
	light  []snapshot.Item
	stream func(context.Context) (source.Stream, string, error) // makes the only item; nil unless it is a stream
}

func (s *sourceSet) close() error {
	var errs []error
	for _, c := range s.closes {
		if err := c(); !errors.Is(err, fs.ErrClosed) { // a failing backup closes its stream
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// measurable returns items for [snapshot.Measure].
func (s *sourceSet) measurable() []snapshot.Item {
	if s.stream != nil {
		return s.items
	}
	return s.light
}

// start begins what must not begin before the repository is open.
func (s *sourceSet) start(ctx context.Context) error {
	if s.stream == nil {
		return nil
	}
	stream, place, err := s.stream(ctx)
	if err != nil {
		return err
	}
	s.closes = append(s.closes, stream.Close)
	s.items = []snapshot.Item{snapshot.Stream(place, stream)}
	return nil
}

// findSources looks at all that is to be backed up. If nothing of it can be, that is an error, and nothing has been written.
func (a *app) findSources(ctx context.Context, f *backupFlags, args []string) (*sourceSet, error) {
	s := &f.sources
	if s.stdin || s.stdinCommand {
		return a.streamSource(s, args)
	}
	if s.stdinFilename != defaultStreamName || f.allowFailure {
		return nil, usagef("--stdin-filename and --allow-failure are for --stdin and --stdin-from-command")
	}
	o := s.filter
	o.Getenv = a.getenv
	if s.largerThan != "" {
		n, err := parseSize(s.largerThan)
		if err != nil || n == 0 {
			return nil, usagef("--exclude-larger-than %q: give a size such as 100M", s.largerThan)
		}
		o.LargerThan = n
	}
	filter, err := source.NewFilter(&o)
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, err
	}
	if err != nil {
		return nil, asUsage(err)
	}
	tree, err := source.NewTree(&source.TreeOptions{Filter: filter})
	if err != nil {
		return nil, err
	}
	light, err := source.NewTree(&source.TreeOptions{Filter: filter, NoXattrs: true})
	if err != nil {
		return nil, err
	}
	paths, err := a.sourcePaths(ctx, s, args)
	if err != nil {
		return nil, err
	}
	maps, err := readChangeMaps(f.changeMaps, paths)
	if err != nil {
		return nil, err
	}
	c := &collector{app: a, tree: tree, light: light, filter: filter, allowInUse: f.allowInUse, oneFileSystem: o.OneFileSystem, maps: maps}
	if err := c.collect(ctx, paths); err != nil {
		return nil, errors.Join(err, c.set.close())
	}
	return &c.set, nil
}

// streamSource plans the backup of a stream.
func (a *app) streamSource(s *sourceFlags, args []string) (*sourceSet, error) {
	place := path.Clean("/" + s.stdinFilename)
	switch {
	case s.stdin && s.stdinCommand:
		return nil, usagef("--stdin and --stdin-from-command exclude each other")
	case len(s.filesFrom)+len(s.filesFromVerbatim)+len(s.filesFromRaw) > 0:
		return nil, usagef("a stream cannot be backed up together with --files-from")
	case place == "/":
		return nil, usagef("--stdin-filename %q: it names no file", s.stdinFilename)
	case s.stdin && len(args) > 0:
		return nil, usagef("--stdin takes no paths: %q", args[0])
	case s.stdinCommand && len(args) == 0:
		return nil, usagef("--stdin-from-command needs a command: holdfast backup --stdin-from-command -- COMMAND ARGS")
	}
	return &sourceSet{stream: func(ctx context.Context) (source.Stream, string, error) {
		if s.stdin {
			return source.NewStream(ctx, a.stdin), place, nil
		}
		c, err := source.Command(ctx, args, &source.CommandOptions{Stderr: os.Stderr})
		return c, place, err
	}}, nil
}

// sourcePaths returns the absolute paths to back up, each once.
func (a *app) sourcePaths(ctx context.Context, s *sourceFlags, args []string) ([]string, error) {
	paths := slices.Clone(args)
	lists := []struct {
		flag  string
		files []string
		form  source.ListForm
	}{
		{"--files-from", s.filesFrom, source.ListPatterns}, {"--files-from-verbatim", s.filesFromVerbatim, source.ListVerbatim},
		{"--files-from-raw", s.filesFromRaw, source.ListRaw},
	}
	for _, l := range lists {
		for _, file := range l.files {
			found, err := a.readPaths(ctx, file, l.form)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", l.flag, file, err)
			}
			paths = append(append(paths, found.Paths...), found.Unmatched...) // the unmatched will turn out to be missing
		}
	}
	if len(paths) == 0 {
		return nil, usagef("there is nothing to back up: name files, folders or disks, or use --stdin")
	}
	for i, p := range paths {
		if p == "" {
			return nil, usagef("a path is empty")
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, err
		}
		paths[i] = abs
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func (a *app) readPaths(ctx context.Context, file string, form source.ListForm) (*source.PathList, error) {
	f := a.stdin
	if file != "-" {
		var err error
		if f, err = os.Open(file); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	list := source.NewStream(ctx, f) // somebody may be typing it
	defer list.Close()
	return source.ReadPaths(list, form)
}

// collector turns paths into items.
type collector struct {
	app        *app
	tree       *source.Tree
	light      *source.Tree
	filter     *source.Filter
	allowInUse bool
	maps       map[string]*source.ChangeMap

	oneFileSystem bool
	set           sourceSet
	found         int // items that are there
}

// collect looks at each path. A missing one stays an item, and a refused one too, so that the snapshot is marked incomplete; if all are, that is
// an error.
func (c *collector) collect(ctx context.Context, paths []string) error {
	var last error
	for _, p := range paths {
		err := c.path(ctx, p)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if isUsage(err) {
			return err
		}
		if err != nil {
			last = err
		}
	}
	switch {
	case c.found > 0:
		return nil
	case last == nil:
		return errors.New("nothing to back up: all that was named is excluded")
	case len(paths) == 1:
		return last
	}
	return fmt.Errorf("none of the %d paths can be backed up, the last because of: %w", len(paths), last)
}

// path adds one path. What keeps it from being backed up is returned; the backup will report it.
func (c *collector) path(ctx context.Context, p string) error {
	place := storedPath(p)
	e, err := c.light.Lstat(ctx, p)
	if err != nil {
		c.set.items = append(c.set.items, snapshot.Files(c.tree, place))
		return err
	}
	if !c.filter.Keep(p, e) {
		c.app.out.note("%s is excluded", p)
		return nil
	}
	if e.Type == source.TypeSymlink {
		if target, err := c.tree.Stat(ctx, p); err == nil && target.Type == source.TypeBlockDevice {
			e = target
		} else {
			c.app.out.note("%s is a symlink, and is stored as one", p)
		}
	}
	switch m := c.maps[p]; {
	case e.Type == source.TypeBlockDevice:
		return c.disk(ctx, p, e, true)
	case e.Type == source.TypeFile && (m != nil || c.isImage(ctx, p, e)):
		return c.disk(ctx, p, e, false)
	case m != nil:
		return usagef("--change-map: %s is neither a disk nor a file", p)
	}
	c.noteRepository(ctx, p, e)
	c.found++
	c.set.items = append(c.set.items, snapshot.Files(c.tree, place))
	c.set.light = append(c.set.light, snapshot.Files(c.light, place))
	return nil
}

// noteRepository warns when the repository lies in a folder that is backed up: each backup would hold the ones before it.
func (c *collector) noteRepository(ctx context.Context, p string, e *source.Entry) {
	repo, err := c.app.repoAddress()
	if err != nil {
		return
	}
	rel, err := filepath.Rel(p, repo)
	if err != nil || !filepath.IsLocal(rel) {
		return
	}
	inner, err := c.light.Lstat(ctx, repo)
	if err != nil || !c.filter.Keep(repo, inner) || c.oneFileSystem && inner.Device != e.Device {
		return
	}
	c.app.out.note("the repository is backed up into itself, and grows by its own size each time: leave it out with --exclude %s", repo)
}

// isImage reports whether a regular file holds a disk. One that cannot be read is none: the backup will say so.
func (c *collector) isImage(ctx context.Context, p string, e *source.Entry) bool {
	f, err := c.tree.OpenFile(ctx, p, e)
	if err != nil {
		return false
	}
	defer f.Close()
	format, err := source.Sniff(f, f.Size(), false)
	return err == nil && format.Aligned()
}

// disk adds a disk or an image of one, unless somebody is writing to it.
func (c *collector) disk(ctx context.Context, p string, e *source.Entry, device bool) error {
	d, err := source.OpenDisk(ctx, p, &source.DiskOptions{AllowInUse: c.allowInUse})
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		c.set.items = append(c.set.items, snapshot.Refused(storedPath(p), err))
		return err
	}
	c.set.closes = append(c.set.closes, d.Close)
	if full, err := c.tree.Lstat(ctx, p); err == nil && full.Type == e.Type { // c.light leaves out extended attributes
		e = full
	}
	item := snapshot.Disk(storedPath(p), d, e, device)
	if m := c.maps[p]; m != nil {
		item = item.Since(repo.ID{}, m)
	}
	c.set.items = append(c.set.items, item)
	c.set.light = append(c.set.light, item)
	c.found++
	return nil
}

// storedPath is where a path of this machine lies in a snapshot: with slashes, and a drive as the first folder.
func storedPath(p string) string {
	p = filepath.ToSlash(p)
	if volume := filepath.VolumeName(p); volume != "" {
		p = "/" + strings.Trim(strings.ReplaceAll(volume, ":", ""), "/\\") + p[len(volume):]
	}
	return p
}
