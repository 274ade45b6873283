package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

// CommandOptions change how a command is run. A nil *CommandOptions means the defaults.
type CommandOptions struct {
	// Dir is the command's working directory, the caller's if empty.
	Dir string
	// Env is its environment as NAME=value, the caller's if nil.
	Env []string
	// Stdin is what it reads; nil is nothing. It should not be a terminal: the command is not in its foreground.
	Stdin io.Reader
	// Stderr gets what it says; nil drops that.
	Stderr io.Writer
}

// CommandError reports a command that could not be started or that failed, so that its output is not complete.
type CommandError struct {
	Argv0    string
	ExitCode int   // -1 if it was not started, or was ended by a signal
	Err      error // an *exec.ExitError, or what kept it from starting or from being read
}

// Error names the command and how it ended.
func (e *CommandError) Error() string { return fmt.Sprintf("command %s: %v", e.Argv0, e.Err) }

// Unwrap returns the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// lingering is how long the command's descendants may keep its output open after it was killed.
const lingering = 2 * time.Second

// Command starts argv, without a shell, and returns its standard output. After the last byte, Read returns io.EOF if
// the command succeeded, a *CommandError if it did not, and the error of ctx if that ended, which kills the command and
// all of its process group. Close does that too, if the command is still running, and waits for it.
func Command(ctx context.Context, argv []string, o *CommandOptions) (Stream, error) {
	if len(argv) == 0 || argv[0] == "" {
		return nil, errors.New("starting command: none given")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var opt CommandOptions
	if o != nil {
		opt = *o
	}
	cmdCtx, kill := context.WithCancel(ctx)
	cmd := exec.CommandContext(cmdCtx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = opt.Dir, slices.Clone(opt.Env)
	cmd.Stdin, cmd.Stderr = opt.Stdin, opt.Stderr
	cmd.WaitDelay = lingering
	ownGroup(cmd)
	pr, pw, err := os.Pipe()
	if err != nil {
		kill()
		return nil, fmt.Errorf("starting command %s: %w", argv[0], err)
	}
	cmd.Stdout = pw
	err = cmd.Start()
	_ = pw.Close() // the command has its own
	if err != nil {
		kill()
		_ = pr.Close()
		return nil, &CommandError{argv[0], -1, err}
	}
	c := &command{ctx: ctx, cmd: cmd, out: pr, kill: kill}
	c.stop = context.AfterFunc(cmdCtx, func() { _ = pr.SetReadDeadline(time.Now().Add(lingering)) })
	return c, nil
}

type command struct {
	ctx  context.Context
	cmd  *exec.Cmd
	out  *os.File
	kill context.CancelFunc
	stop func() bool

	once   sync.Once
	result error // of the command, once it has ended

	mu     sync.Mutex
	closed bool
}

func (c *command) Read(p []byte) (int, error) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return 0, fs.ErrClosed
	}
	if err := c.ctx.Err(); err != nil {
		c.kill()
		return 0, err
	}
	n, err := c.out.Read(p)
	if err == nil || n > 0 {
		return n, nil
	}
	if err != io.EOF {
		c.kill()
	}
	if werr := c.wait(); werr != nil {
		return 0, werr
	}
	if err != io.EOF {
		err = &CommandError{c.cmd.Args[0], 0, err}
	}
	return 0, err
}

// wait returns how the command ended, waiting for that once.
func (c *command) wait() error {
	c.once.Do(func() {
		err := c.cmd.Wait()
		switch {
		case c.ctx.Err() != nil:
			c.result = c.ctx.Err()
		case errors.Is(err, exec.ErrWaitDelay) && c.cmd.ProcessState.Success():
			// A process it left behind still has its stderr; its own work is done.
		case err != nil:
			c.result = &CommandError{c.cmd.Args[0], c.cmd.ProcessState.ExitCode(), err}
		}
		c.stop()
		c.kill()
	})
	return c.result
}

// Close ends the command, if it has not ended, and with it the stream. The command's result matters only to Read.
func (c *command) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return fs.ErrClosed
	}
	c.closed = true
	c.mu.Unlock()
	c.kill()
	_ = c.wait()
	return c.out.Close()
}
