package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/backend/s3"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// Exit codes.
const (
	exitOK            = 0
	exitFailed        = 1
	exitUsage         = 2
	exitIncomplete    = 3
	exitNoRepository  = 10
	exitBusy          = 11
	exitWrongPassword = 12
	exitInterrupted   = 130
)

var (
	// errInterrupted is the cause of the end of the context when the program was asked to stop.
	errInterrupted = fmt.Errorf("interrupted: %w", context.Canceled)
	// errIncomplete ends a backup that could not read all it was asked to; each reason has been printed.
	errIncomplete = errors.New("some source data could not be read; the snapshot has what could be")
	// errMapWrong ends a backup that found a change map to be wrong, and has printed where.
	errMapWrong = errors.New("a change map was wrong; this snapshot is right, those before it may not be")
)

// stoppedError is how an interrupted verb ends that has something to say about it.
type stoppedError struct{ advice string }

func (e *stoppedError) Error() string { return "interrupted: " + e.advice }
func (e *stoppedError) Unwrap() error { return errInterrupted }

// usageError is a mistake in flags or arguments.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func asUsage(err error) error {
	if _, ok := errors.AsType[*usageError](err); ok {
		return err
	}
	return &usageError{err}
}

// failure is how a run ends that does not end well.
type failure struct {
	code    int
	message string
	hint    string // what to do; may be empty
}

// kinds maps what can go wrong to exit codes and advice; the first that fits counts.
var kinds = []struct {
	is   func(error) bool
	code int
	hint string
}{
	{isUsage, exitUsage, ""},
	{is(repo.ErrNoRepository), exitNoRepository, "check -r, or make one with 'holdfast init'"},
	{is(s3.ErrNoBucket), exitNoRepository, "check -r, or make it with 'holdfast init'"},
	{is(backend.ErrLocked), exitBusy, "wait for the other run to end, or try again"},
	{is(repo.ErrVersion), exitFailed, "a newer holdfast wrote it, or it is damaged: try the newest version"},
	{is(repo.ErrLedgerLost), exitFailed, "name a copy of the repository with --source-repo, or run it on a machine whose cache has seen more; restore, dump and ls read what is left with --salvage"},
	{isCorrupt, exitFailed, "'holdfast check' tells how far the damage goes"},
	{is(repo.ErrWrongCredential), exitWrongPassword, ""},
	{is(repo.ErrNoSlot), exitWrongPassword, "'holdfast key list' with another credential tells which there are"},
	{is(errIncomplete), exitIncomplete, ""},
	{is(errMapWrong), exitIncomplete, "find out which writes the map misses; until then back up without it"},
	{is(repo.ErrRepositoryExists), exitFailed, "use it as it is, or choose another place"},
	{is(repo.ErrRolledBack), exitFailed, "restore the newer state of the repository; if the older one is meant, --no-cache opens it"},
	{is(repo.ErrSessionEnded), exitFailed, "run it again: what was uploaded is used"},
	{is(repo.ErrAmbiguous), exitFailed, ""},
	{is(snapshot.ErrNothing), exitFailed, ""},
	{is(snapshot.ErrNotFile), exitFailed, "'holdfast ls' lists the paths; 'holdfast restore --target' gets folders"},
	{isInUse, exitFailed, "stop what uses it or take a snapshot of the volume; --allow-in-use reads it nevertheless"},
	{is(syscall.EBUSY), exitFailed, "unmount it, or stop what uses it; restore --to-file --allow-in-use writes to it nevertheless"},
	{is(syscall.ENOSPC), exitFailed, "the disk is full: make room and run it again"},
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func isUsage(err error) bool {
	_, ok := errors.AsType[*usageError](err)
	return ok
}

func isCorrupt(err error) bool {
	_, ok := errors.AsType[*repo.CorruptError](err)
	return ok
}

func isInUse(err error) bool {
	_, ok := errors.AsType[*source.InUseError](err)
	return ok
}

// explain decides the exit code and the words for an error.
func explain(ctx context.Context, err error) failure {
	if stop, ok := errors.AsType[*stoppedError](err); ok {
		return failure{code: exitInterrupted, message: stop.Error()}
	}
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return failure{code: exitInterrupted, message: "interrupted"}
	}
	f := failure{code: exitFailed, message: oneLine(err.Error())}
	for _, k := range kinds {
		if k.is(err) {
			f.code, f.hint = k.code, k.hint
			break
		}
	}
	return f
}

// oneLine joins the lines of an error and makes what could confuse a terminal visible.
func oneLine(s string) string {
	return printable(strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "; "))
}
