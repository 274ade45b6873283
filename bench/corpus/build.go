//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// builder carries one run: the command line, the manifest as it grows, and what must be undone at the end.
type builder struct {
	cfg     config
	man     *manifest
	run     *runner
	undo    *cleanups
	work    string
	cache   string
	files   string // what images without a Debian system are filled from
	message io.Writer
}

func (b *builder) say(format string, args ...any) {
	fmt.Fprintf(b.message, "corpus: "+format+"\n", args...)
}

// build makes the wanted parts, in order, and prints what is there.
func build(ctx context.Context, cfg config, stdout, stderr io.Writer) (err error) {
	b, err := newBuilder(cfg, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.undo.runAll()) }()
	if err := b.checkSpace(); err != nil {
		return err
	}
	for _, name := range cfg.only {
		if err := b.buildPart(ctx, name); err != nil {
			return fmt.Errorf("building %s: %w", name, err)
		}
	}
	return b.man.print(stdout)
}

// newBuilder locks the folder, clears what a killed run left behind, and reads the manifest.
func newBuilder(cfg config, stderr io.Writer) (*builder, error) {
	b := &builder{cfg: cfg, undo: &cleanups{}, message: stderr,
		work: filepath.Join(cfg.out, ".work"), cache: filepath.Join(cfg.out, ".cache"), files: "/usr"}
	if err := os.MkdirAll(cfg.out, 0o755); err != nil {
		return nil, fmt.Errorf("making the corpus folder: %w", err)
	}
	lock, err := lockFolder(filepath.Join(cfg.out, ".lock"))
	if err != nil {
		return nil, err
	}
	b.undo.add(lock.Close)
	if err := b.prepareWork(); err != nil {
		return nil, errors.Join(err, b.undo.runAll())
	}
	return b, nil
}

func (b *builder) prepareWork() error {
	if err := unmountBelow(b.work); err != nil {
		return fmt.Errorf("unmounting what an earlier run left: %w", err)
	}
	if err := os.RemoveAll(b.work); err != nil {
		return fmt.Errorf("clearing the work folder: %w", err)
	}
	for _, dir := range []string{b.work, b.cache} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making a work folder: %w", err)
		}
	}
	b.undo.add(b.clearWork)
	log, err := os.Create(filepath.Join(b.work, logName))
	if err != nil {
		return fmt.Errorf("making the build log: %w", err)
	}
	b.undo.add(log.Close)
	b.run = &runner{log: log}
	b.man, err = loadManifest(filepath.Join(b.cfg.out, "manifest.json"))
	return err
}

// logName is the file in the work folder that outlives a run.
const logName = "build.log"

// clearWork removes all scratch files but the log. It leaves everything alone while something is still mounted there.
func (b *builder) clearWork() error {
	if points, err := mountPoints(b.work); err != nil || len(points) > 0 {
		return errors.Join(err, fmt.Errorf("%d mounts are left below %s", len(points), b.work))
	}
	entries, err := os.ReadDir(b.work)
	if err != nil {
		return fmt.Errorf("clearing the work folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() == logName {
			continue
		}
		if err := os.RemoveAll(b.temp(e.Name())); err != nil {
			return fmt.Errorf("clearing the work folder: %w", err)
		}
	}
	return nil
}

func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	// A child just being started holds the lock of its parent until it runs its program.
	for deadline := time.Now().Add(2 * time.Second); errors.Is(err, unix.EWOULDBLOCK) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s (is another run using this folder?): %w", path, err), f.Close())
	}
	return f, nil
}

// checkSpace refuses to start what cannot fit: a full corpus takes about 10 GB, and about 5 GB more while it is made.
func (b *builder) checkSpace() error {
	need := int64(2<<30) / int64(b.cfg.scale)
	for _, p := range b.cfg.only {
		if p != "tree" {
			need += (3 << 30) / int64(b.cfg.scale)
		}
	}
	for _, e := range b.man.Files {
		need -= e.Allocated
	}
	var st unix.Statfs_t
	if err := unix.Statfs(b.cfg.out, &st); err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return fmt.Errorf("%s has %d MB free, this corpus needs about %d MB", b.cfg.out, free/1e6, need/1e6)
	}
	return nil
}

