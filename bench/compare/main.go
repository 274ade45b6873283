//go:build linux

// Command compare measures Holdfast beside every other backup program found on PATH: restic, kopia, borg, plakar, desync.
//
//	go run ./bench/compare --corpus DIR [--scale N] [--rounds N] [--steps vm-day0,restore] [--peers restic,borg] [--json F] [--svg F]
//
// DIR is filled by bench/corpus, here if it is empty. Each run is a process of its own; each round starts with fresh repositories
// and caches; within a step the programs take turns, and the first one changes from round to round. What is read is in the page
// cache, and what was written is on the disk, before the clock starts. Every restore is compared with its source. The tables show
// medians, spread, and ratios between runs of one round, and for Holdfast which of this machine's own limits it is near.
//
// A long comparison can be run in pieces: --from a.json,b.json prints what several runs on one machine measured, and measures nothing.
// bench/README.md says how things are measured, and what each program is given.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is what the command line says.
type config struct {
	corpus, work, holdfast string
	scale, rounds          int
	steps, peers, from     []string
	json, svg              string
	gauge                  time.Duration // how long each of the machine's parts is measured
}

func main() {
	os.Exit(realMain(os.Args[1:], os.Stdout, os.Stderr))
}

func realMain(args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "compare:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err = compare(ctx, cfg, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "compare: interrupted")
		return 130
	default:
		fmt.Fprintln(stderr, "compare:", err)
		return 1
	}
}

func parseFlags(args []string, stderr io.Writer) (config, error) {
	cfg := config{gauge: 500 * time.Millisecond}
	var steps, peers, from string
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&cfg.corpus, "corpus", "", "`folder` of bench/corpus, made if it has no manifest (needed)")
	fs.IntVar(&cfg.scale, "scale", 1, "make a corpus that is missing `N` times smaller")
	fs.StringVar(&cfg.work, "work", "", "`folder` for repositories and restored files, best on the corpus's file system (default: beside the corpus)")
	fs.IntVar(&cfg.rounds, "rounds", 3, "`how` often to run everything")
	fs.StringVar(&steps, "steps", "", "measure these `steps` and what they need, of "+strings.Join(stepNames(), ",")+" (default all)")
	fs.StringVar(&peers, "peers", "", "compare with these `programs`, of "+strings.Join(driverNames(), ",")+" (default all that are there)")
	fs.StringVar(&cfg.holdfast, "holdfast", "", "measure this `binary` (default: built from these sources)")
	fs.StringVar(&cfg.json, "json", "", "write everything measured to this `file`")
	fs.StringVar(&cfg.svg, "svg", "", "draw the ratios into this `file`")
	fs.StringVar(&from, "from", "", "measure nothing, and show what these `files`, written with --json, hold together")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	cfg.steps, cfg.peers, cfg.from = words(steps), words(peers), words(from)
	return cfg, cfg.validate(fs.Args())
}

// validate judges what can be judged before anything is run, and makes paths absolute.
func (c *config) validate(rest []string) (err error) {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case c.corpus == "" && len(c.from) == 0:
		return errors.New("--corpus DIR is needed")
	case c.scale < 1 || c.scale > 64:
		return fmt.Errorf("--scale %d is not in 1..64", c.scale)
	case c.rounds < 1 || c.rounds > 100:
		return fmt.Errorf("--rounds %d is not in 1..100", c.rounds)
	}
	if err := known("--steps", c.steps, stepNames()); err != nil {
		return err
	}
	if err := known("--peers", c.peers, driverNames()); err != nil {
		return err
	}
	for _, p := range []*string{&c.corpus, &c.work, &c.holdfast} {
		if *p == "" {
			continue
		}
		if *p, err = filepath.Abs(*p); err != nil {
			return fmt.Errorf("resolving a path: %w", err)
		}
	}
	if c.work == "" {
		c.work = filepath.Dir(c.corpus)
	}
	return nil
}

// words splits a list at commas.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// known refuses a name that is not among all.
func known(flag string, names, all []string) error {
	for _, n := range names {
		if !slices.Contains(all, n) {
			return fmt.Errorf("%s: there is no %q, of %s", flag, n, strings.Join(all, ", "))
		}
	}
	return nil
}

// compare measures, or reads what was measured, and shows it.
func compare(ctx context.Context, cfg config, stdout, stderr io.Writer) error {
	rep, err := readReports(cfg.from)
	if len(cfg.from) == 0 {
		rep, err = measure(ctx, cfg, stderr)
	}
	if err != nil {
		return err
	}
	if cfg.json != "" {
		if err := rep.save(cfg.json); err != nil {
			return err
		}
	}
	if cfg.svg != "" {
		if err := os.WriteFile(cfg.svg, chart(rep), 0o644); err != nil {
			return fmt.Errorf("writing the chart: %w", err)
		}
	}
	_, err = io.WriteString(stdout, rep.text())
	return err
}
