package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// stress is one run.
type stress struct {
	opts options

	mu        sync.Mutex
	want      map[string]wanted // snapshots that were committed and not forgotten, by id
	doubtful  map[string]bool   // that somebody began to forget
	running   map[*exec.Cmd]bool
	killed    map[*exec.Cmd]bool
	counts    map[string]int
	rng       *rand.Rand
	collected uint64 // bytes that were deleted
}

// wanted is what a snapshot must be restored as.
type wanted struct{ source, digest string }

func newStress(o *options) (*stress, error) {
	s := &stress{
		opts: *o, want: map[string]wanted{}, doubtful: map[string]bool{}, running: map[*exec.Cmd]bool{}, killed: map[*exec.Cmd]bool{}, counts: map[string]int{},
		rng: rand.New(rand.NewPCG(o.seed, 7)),
	}
	text, _ := crypto.NewKeyFile()
	if err := os.WriteFile(s.path("key"), text, 0o600); err != nil {
		return nil, err
	}
	a := newActor(s, "setup", 0)
	_, err := s.holdfast(context.Background(), a, "init", "--pack-size", "1MiB", "--segment-size", "128KiB", "--chunk-size", "8KiB")
	return s, err
}

// actor is a host with a cache of its own.
type actor struct {
	name string
	rng  *rand.Rand
}

func newActor(s *stress, role string, n int) *actor {
	name := fmt.Sprintf("%s-%d", role, n)
	h := uint64(n)
	for _, c := range []byte(role) {
		h = h*31 + uint64(c)
	}
	return &actor{name: name, rng: rand.New(rand.NewPCG(s.opts.seed, h))}
}

// errKilled says that a process was killed on purpose.
var errKilled = errors.New("killed")

