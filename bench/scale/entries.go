package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

// ledgerResult says what a ledger of so many entries costs.
type ledgerResult struct {
	Entries   int64   `json:"entries"`
	Snapshots int     `json:"snapshots"`
	Bytes     float64 `json:"bytes_per_entry"`
	Replay    float64 `json:"replay_seconds"`    // of all of it, as a check and a collector without a cache do
	State     float64 `json:"state_bytes"`       // that the last CHECKPOINT names
	Cold      float64 `json:"cold_open_seconds"` // without a cache, from the last CHECKPOINT on
	Warm      float64 `json:"warm_open_seconds"` // with the cache that the first left
	List      float64 `json:"list_seconds"`      // of all snapshots, once open
	Private   int64   `json:"private_bytes"`
}

func scaleLedger(ctx context.Context, c *config, n int64) (ledgerResult, error) {
	r := ledgerResult{Entries: n}
	fill := func(dir string) error { return fillEntries(ctx, dir, n) }
	err := c.withRepository(fmt.Sprintf("%d-entries", n), fill, func(dir string) error {
		if err := os.RemoveAll(cachePath(dir)); err != nil {
			return err
		}
		var cold, warm, replay ledgerResult
		if err := errors.Join(measure(ctx, "ledger", dir, &cold), measure(ctx, "ledger", dir, &warm), measure(ctx, "replay", dir, &replay)); err != nil {
			return err
		}
		r.Snapshots, r.Cold, r.Warm, r.List, r.Private = warm.Snapshots, cold.Warm, warm.Warm, warm.List, warm.Private
		r.Replay, r.State = replay.Replay, replay.State
		bytes, err := bytesIn(storePath(dir) + "/log")
		r.Bytes = float64(bytes) / float64(n)
		return err
	})
	return r, err
}

// fillEntries makes a repository whose ledger has n entries: sessions that each committed a snapshot, with the facts of a real one, and a CHECKPOINT when it is due.
func fillEntries(ctx context.Context, dir string, n int64) error {
	facts, err := realFacts(ctx, dir)
	if err != nil {
		return err
	}
	a, err := newAppender(ctx, dir)
	if err != nil {
		return err
	}
	for {
		head, _ := a.state.Head()
		if int64(head) >= n {
			return nil
		}
		if a.state.SinceCheckpoint() >= repo.CheckpointEvery {
			if err := a.checkpoint(); err != nil {
				return err
			}
			continue
		}
		err := a.session(func(id ledger.SessionID) (*ledger.Commit, error) {
			body := &ledger.Commit{Session: id, Snapshot: crypto.Hash(id[:]), Facts: facts}
			body.IndexFiles = []ledger.IndexFile{{Session: id, Hash: crypto.Hash(binary.BigEndian.AppendUint64(id[:], head)), Size: 5000}}
			return body, nil
		})
		if err != nil {
			return err
		}
	}
}

// realFacts makes a repository of one backup and returns the facts of its snapshot.
func realFacts(ctx context.Context, dir string) ([]byte, error) {
	r, err := initRepository(ctx, dir)
	if err != nil {
		return nil, err
	}
	stream := source.NewStream(ctx, strings.NewReader("one small dump"))
	_, err = snapshot.Backup(ctx, r, []snapshot.Item{snapshot.Stream("/database.sql", stream)}, &snapshot.BackupOptions{Host: "host.example.org", User: "backup"})
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	a, err := newAppender(ctx, dir)
	if err != nil {
		return nil, err
	}
	return a.state.Snapshots()[0].Facts, nil
}

func measureLedger(ctx context.Context, dir string) (res ledgerResult, err error) {
	before := privateMemory()
	start := time.Now()
	r, err := openRepository(ctx, dir)
	if err != nil {
		return res, err
	}
	res.Warm = time.Since(start).Seconds()
	start = time.Now()
	list, err := snapshot.List(ctx, r, nil)
	res.Snapshots, res.List = len(list), time.Since(start).Seconds()
	res.Private = privateMemory() - before
	return res, errors.Join(err, r.Close())
}

// measureReplay replays the whole ledger.
func measureReplay(ctx context.Context, dir string) (res ledgerResult, err error) {
	r, err := openRepository(ctx, dir)
	if err != nil {
		return res, err
	}
	start := time.Now()
	_, err = r.VerifyLedger(ctx)
	res.Replay = time.Since(start).Seconds()
	states, serr := bytesIn(storePath(dir) + "/checkpoints")
	res.State = float64(states)
	return res, errors.Join(err, serr, r.Close())
}
