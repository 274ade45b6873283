//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// corpus is what bench/corpus made.
type corpus struct {
	dir   string
	Files []corpusFile `json:"files"`
}

// corpusFile is one file of the corpus; sizes are bytes.
type corpusFile struct {
	Name      string `json:"name"`
	Size      int64  `json:"size"`
	Allocated int64  `json:"allocated"`
	BLAKE3    string `json:"blake3"`
}

// data is the number of bytes that are no holes.
func (f *corpusFile) data() int64 { return min(f.Size, f.Allocated) }

func (c *corpus) find(name string) *corpusFile {
	for i := range c.Files {
		if c.Files[i].Name == name {
			return &c.Files[i]
		}
	}
	return nil
}

func (c *corpus) has(name string) bool    { return c.find(name) != nil }
func (c *corpus) path(name string) string { return filepath.Join(c.dir, name) }

// openCorpus reads the manifest of a corpus, which is made first if there is none.
func openCorpus(ctx context.Context, cfg config, stderr io.Writer) (*corpus, error) {
	path := filepath.Join(cfg.corpus, "manifest.json")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		cmd := exec.CommandContext(ctx, "go", "run", "github.com/holdfast-backup/holdfast/bench/corpus", "-out", cfg.corpus, "--scale", strconv.Itoa(cfg.scale))
		cmd.Stdout, cmd.Stderr = stderr, stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("making the corpus: %w", err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening the corpus: %w", err)
	}
	c := &corpus{dir: cfg.corpus}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", path, err)
	}
	return c, nil
}

// bench is one comparison under way.
type bench struct {
	corpus *corpus
	peers  []*peer
	work   string // removed at the end
	filler *filler
	log    io.Writer
	rep    *report
}

