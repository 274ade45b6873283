//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a Debian image at scale 1 holds and what happens to it in a day.
const (
	vmBranches     = 12
	vmTransactions = 2500
	vmDay0Log      = 24 << 20
	vmDay1Log      = 12 << 20
)

func day0Packages() []string {
	return []string{"postgresql", "build-essential", "git", "vim", "python3", "openssh-server", "rsync", "curl", "ca-certificates", "locales",
		"man-db", "manpages-dev", "gdb", "zstd"}
}

func day1Packages() []string {
	return []string{"nginx", "redis-server", "php-cli", "sqlite3", "tmux"}
}

// debianDay0 installs a Debian system into a new image: a server with PostgreSQL, compilers and a kernel, a database and logs.
func (b *builder) debianDay0(ctx context.Context, mirror aptSource, img string, w *want) error {
	if err := b.makeFS(ctx, img, b.imageSize(), "vm"); err != nil {
		return err
	}
	root := b.temp("root")
	unmount, err := b.mountImage(ctx, img, root, "")
	if err != nil {
		return err
	}
	steps := []func() error{
		func() error { return b.debootstrap(ctx, mirror, root) },
		func() error { return enter(root) },
		func() error { return b.installDay0(ctx, mirror, root, w) },
		func() error {
			return b.inDatabase(ctx, root, func(pg *postgres) error { return pg.pgbenchInit(ctx, vmBranches) })
		},
		func() error { return b.debianLogs(root, 0) },
		func() error { return b.leave(root) },
		// Without this the image would also hold the data of every file deleted while it was made. Only committed deletions count.
		func() error { return b.run.simple(ctx, "sync", "-f", root) },
		func() error { return b.run.simple(ctx, "fstrim", root) },
		unmount,
	}
	return runSteps(ctx, steps)
}

// debianDay1 runs a day on a copy of day 0: transactions, package installs, logs, deletions.
func (b *builder) debianDay1(ctx context.Context, mirror aptSource, img string, w *want) error {
	root := b.temp("root")
	unmount, err := b.mountImage(ctx, img, root, "")
	if err != nil {
		return err
	}
	work := func(pg *postgres) error { return pg.bench(ctx, vmTransactions, b.cfg.seed, "-b", "tpcb-like") }
	steps := []func() error{
		func() error { return enter(root) },
		func() error { return b.inDatabase(ctx, root, work) },
		func() error { return b.installDay1(ctx, mirror, root, w) },
		func() error { return b.debianLogs(root, 1) },
		func() error { return deleteSome(filepath.Join(root, "usr/share"), b.cfg.seed, w) },
		func() error { return b.leave(root) },
		unmount,
	}
	return runSteps(ctx, steps)
}

func runSteps(ctx context.Context, steps []func() error) error {
	for _, step := range steps {
		if err := errors.Join(ctx.Err(), step()); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) debootstrap(ctx context.Context, mirror aptSource, root string) error {
	b.say("debootstrap %s (minutes; see %s)", mirror.suite, b.temp("build.log"))
	cache := filepath.Join(b.cache, "debootstrap")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return fmt.Errorf("making debootstrap's cache: %w", err)
	}
	args := []string{"--cache-dir=" + cache}
	if mirror.signedBy != "" {
		args = append(args, "--keyring="+mirror.signedBy)
	}
	return b.run.exec(ctx, command{name: "debootstrap", args: append(args, mirror.suite, root, mirror.uri), env: append(os.Environ(), "LC_ALL=C.UTF-8")})
}

const policyFile = "usr/sbin/policy-rc.d"

