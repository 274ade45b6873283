//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what a process and its children took. Sizes are bytes.
type usage struct {
	// Seconds is wall time, CPU the processor time in seconds of the process and its children.
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	// RSS and Private are the largest resident set, and the largest part of it that is no file's, sampled every few milliseconds and
	// summed over the processes. (The kernel's own ru_maxrss counts what the parent had before exec, so it is not used.)
	RSS     int64 `json:"rss"`
	Private int64 `json:"private"`
	// Read and Written passed through system calls, from whatever cache: what is read through a mapping is not in it.
	Read    int64 `json:"read"`
	Written int64 `json:"written"`
	// Disk was written to storage, or is going to be.
	Disk int64 `json:"disk_written"`
}

// add adds a process that ran after the ones before.
func (u *usage) add(v usage) {
	u.Seconds, u.CPU = u.Seconds+v.Seconds, u.CPU+v.CPU
	u.RSS, u.Private = max(u.RSS, v.RSS), max(u.Private, v.Private)
	u.Read, u.Written, u.Disk = u.Read+v.Read, u.Written+v.Written, u.Disk+v.Disk
}

// spawn is a process to start: where it reads from and where its output goes.
type spawn struct {
	path       string
	args, env  []string
	dir, stdin string
	output     string // a file that is overwritten
}

// run runs a process to its end and measures it. A failure is an error that shows the end of its output.
func (s *spawn) run(ctx context.Context) (u usage, err error) {
	out, err := os.Create(s.output)
	if err != nil {
		return u, fmt.Errorf("making a file for output: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	cmd := exec.CommandContext(ctx, s.path, s.args...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.env, s.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if s.stdin != "" {
		in, err := os.Open(s.stdin)
		if err != nil {
			return u, fmt.Errorf("opening what to feed: %w", err)
		}
		defer in.Close()
		cmd.Stdin = in
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return u, fmt.Errorf("starting %s: %w", filepath.Base(s.path), err)
	}
	u, err = follow(cmd, start)
	if err != nil {
		return u, fmt.Errorf("running %s %s: %w%s", filepath.Base(s.path), strings.Join(s.args, " "), errors.Join(err, ctx.Err()), tail(s.output))
	}
	return u, nil
}

// follow watches a process to its end. What /proc says of a process is read while it is dead and not yet waited for.
func follow(cmd *exec.Cmd, start time.Time) (u usage, err error) {
	stop, watched := make(chan struct{}), make(chan usage)
	go func() { watched <- watch(cmd.Process.Pid, stop) }()
	var waitErr error
	for waitErr = unix.EINTR; waitErr == unix.EINTR; {
		waitErr = unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
	seconds := time.Since(start).Seconds()
	close(stop)
	u = <-watched
	u.Seconds = seconds
	ioErr := u.readIO(cmd.Process.Pid)
	err = errors.Join(cmd.Wait(), waitErr, ioErr)
	if st := cmd.ProcessState; st != nil {
		u.CPU = (st.UserTime() + st.SystemTime()).Seconds()
	}
	return u, err
}

// watch samples the memory of a process and its children until stop.
func watch(pid int, stop <-chan struct{}) (u usage) {
	family := []int{pid}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if i%8 == 0 {
			family = descendants(pid, []int{pid})
		}
		var rss, private int64
		for _, p := range family {
			m := readMemory(p)
			rss, private = rss+m.rss, private+m.private
			u.RSS = max(u.RSS, m.highest)
		}
		u.RSS, u.Private = max(u.RSS, rss), max(u.Private, private)
		select {
		case <-stop:
			return u
		case <-tick.C:
		}
	}
}

// descendants appends the children of a process, and theirs, to list.
func descendants(pid int, list []int) []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended
		}
		for _, word := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(word); err == nil {
				list = descendants(child, append(list, child))
			}
		}
	}
	return list
}

// memory is what /proc/PID/status says, in bytes: now, at most so far, and now in no file.
type memory struct{ rss, highest, private int64 }

// readMemory returns zeros for a process that ended.
func readMemory(pid int) (m memory) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m
	}
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(string(line), ":")
		var into *int64
		switch key {
		case "VmRSS":
			into = &m.rss
		case "VmHWM":
			into = &m.highest
		case "RssAnon":
			into = &m.private
		default:
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64); err == nil {
			*into = n << 10
		}
	}
	return m
}

// readIO reads what a dead process, and the children it waited for, read and wrote.
func (u *usage) readIO(pid int) error {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return fmt.Errorf("reading what the process read: %w", err)
	}
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(string(line), ":")
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		if err != nil {
			return fmt.Errorf("reading what the process read: %w", err)
		}
		switch key {
		case "rchar":
			u.Read = n
		case "wchar":
			u.Written = n
		case "write_bytes":
			u.Disk = n
		}
	}
	return nil
}

// tail returns the end of a file, for an error message.
func tail(path string) string {
	data, err := os.ReadFile(path)
	text := strings.TrimSpace(string(data[max(0, len(data)-1000):]))
	if err != nil || text == "" {
		return ""
	}
	return ":\n  " + strings.ReplaceAll(text, "\n", "\n  ")
}