// measure runs everything that cfg asks for.
func measure(ctx context.Context, cfg config, stderr io.Writer) (rep *report, err error) {
	c, err := openCorpus(ctx, cfg, stderr)
	if err != nil {
		return nil, err
	}
	steps := selectSteps(cfg.steps, c.has)
	for _, s := range steps {
		if s.file != "" && !c.has(s.file) {
			return nil, fmt.Errorf("step %s needs %s, which the corpus at %s has not", s.name, s.file, c.dir)
		}
	}
	work, err := os.MkdirTemp(cfg.work, "compare.")
	if err != nil {
		return nil, fmt.Errorf("making the work folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	commit := ""
	if cfg.holdfast == "" {
		cfg.holdfast = filepath.Join(work, "holdfast")
		if commit, err = buildHoldfast(ctx, cfg.holdfast); err != nil {
			return nil, err
		}
	}
	peers, err := findPeers(ctx, cfg.holdfast, cfg.peers)
	if err != nil {
		return nil, err
	}
	peers[0].Version += commit
	b := &bench{corpus: c, peers: peers, work: work, filler: newFiller(work), log: stderr, rep: &report{Time: time.Now().UTC(), Machine: thisMachine(), Corpus: c.Files, Peers: peers}}
	if b.rep.Limits, err = (gauge{cfg.gauge}).limits(ctx, c, work); err != nil {
		return nil, err
	}
	for round := range cfg.rounds {
		for _, set := range sets(steps) {
			if err := b.runSet(ctx, round, set); err != nil {
				return nil, err
			}
		}
	}
	return b.rep, nil
}

// runSet runs steps that share repositories: new ones for each program, removed at the end.
func (b *bench) runSet(ctx context.Context, round int, set []step) (err error) {
	dir := filepath.Join(b.work, set[0].set)
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.MkdirAll(filepath.Join(dir, "src"), 0o755); err != nil {
		return fmt.Errorf("making a work folder: %w", err)
	}
	if set[0].job != jobInit {
		set = append([]step{{set: set[0].set, job: jobInit}}, set...)
	}
	for _, s := range set {
		for i := range b.peers {
			r := &turn{bench: b, step: s, round: round, peer: b.peers[(i+round)%len(b.peers)], dir: dir}
			r.place = place{filepath.Join(dir, r.peer.Name)}
			if err := r.run(ctx); err != nil {
				return fmt.Errorf("step %q: %w", s.title, err)
			}
		}
	}
	return nil
}

// turn is one program's run of one step.
type turn struct {
	*bench
	step  step
	round int
	peer  *peer
	place place
	dir   string
}

// run does a step if the program can, and records what it took.
func (r *turn) run(ctx context.Context) error {
	t := task{job: r.step.job, source: filepath.Join(r.dir, "src", r.step.as), label: r.step.label, target: filepath.Join(r.place.dir, "out"), clean: filepath.Join(r.place.dir, "clean.json")}
	if t.job == jobInit {
		if err := r.prepare(); err != nil {
			return err
		}
	}
	if len(r.peer.commands(r.place, t)) == 0 {
		return nil
	}
	if err := r.ready(&t); err != nil {
		return err
	}
	list := r.peer.commands(r.place, t)
	before, err := treeSize(r.place.repo())
	if err != nil {
		return err
	}
	s := sample{Step: r.step.name, Peer: r.peer.Name, Round: r.round}
	for _, p := range list {
		sp := &spawn{path: r.peer.path, args: p.args, env: r.peer.environment(r.place), dir: r.place.dir, output: filepath.Join(r.dir, "output")}
		if p.dir != "" {
			sp.dir = p.dir
		}
		if t.job == jobStream {
			sp.stdin = t.source
		}
		u, err := sp.run(ctx)
		if err != nil {
			return err
		}
		s.add(u)
	}
	if s.Repository, err = treeSize(r.place.repo()); err != nil {
		return err
	}
	s.Added = s.Repository - before
	if err := r.verify(&t); err != nil || r.step.name == "" {
		return err
	}
	fmt.Fprintf(r.log, "round %d  %-36s %-9s %8.3f s\n", r.round+1, r.step.title, r.peer.Name, s.Seconds)
	r.rep.Samples = append(r.rep.Samples, s)
	return nil
}

// prepare makes the folders of a program, and the repository of one that has no command for it.
func (r *turn) prepare() error {
	err := os.MkdirAll(r.place.home(), 0o700)
	if p, ok := r.peer.driver.(preparer); ok {
		err = errors.Join(err, p.prepare(r.place))
	}
	if err != nil {
		return fmt.Errorf("preparing a place for %s: %w", r.peer.Name, err)
	}
	return nil
}

// fillFrom is from which size of the source on memory is filled: little fits what was touched before.
const fillFrom = 1 << 30

// ready puts the source in place, fills memory, brings what will be read into the page cache, and lets the disk finish what was written before.
func (r *turn) ready(t *task) (err error) {
	if f := r.corpus.find(r.step.file); f != nil && f.Size >= fillFrom {
		if err := r.filler.fillMemory(); err != nil {
			return err
		}
	}
	switch t.job {
	case jobBackup, jobFast, jobStream, jobReread:
		if err := stage(r.corpus.path(r.step.file), t.source); err != nil {
			return err
		}
		_, err = warm(t.source)
	case jobMapped:
		if err := stage(r.corpus.path(r.step.file), t.source); err != nil {
			return err
		}
		err = writeClean(t.clean, r.corpus.find(r.step.file).Size)
	case jobRestore:
		if err := os.MkdirAll(t.target, 0o700); err != nil {
			return fmt.Errorf("making a folder to restore to: %w", err)
		}
		_, err = warm(r.place.repo())
	case jobInPlace: // over what the restore left
		if t.target, err = findRestored(t.target, r.step.as); err != nil {
			return err
		}
		_, err = warm(t.target)
	case jobCheck, jobForget:
		_, err = warm(r.place.repo())
	case jobList:
		err = os.RemoveAll(r.place.cache())
	}
	if err != nil {
		return err
	}
	unix.Sync()
	return nil
}

// verify compares what was restored with its source, and removes it when no later step needs it.
func (r *turn) verify(t *task) error {
	out := filepath.Join(r.place.dir, "out")
	got := t.target
	switch t.job {
	case jobRestore:
		var err error
		if got, err = findRestored(out, r.step.as); err != nil {
			return err
		}
	case jobInPlace:
	default:
		return nil
	}
	if err := sameBytes(r.corpus.path(r.step.file), got); err != nil {
		return err
	}
	if t.job == jobRestore && len(r.peer.commands(r.place, task{job: jobInPlace})) > 0 {
		return nil
	}
	return os.RemoveAll(out)
}