func (b *builder) buildPart(ctx context.Context, name string) error {
	start := time.Now()
	var err error
	switch name {
	case "rand":
		err = b.buildRand(ctx)
	case "tree":
		err = b.buildTree(ctx)
	case "pg":
		err = b.buildPG(ctx)
	case "vm":
		err = b.buildVM(ctx)
	case "vm2":
		err = b.buildVM2(ctx)
	default:
		err = fmt.Errorf("no part %q", name)
	}
	if err == nil {
		b.say("%s ready (%.1f s)", name, time.Since(start).Seconds())
	}
	return err
}

// want describes a file to be made: everything that decides its content is in Recipe.
type want struct {
	name     string
	part     string
	recipe   string
	method   string
	fallback bool
	base     string
	notes    []string
}

func (b *builder) want(part, name, method string) want {
	return want{name: name, part: part, method: method,
		recipe: fmt.Sprintf("%s seed=%d scale=%d v1", name, b.cfg.seed, b.cfg.scale)}
}

func (b *builder) path(name string) string { return filepath.Join(b.cfg.out, name) }
func (b *builder) temp(name string) string { return filepath.Join(b.work, name) }

// kept reports whether a finished file may stay: same recipe, same base, unchanged bytes, and not a stand-in that can now be bettered.
func (b *builder) kept(w want) (bool, error) {
	e, ok := b.man.find(w.name)
	if !ok || b.cfg.force || e.Recipe != w.recipe || (e.Fallback && !w.fallback) || b.baseHash(w) != e.BaseBLAKE3 {
		return false, nil
	}
	same, err := e.matches(b.path(w.name), b.cfg.verify)
	if err != nil {
		return false, err
	}
	if same {
		b.say("%s kept", w.name)
	}
	return same, nil
}

func (b *builder) baseHash(w want) string {
	if w.base == "" {
		return ""
	}
	e, _ := b.man.find(w.base)
	return e.BLAKE3
}

// finish measures a file made at tmp, moves it into place and records it, so an interrupted run keeps it.
func (b *builder) finish(w want, tmp string, start time.Time) error {
	e := entry{Name: w.name, Part: w.part, Recipe: w.recipe, Method: w.method, Fallback: w.fallback, Notes: w.notes,
		Base: w.base, BaseBLAKE3: b.baseHash(w)}
	if err := e.measure(tmp); err != nil {
		return err
	}
	if w.base != "" {
		n, err := changedBlocks(b.path(w.base), tmp)
		if err != nil {
			return err
		}
		e.ChangedBlocks = n
	}
	e.Seconds = time.Since(start).Seconds()
	dst := b.path(w.name)
	if err := os.RemoveAll(dst); err != nil {
		return fmt.Errorf("removing the old %s: %w", w.name, err)
	}
	if err := os.Rename(tmp, dst); err != nil {
		return fmt.Errorf("moving %s into place: %w", w.name, err)
	}
	b.man.put(e)
	if err := b.man.save(); err != nil {
		return err
	}
	b.say("%s made in %.1f s: %.1f MB, %.1f MB allocated (%s)", e.Name, e.Seconds, float64(e.Size)/1e6, float64(e.Allocated)/1e6, e.Method)
	return nil
}

// fallBack says what is missing for the real thing; with --strict that is an error.
func (b *builder) fallBack(what, missing, instead string) error {
	if b.cfg.strict {
		return fmt.Errorf("%s: %s", what, missing)
	}
	b.say("%s: %s; instead: %s", what, missing, instead)
	return nil
}

// print writes a table of everything in the manifest, in MB of 10^6 bytes.
func (m *manifest) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "name\tMB\tallocated MB\tseconds\tchanged 4 KiB blocks\tBLAKE3\tmethod")
	files := append([]entry(nil), m.Files...)
	sort.Slice(files, func(i, j int) bool { return files[i].Name < files[j].Name })
	for _, e := range files {
		changed := "-"
		if e.Base != "" {
			changed = fmt.Sprintf("%d (%.1f MB) vs %s", e.ChangedBlocks, float64(e.ChangedBlocks)*blockSize/1e6, e.Base)
		}
		fmt.Fprintf(tw, "%s\t%.1f\t%.1f\t%.1f\t%s\t%s\t%s\n", e.Name, float64(e.Size)/1e6, float64(e.Allocated)/1e6, e.Seconds,
			changed, e.BLAKE3[:16], strings.TrimSpace(e.Method))
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("printing the manifest: %w", err)
	}
	return nil
}