// holdfast runs the command and returns the objects that it printed.
func (s *stress) holdfast(ctx context.Context, a *actor, args ...string) ([]map[string]any, error) {
	cmd := exec.CommandContext(ctx, s.opts.holdfast, append(args, "--json", "-q")...)
	cmd.Env = append(os.Environ(), "HOLDFAST_REPOSITORY="+s.path("repo"), "HOLDFAST_KEY_FILE="+s.path("key"), "HOLDFAST_CACHE_DIR="+s.path("cache", a.name))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.running[cmd] = true
	s.mu.Unlock()
	err := cmd.Wait()
	s.mu.Lock()
	killed := s.killed[cmd]
	delete(s.running, cmd)
	delete(s.killed, cmd)
	s.counts[args[0]]++
	s.mu.Unlock()
	switch {
	case err != nil && killed:
		return nil, errKilled
	case err != nil:
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return objects(stdout.Bytes())
}

// objects reads JSON, objects one after the other or in an array.
func objects(b []byte) (list []map[string]any, err error) {
	if bytes.HasPrefix(b, []byte("[")) {
		return list, json.Unmarshal(b, &list)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	for d.More() {
		var o map[string]any
		if err := d.Decode(&o); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, nil
}

// write changes a source, backs it up, and now and then forgets.
func (s *stress) write(ctx context.Context, a *actor) error {
	if err := s.change(a); err != nil {
		return err
	}
	dir := s.path("source", a.name)
	before, err := digest(dir)
	if err != nil {
		return err
	}
	out, err := s.holdfast(ctx, a, "backup", dir, "--host", a.name)
	if errors.Is(err, errKilled) {
		return nil
	}
	if err != nil {
		return err
	}
	id, _ := out[len(out)-1]["snapshot_id"].(string)
	if id == "" {
		return fmt.Errorf("a backup that does not name its snapshot: %v", out)
	}
	s.mu.Lock()
	s.want[id] = wanted{a.name, before}
	s.mu.Unlock()
	if a.rng.IntN(3) == 0 {
		return s.forget(ctx, a)
	}
	return nil
}

func (s *stress) forget(ctx context.Context, a *actor) error {
	args := []string{"forget", "--host", a.name, "--keep-last", fmt.Sprint(1 + a.rng.IntN(3))}
	s.mu.Lock()
	for id, w := range s.want {
		if w.source == a.name {
			s.doubtful[id] = true // until it is known which ones
		}
	}
	s.mu.Unlock()
	out, err := s.holdfast(ctx, a, args...)
	if errors.Is(err, errKilled) {
		return s.askWhatIsLeft(ctx, a)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range out[len(out)-1]["forgotten"].([]any) {
		delete(s.want, id.(string))
	}
	s.sure(a.name)
	return nil
}

func (s *stress) sure(source string) {
	for id, w := range s.want {
		if w.source == source {
			delete(s.doubtful, id)
		}
	}
}

// askWhatIsLeft finds out what a forget did that was killed.
func (s *stress) askWhatIsLeft(ctx context.Context, a *actor) error {
	for {
		out, err := s.holdfast(ctx, a, "snapshots", "--host", a.name)
		if errors.Is(err, errKilled) {
			continue
		}
		if err != nil {
			return err
		}
		left := map[string]bool{}
		for _, o := range out {
			left[o["id"].(string)] = true
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for id, w := range s.want {
			if w.source == a.name && !left[id] {
				delete(s.want, id)
			}
		}
		s.sure(a.name)
		return nil
	}
}

func (s *stress) collect(ctx context.Context, a *actor) error {
	limit := []string{"0", "5%", "30%"}[a.rng.IntN(3)]
	out, err := s.holdfast(ctx, a, "prune", "--max-unused", limit)
	switch {
	case errors.Is(err, errKilled):
		return nil
	case err != nil && strings.Contains(err.Error(), repo.ErrCollecting.Error()):
		s.mu.Lock()
		s.counts["prune that came second"]++
		s.mu.Unlock()
		return nil
	case err != nil:
		return err
	}
	bytes, _ := out[len(out)-1]["objects_deleted_bytes"].(float64)
	s.mu.Lock()
	s.collected += uint64(bytes)
	s.mu.Unlock()
	return pause(ctx, time.Duration(a.rng.IntN(500))*time.Millisecond)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return nil
}

// restore restores one snapshot and compares it.
func (s *stress) restore(ctx context.Context, a *actor) error {
	s.mu.Lock()
	ids := make([]string, 0, len(s.want))
	for id := range s.want {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return pause(ctx, 100*time.Millisecond)
	}
	id := ids[a.rng.IntN(len(ids))]
	err := s.compare(ctx, a, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, still := s.want[id]; err != nil && (!still || s.doubtful[id] || errors.Is(err, errKilled)) {
		return nil // it was forgotten meanwhile
	}
	return err
}

func (s *stress) compare(ctx context.Context, a *actor, id string) error {
	s.mu.Lock()
	w, ok := s.want[id]
	s.mu.Unlock()
	if !ok {
		return nil
	}
	target := s.path("target", a.name)
	if err := os.RemoveAll(target); err != nil {
		return err
	}
	if _, err := s.holdfast(ctx, a, "restore", id+":"+s.path("source", w.source), "--target", target); err != nil {
		return err
	}
	got, err := digest(target)
	if err == nil && got != w.digest {
		err = fmt.Errorf("snapshot %s of %s is not what was backed up", id, w.source)
	}
	return err
}

// killer kills a process now and then.
func (s *stress) killer(ctx context.Context, over time.Time) error {
	for time.Now().Before(over) && ctx.Err() == nil {
		s.mu.Lock()
		wait := time.Duration(s.rng.Int64N(int64(2 * s.opts.kill)))
		s.mu.Unlock()
		if err := pause(ctx, wait); err != nil {
			return err
		}
		s.mu.Lock()
		for cmd := range s.running {
			s.killed[cmd] = true
			s.counts["killed"]++
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				s.mu.Unlock()
				return err
			}
			break
		}
		s.mu.Unlock()
	}
	return nil
}

// verify makes sure that everything is there when everybody has stopped.
func (s *stress) verify(ctx context.Context) error {
	a := newActor(s, "verifier", 0)
	for range 2 {
		if _, err := s.holdfast(ctx, a, "check", "--read-data"); err != nil {
			return err
		}
		for id := range s.want {
			if err := s.compare(ctx, a, id); err != nil {
				return fmt.Errorf("restoring %s: %w", id, err)
			}
		}
		if _, err := s.holdfast(ctx, a, "prune", "--max-unused", "0"); err != nil {
			return err
		}
	}
	_, err := s.holdfast(ctx, a, "check", "--read-data")
	return err
}

type report struct {
	Seed      uint64         `json:"seed"`
	Runs      map[string]int `json:"runs"`
	Snapshots int            `json:"snapshots_verified"`
	Deleted   uint64         `json:"bytes_deleted"`
}

func (s *stress) report() report { return report{s.opts.seed, s.counts, len(s.want), s.collected} }
