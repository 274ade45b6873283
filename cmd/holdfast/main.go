// Command holdfast backs up disks, database dumps and file trees into an encrypted, deduplicating repository, and gets them back.
//
// The command turns flags into calls of the library and results into text, JSON and exit codes; everything else is importable.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run())
}

func run() int {
	limitMemory()
	ctx, stop := interruptible(context.Background())
	defer stop()
	a := newApp()
	return a.finish(ctx, a.execute(ctx, os.Args[1:]))
}

// interruptible returns a context that ends with the first signal that asks the program to stop. A second one kills it.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup wants to go on
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		select {
		case <-signals:
			signal.Stop(signals)
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}
