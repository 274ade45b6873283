//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postgres is a running server that only listens on a unix socket. With root set it runs chrooted there, and all paths are inside.
type postgres struct {
	run    *runner
	bin    string
	data   string
	sock   string
	root   string
	cred   *syscall.Credential
	flags  []string
	cmd    *exec.Cmd
	done   chan struct{}
	waited error
}

// findPostgres returns the folder of the newest server's programs, or "".
func findPostgres() string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	sort.Slice(dirs, func(i, j int) bool { return pgMajor(dirs[i]) < pgMajor(dirs[j]) })
	if p, err := findTool("initdb"); err == nil {
		dirs = append([]string{p}, dirs...)
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		bin := filepath.Dir(dirs[i])
		if _, err := os.Stat(filepath.Join(bin, "pgbench")); err == nil {
			return bin
		}
	}
	return ""
}

func pgMajor(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// pgUser returns whom the server runs as: PostgreSQL refuses root, so root becomes postgres or nobody. Nil means ourselves.
func pgUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errU := strconv.ParseUint(u.Uid, 10, 32)
		gid, errG := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errU, errG); err != nil {
			return nil, fmt.Errorf("reading the ids of %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

func (p *postgres) command(prog string, args ...string) command {
	return command{name: filepath.Join(p.bin, prog), args: args, root: p.root, cred: p.cred, dir: "/",
		env: cleanEnv("PGHOST="+p.sock, "PGUSER=postgres", "PGDATABASE=postgres", "PGTZ=UTC")}
}

// initdb makes the data folder, without syncing it.
func (p *postgres) initdb(ctx context.Context) error {
	return p.run.exec(ctx, p.command("initdb", "-D", p.data, "-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C.UTF-8"))
}

// start runs the server until stop, or until ctx ends, and waits until it answers.
func (p *postgres) start(ctx context.Context, undo *cleanups) (stop func() error, err error) {
	args := append([]string{"-D", p.data, "-k", p.sock, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "synchronous_commit=off",
		"-c", "full_page_writes=off", "-c", "autovacuum=off", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB",
		"-c", "checkpoint_timeout=1h", "-c", "dynamic_shared_memory_type=mmap", "-c", "ssl=off", "-c", "logging_collector=off"}, p.flags...)
	cmd, tail, err := p.run.prepare(context.WithoutCancel(ctx), p.command("postgres", args...))
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	p.cmd, p.done = cmd, make(chan struct{})
	go func() {
		p.waited = cmd.Wait()
		close(p.done)
	}()
	stop = undo.add(p.stop)
	if err := p.waitReady(ctx, tail); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

func (p *postgres) waitReady(ctx context.Context, tail *tailBuffer) error {
	for range 600 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("PostgreSQL ended while starting: %w%s", p.waited, tail.text())
		case <-time.After(100 * time.Millisecond):
		}
		if p.sql(ctx, "SELECT 1") == nil {
			return nil
		}
	}
	return fmt.Errorf("PostgreSQL did not answer within a minute%s", tail.text())
}

// stop ends the server cleanly, and by force if it does not end within a minute.
func (p *postgres) stop() error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping PostgreSQL: %w", err)
		}
		select {
		case <-p.done:
			return p.waited
		case <-time.After(time.Minute):
		}
	}
	return errors.New("PostgreSQL does not end")
}

func (p *postgres) sql(ctx context.Context, query string) error {
	return p.run.exec(ctx, p.command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", query))
}

// copyIn runs a COPY ... FROM STDIN that reads what fn writes.
func (p *postgres) copyIn(ctx context.Context, query string, fn func(io.Writer) error) error {
	pr, pw := io.Pipe()
	made := make(chan error, 1)
	go func() {
		err := fn(pw)
		_ = pw.CloseWithError(err) // documented to return nil
		made <- err
	}()
	c := p.command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", query)
	c.stdin = pr
	err := p.run.exec(ctx, c)
	_ = pr.Close() // ends the writer if psql ended first
	if werr := <-made; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		err = errors.Join(err, werr)
	}
	return err
}

// pgbenchInit fills a pgbench database of the given number of branches.
func (p *postgres) pgbenchInit(ctx context.Context, branches int) error {
	return p.run.exec(ctx, p.command("pgbench", "-i", "-q", "-n", "-s", strconv.Itoa(branches)))
}

// bench runs n transactions of pgbench's given scripts with one client, so that the same seed gives the same rows in the same places.
func (p *postgres) bench(ctx context.Context, n int, seed uint64, scripts ...string) error {
	args := []string{"-n", "-c", "1", "-j", "1", "-t", strconv.Itoa(n), "--random-seed", strconv.FormatUint(seed%(1<<31), 10)}
	return p.run.exec(ctx, p.command("pgbench", append(args, scripts...)...))
}

// dump writes a plain dump of the database to a file.
func (p *postgres) dump(ctx context.Context, path string) error {
	args := []string{"--no-owner"}
	help, err := p.run.output(ctx, p.command("pg_dump", "--help"))
	if err != nil {
		return err
	}
	if strings.Contains(help, "--restrict-key") {
		args = append(args, "--restrict-key=corpus") // a random one would differ each time
	}
	return writeFile(path, func(w io.Writer) error {
		c := p.command("pg_dump", args...)
		c.stdout = w
		return p.run.exec(ctx, c)
	})
}
