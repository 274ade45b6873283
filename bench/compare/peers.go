//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// place is where one program keeps everything of one round: a folder of its own.
type place struct{ dir string }

func (p place) repo() string  { return filepath.Join(p.dir, "repo") }
func (p place) cache() string { return filepath.Join(p.dir, "cache") }
func (p place) home() string  { return filepath.Join(p.dir, "home") }

// task is a job with its particulars.
type task struct {
	job    job
	source string // path of the file that is backed up, was backed up, or is fed to standard input
	label  string // of the snapshot that is made or restored
	target string // folder to restore to; in place: the file to restore over
	clean  string // a change map by which nothing changed since the last snapshot of the source
}

// process is one command to run.
type process struct {
	args []string // without the program
	dir  string   // to run in
}

func run(args ...string) []process { return []process{{args: args}} }

// driver knows the command lines of one program.
type driver interface {
	// name is the program's name on PATH.
	name() string
	// env is the environment beside PATH, HOME and LC_ALL.
	env(p place) []string
	// version is the command line that prints the version.
	version() []string
	// commands does a task by processes run one after another. None says that the program cannot.
	commands(p place, t task) []process
}

// prober is a driver that must ask its program what it can do.
type prober interface {
	// probe learns from help, which returns the program's output for a command line.
	probe(help func(args ...string) string)
}

// preparer is a driver whose program has no command to make a repository.
type preparer interface{ prepare(p place) error }

func drivers() []driver {
	return []driver{&holdfast{}, &restic{}, kopia{}, borg{}, plakar{}, desync{}}
}

func driverNames() []string {
	var names []string
	for _, d := range drivers()[1:] {
		names = append(names, d.name())
	}
	return names
}

// peer is a program that takes part.
type peer struct {
	driver
	path string
	Name string `json:"name"`
	// Version is the first line that the program prints about itself.
	Version string `json:"version"`
}

// findPeers returns Holdfast and the programs that are wanted and there. One named in want that is not there is an error.
func findPeers(ctx context.Context, holdfast string, want []string) ([]*peer, error) {
	var peers []*peer
	for i, d := range drivers() {
		path := holdfast
		if i > 0 {
			found, err := exec.LookPath(d.name())
			switch {
			case len(want) > 0 && !slices.Contains(want, d.name()):
				continue
			case err != nil && len(want) == 0:
				continue
			case err != nil:
				return nil, fmt.Errorf("looking for a peer: %w", err)
			}
			path = found
		}
		p := &peer{driver: d, path: path, Name: d.name()}
		if err := p.meet(ctx); err != nil {
			return nil, err
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// meet asks for the version, and for what else the driver must know.
func (p *peer) meet(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, p.path, p.version()...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("asking %s for its version: %w", p.Name, err)
	}
	p.Version, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	if d, ok := p.driver.(prober); ok {
		d.probe(func(args ...string) string {
			out, _ := exec.CommandContext(ctx, p.path, args...).CombinedOutput() // no such command: then it cannot do it
			return string(out)
		})
	}
	return nil
}

// environment is the whole environment of a program at a place.
func (p *peer) environment(at place) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + at.home(), "LC_ALL=C.UTF-8", "TMPDIR=" + at.dir}, p.env(at)...)
}

// buildHoldfast builds the command from the sources around the working directory, and returns which commit they are of, if git can tell.
func buildHoldfast(ctx context.Context, to string) (commit string, err error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", to, "github.com/holdfast-backup/holdfast/cmd/holdfast")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building holdfast: %w\n%s", err, out)
	}
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--abbrev=10").Output()
	if err != nil {
		return "", nil // sources without their history
	}
	return ", " + strings.TrimSpace(string(out)), nil
}