// enter prepares a system for running programs in it: /proc, and no service may start.
func enter(root string) error {
	if err := os.WriteFile(filepath.Join(root, policyFile), []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
		return fmt.Errorf("forbidding services: %w", err)
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

// leave undoes enter.
func (b *builder) leave(root string) error {
	if err := os.Remove(filepath.Join(root, policyFile)); err != nil {
		return fmt.Errorf("allowing services again: %w", err)
	}
	return unmountBelow(filepath.Join(root, "proc"))
}

func (b *builder) installDay0(ctx context.Context, mirror aptSource, root string, w *want) error {
	kernel := "linux-image-" + runtime.GOARCH
	b.say("installing %s and %s", strings.Join(day0Packages(), ", "), kernel)
	debs, err := b.packages(ctx, mirror, root, append(day0Packages(), kernel)...)
	if err != nil && ctx.Err() == nil {
		w.notes = append(w.notes, "no kernel: "+kernel+" cannot be had")
		b.say("%s cannot be had; the image gets no kernel", kernel)
		debs, err = b.packages(ctx, mirror, root, day0Packages()...)
	}
	if err != nil {
		return err
	}
	size, err := b.install(ctx, root, debs, false)
	if err != nil {
		return err
	}
	w.notes = append(w.notes, fmt.Sprintf("%d packages (%d MB) on top of debootstrap", len(debs), size/1e6))
	for name, text := range map[string]string{"etc/hostname": "db1\n", "etc/fstab": "/dev/vda / ext4 errors=remount-ro 0 1\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("configuring the system: %w", err)
		}
	}
	return nil
}

func (b *builder) installDay1(ctx context.Context, mirror aptSource, root string, w *want) error {
	debs, err := b.packages(ctx, mirror, root, day1Packages()...)
	if err != nil {
		return err
	}
	size, err := b.install(ctx, root, debs, true)
	if err != nil {
		return err
	}
	w.notes = append(w.notes, fmt.Sprintf("%d packages (%d MB) installed", len(debs), size/1e6), fmt.Sprintf("%d transactions", vmTransactions))
	return nil
}

// inDatabase starts the system's own PostgreSQL inside it, runs fn, and stops it cleanly.
func (b *builder) inDatabase(ctx context.Context, root string, fn func(*postgres) error) error {
	found, err := filepath.Glob(filepath.Join(root, "var/lib/postgresql/*/main"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("looking for the database in the image: found %d, %w", len(found), errors.Join(err))
	}
	version := filepath.Base(filepath.Dir(found[0]))
	cred, err := userInside(root, "postgres")
	if err != nil {
		return err
	}
	pg := &postgres{run: b.run, bin: "/usr/lib/postgresql/" + version + "/bin", data: "/var/lib/postgresql/" + version + "/main", sock: "/tmp", root: root,
		cred: cred, flags: []string{"-c", "config_file=/etc/postgresql/" + version + "/main/postgresql.conf", "-c", "external_pid_file=",
			"-c", "full_page_writes=on", "-c", "max_wal_size=64MB"}}
	stop, err := pg.start(ctx, b.undo)
	if err != nil {
		return err
	}
	return errors.Join(fn(pg), stop())
}

// userInside looks a user up in the passwd file of the system at root.
func userInside(root, name string) (*syscall.Credential, error) {
	data, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		return nil, fmt.Errorf("looking up %s: %w", name, err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		uid, errU := strconv.ParseUint(f[2], 10, 32)
		gid, errG := strconv.ParseUint(f[3], 10, 32)
		if err := errors.Join(errU, errG); err != nil {
			return nil, fmt.Errorf("reading the ids of %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("the Debian system has no user %s", name)
}

// debianLogs writes day 0's logs, or appends a day to syslog and packs the old shop.log as logrotate does.
func (b *builder) debianLogs(root string, day int) error {
	dir := filepath.Join(root, "var/log")
	size := map[int]int{0: vmDay0Log, 1: vmDay1Log}[day]
	if err := appendFile(filepath.Join(dir, "syslog"), logBytes(b.cfg.seed, fmt.Sprintf("syslog %d", day), day, size*2/3)); err != nil {
		return err
	}
	shop := filepath.Join(dir, "shop.log")
	if day > 0 {
		if err := rotate(shop); err != nil {
			return err
		}
	}
	return appendFile(shop, logBytes(b.cfg.seed, fmt.Sprintf("shop %d", day), day, size/3))
}

func appendFile(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("opening a log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("writing a log: %w", err)
	}
	return nil
}

// rotate replaces a log by its gzip.
func rotate(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("rotating a log: %w", err)
	}
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	if _, err := zw.Write(data); err != nil {
		return fmt.Errorf("packing a log: %w", err)
	}
	if err := zw.Close(); err != nil {
		return fmt.Errorf("packing a log: %w", err)
	}
	if err := os.WriteFile(path+".1.gz", packed.Bytes(), 0o640); err != nil {
		return fmt.Errorf("writing a packed log: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("rotating a log: %w", err)
	}
	return nil
}

// deleteSome deletes a seeded tenth of the files below a folder.
func deleteSome(dir string, seed uint64, w *want) error {
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil || hashKey(seed, "delete", rel)%10 != 0 {
			return err
		}
		n++
		return os.Remove(path)
	})
	if err != nil {
		return fmt.Errorf("deleting files: %w", err)
	}
	w.notes = append(w.notes, fmt.Sprintf("%d files deleted", n))
	return nil
}
