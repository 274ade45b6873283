//go:build linux

// Command corpus makes the data that backup tests and benchmarks run on: a Debian disk image, the same image a day later, a second
// image with the same files laid out in another order, PostgreSQL dumps, random bytes, and a file tree with odd metadata.
//
//	go run ./bench/corpus -out DIR [--scale N] [--seed S] [--only vm,vm2,pg,rand,tree]
//
// With --scale 1 the images are 4 GiB Debian systems made by debootstrap (root and loop devices needed) and the dumps are about
// 1 GB. With --scale N everything is N times smaller, the images hold a seeded selection of this machine's /usr written by debugfs,
// and nothing needs root. The command installs nothing: it names the Debian packages it misses.
//
// DIR/manifest.json lists what was made, with sizes and BLAKE3 hashes. Finished files are kept on the next run unless --force is
// given, the seed or the scale differ, or a better way of making them has become possible. Files made by debugfs, PostgreSQL
// with one client, or from the seed alone are the same bytes each time on one machine; Debian images are not (they hold times).
// DIR/.cache keeps downloaded packages; DIR/.work is scratch space and holds build.log.
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
	"strings"
	"syscall"
)

// config is what the command line says.
type config struct {
	out    string
	scale  int
	seed   uint64
	only   []string
	force  bool
	verify bool
	strict bool
	suite  string
}

// partNames lists the parts in the order in which they are built.
func partNames() []string { return []string{"rand", "tree", "pg", "vm", "vm2"} }

func main() {
	os.Exit(realMain(os.Args[1:], os.Stdout, os.Stderr))
}

func realMain(args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "corpus:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err = build(ctx, cfg, stdout, stderr)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "corpus: interrupted; finished files are kept")
		return 130
	default:
		fmt.Fprintln(stderr, "corpus:", err)
		return 1
	}
}

func parseFlags(args []string, stderr io.Writer) (config, error) {
	var cfg config
	var only string
	fs := flag.NewFlagSet("corpus", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&cfg.out, "out", "", "folder to fill (needed)")
	fs.IntVar(&cfg.scale, "scale", 1, "make everything `N` times smaller, 1 to 64")
	fs.Uint64Var(&cfg.seed, "seed", 1, "seed of everything that is random")
	fs.StringVar(&only, "only", "", "parts to build, of "+strings.Join(partNames(), ",")+" (default all)")
	fs.BoolVar(&cfg.force, "force", false, "build again what is finished")
	fs.BoolVar(&cfg.verify, "verify", false, "read and hash finished files before keeping them")
	fs.BoolVar(&cfg.strict, "strict", false, "fail where a tool is missing, rather than fall back to lesser data")
	fs.StringVar(&cfg.suite, "suite", "bookworm", "Debian release for the full-scale images")
	if err := fs.Parse(args); err != nil {
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if cfg.out == "" {
		return cfg, errors.New("-out DIR is needed")
	}
	if cfg.scale < 1 || cfg.scale > 64 {
		return cfg, fmt.Errorf("--scale %d is not in 1..64", cfg.scale)
	}
	abs, err := filepath.Abs(cfg.out)
	if err != nil {
		return cfg, fmt.Errorf("resolving -out: %w", err)
	}
	cfg.out = abs
	cfg.only, err = parseOnly(only)
	return cfg, err
}

// parseOnly returns the wanted parts in building order; vm2 is made from vm, so it brings vm along.
func parseOnly(list string) ([]string, error) {
	if list == "" {
		return partNames(), nil
	}
	want := map[string]bool{}
	for _, p := range strings.Split(list, ",") {
		want[strings.TrimSpace(p)] = true
	}
	if want["vm2"] {
		want["vm"] = true
	}
	var parts []string
	for _, p := range partNames() {
		if want[p] {
			parts = append(parts, p)
			delete(want, p)
		}
	}
	for p := range want {
		return nil, fmt.Errorf("--only: no part %q (parts: %s)", p, strings.Join(partNames(), ", "))
	}
	return parts, nil
}
