// Command stress runs many processes of the command on one repository at the same time: writers that back up, check what they forget, and
// forget; collectors; restorers that compare what they get. With -kill it kills them at random moments, too. In the end every snapshot that
// was committed and not forgotten must be there, bit for bit, and the repository whole.
//
//	go build -o holdfast ./cmd/holdfast && go run ./bench/stress -holdfast ./holdfast -time 10m
//
// It prints its seed, and what it did as JSON. Contents follow from the seed; what the processes do to one another does not.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "stress:", err)
		os.Exit(1)
	}
}

type options struct {
	holdfast                       string
	time                           time.Duration
	writers, collectors, restorers int
	kill                           time.Duration
	seed                           uint64
	dir                            string
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.holdfast, "holdfast", "./holdfast", "the command to run")
	flag.DurationVar(&o.time, "time", time.Minute, "how long")
	flag.IntVar(&o.writers, "writers", 16, "processes that back up and forget")
	flag.IntVar(&o.collectors, "collectors", 2, "processes that prune")
	flag.IntVar(&o.restorers, "restorers", 2, "processes that restore and compare")
	flag.DurationVar(&o.kill, "kill", 0, "kill a process about this often; 0: never")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "decides contents")
	flag.StringVar(&o.dir, "dir", "", "work here, and leave everything; else in a temporary folder")
	flag.Parse()
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "holdfast-stress-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	fmt.Fprintf(os.Stderr, "stress: seed %d in %s\n", o.seed, o.dir)
	s, err := newStress(&o)
	if err != nil {
		return err
	}
	if err := s.play(ctx); err != nil {
		return err
	}
	if err := s.verify(ctx); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s.report())
}

// play lets everybody work until the time is over.
func (s *stress) play(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	over := time.Now().Add(s.opts.time)
	work := func(n int, role string, step func(context.Context, *actor) error) {
		for i := range n {
			a := newActor(s, role, i)
			g.Go(func() error {
				for time.Now().Before(over) && ctx.Err() == nil {
					if err := step(ctx, a); err != nil {
						return fmt.Errorf("%s %d: %w", role, i, err)
					}
				}
				return nil
			})
		}
	}
	work(s.opts.writers, "writer", s.write)
	work(s.opts.collectors, "collector", s.collect)
	work(s.opts.restorers, "restorer", s.restore)
	if s.opts.kill > 0 {
		g.Go(func() error { return s.killer(ctx, over) })
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}

func (s *stress) path(parts ...string) string {
	return filepath.Join(append([]string{s.opts.dir}, parts...)...)
}
