//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runner starts external commands; what they print goes to log.
type runner struct {
	mu  sync.Mutex
	log io.Writer
}

// Write appends to the build log; several commands may write at once.
func (r *runner) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// command is one external command. With root set, it runs chrooted there and name is a path inside. env replaces the
// environment when set. Nil stdout means the build log, which always gets stderr; stderr gets it too when set.
type command struct {
	name   string
	args   []string
	env    []string
	dir    string
	root   string
	cred   *syscall.Credential
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

func (r *runner) exec(ctx context.Context, c command) error {
	cmd, tail, err := r.prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w%s", filepath.Base(c.name), errors.Join(err, ctx.Err()), tail.text())
	}
	return nil
}

// simple runs a command with default settings.
func (r *runner) simple(ctx context.Context, name string, args ...string) error {
	return r.exec(ctx, command{name: name, args: args})
}

// output runs a command and returns what it printed on stdout.
func (r *runner) output(ctx context.Context, c command) (string, error) {
	var out bytes.Buffer
	c.stdout = &out
	err := r.exec(ctx, c)
	return out.String(), err
}

// prepare makes a command in a process group of its own, so that cancelling ends all its children and Ctrl-C reaches them only through us.
func (r *runner) prepare(ctx context.Context, c command) (*exec.Cmd, *tailBuffer, error) {
	path := c.name
	if c.root == "" && !filepath.IsAbs(path) {
		found, err := findTool(path)
		if err != nil {
			return nil, nil, err
		}
		path = found
	}
	tail := &tailBuffer{limit: 1500}
	cmd := exec.CommandContext(ctx, path, c.args...)
	cmd.Env, cmd.Dir, cmd.Stdin = c.env, c.dir, c.stdin
	errs := []io.Writer{r, tail}
	if c.stderr != nil {
		errs = append(errs, c.stderr)
	}
	cmd.Stdout, cmd.Stderr = c.stdout, io.MultiWriter(errs...)
	if c.stdout == nil {
		cmd.Stdout = io.MultiWriter(r, tail)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM, Chroot: c.root, Credential: c.cred}
	if c.root != "" && c.dir == "" {
		cmd.Dir = "/"
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	fmt.Fprintf(r, "+ %s %s\n", c.name, strings.Join(c.args, " "))
	return cmd, tail, nil
}

// findTool looks in PATH and in the sbin folders, which are not on every user's PATH.
func findTool(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s not found", name)
}

// tool is a program and the Debian package that has it.
type tool struct{ name, pkg string }

// missingTools says which tools are not installed and how to install them; "" when all are there.
func missingTools(tools ...tool) string {
	var names, pkgs []string
	seen := map[string]bool{}
	for _, t := range tools {
		if _, err := findTool(t.name); err == nil {
			continue
		}
		names = append(names, t.name)
		if !seen[t.pkg] {
			seen[t.pkg] = true
			pkgs = append(pkgs, t.pkg)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("missing %s (apt-get install %s)", strings.Join(names, ", "), strings.Join(pkgs, " "))
}

// tailBuffer keeps the last bytes written, for error messages.
type tailBuffer struct {
	mu    sync.Mutex
	limit int
	buf   []byte
}

// Write keeps the end of what it is given.
func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := strings.TrimSpace(string(t.buf))
	if s == "" {
		return ""
	}
	return ":\n  " + strings.ReplaceAll(s, "\n", "\n  ")
}

// cleanups undoes things in reverse order, each once, even when the run was cancelled.
type cleanups struct {
	mu  sync.Mutex
	fns []func() error
}

// add registers fn and returns a function that runs it early; later calls do nothing.
func (c *cleanups) add(fn func() error) func() error {
	var once sync.Once
	var err error
	wrapped := func() error {
		once.Do(func() { err = fn() })
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fns = append(c.fns, wrapped)
	return wrapped
}

func (c *cleanups) runAll() error {
	c.mu.Lock()
	fns := c.fns
	c.fns = nil
	c.mu.Unlock()
	var errs []error
	for i := len(fns) - 1; i >= 0; i-- {
		errs = append(errs, fns[i]())
	}
	return errors.Join(errs...)
}

// cleanEnv is the environment for commands whose output must not depend on who runs them.
func cleanEnv(extra ...string) []string {
	return append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/",
		"TZ=UTC", "DEBIAN_FRONTEND=noninteractive", "TMPDIR=" + os.TempDir()}, extra...)
}
