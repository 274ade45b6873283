//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
)

// fsScript collects debugfs commands that change a file system.
type fsScript struct {
	text  strings.Builder
	known map[string]bool
	cwd   string
}

func newFSScript() *fsScript {
	return &fsScript{known: map[string]bool{"/": true, ".": true, "": true}}
}

func (s *fsScript) line(format string, args ...any) { fmt.Fprintf(&s.text, format+"\n", args...) }

// add writes the file src as dst, or, with a target, makes dst a symbolic link. Missing folders are made on the way.
func (s *fsScript) add(src, dst, target string) {
	dir, base := path.Split(dst)
	dir = path.Clean(dir)
	s.mkdir(dir)
	s.cd(dir)
	if target != "" {
		s.line("symlink %s %s", base, target)
		return
	}
	s.line("write %s %s", src, base)
}

// cd is needed since debugfs makes things by name, not by path.
func (s *fsScript) cd(dir string) {
	if s.cwd != dir {
		s.line("cd %s", dir)
		s.cwd = dir
	}
}

func (s *fsScript) mkdir(dir string) {
	if s.known[dir] {
		return
	}
	parent, base := path.Split(dir)
	parent = path.Clean(parent)
	s.mkdir(parent)
	s.cd(parent)
	s.known[dir] = true
	s.line("mkdir %s", base)
}

// debugfs runs a script on an image. debugfs exits with 0 whatever fails, so anything but its banner on stderr is an error.
func (b *builder) debugfs(ctx context.Context, img string, s *fsScript) error {
	_, err := b.runDebugfs(ctx, img, s.text.String(), true, nil)
	return err
}

func (b *builder) runDebugfs(ctx context.Context, img, script string, write bool, harmless func(string) bool) (string, error) {
	file := b.temp("debugfs.script")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		return "", fmt.Errorf("writing a debugfs script: %w", err)
	}
	args := []string{"-f", file, img}
	if write {
		args = append([]string{"-w"}, args...)
	}
	var stderr bytes.Buffer
	out, err := b.run.output(ctx, command{name: "debugfs", args: args, env: e2fsEnv(), stderr: &stderr})
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(stderr.String(), "\n") {
		if line == "" || strings.HasPrefix(line, "debugfs 1.") || (harmless != nil && harmless(line)) {
			continue
		}
		return "", fmt.Errorf("debugfs on %s: %s", path.Base(img), line)
	}
	return out, nil
}

// dumpAll copies everything in an image into a folder. Without root, owners cannot be set, which does not matter here.
func (b *builder) dumpAll(ctx context.Context, img, dir string) error {
	owners := func(line string) bool { return strings.Contains(line, "changing ownership") }
	_, err := b.runDebugfs(ctx, img, "rdump / "+dir+"\n", false, owners)
	return err
}

// fileBlock is the n-th 4 KiB block of a file in an image.
type fileBlock struct {
	path string
	n    int64
}

// locate returns the block numbers at which the given blocks lie in the image.
func (b *builder) locate(ctx context.Context, img string, blocks []fileBlock) ([]int64, error) {
	var script strings.Builder
	for _, fb := range blocks {
		fmt.Fprintf(&script, "bmap %s %d\n", fb.path, fb.n)
	}
	out, err := b.runDebugfs(ctx, img, script.String(), false, nil)
	if err != nil {
		return nil, err
	}
	var at []int64
	for _, line := range strings.Split(out, "\n") {
		n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			continue // debugfs prints each command too
		}
		if n <= 0 {
			return nil, errors.New("a block to overwrite is a hole")
		}
		at = append(at, n)
	}
	if len(at) != len(blocks) {
		return nil, fmt.Errorf("debugfs located %d of %d blocks", len(at), len(blocks))
	}
	return at, nil
}
