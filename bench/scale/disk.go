package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/reftree"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// diskResult says what the content map of a disk costs.
type diskResult struct {
	GiB     int64   `json:"gib"`
	Chunks  int64   `json:"chunks"`
	Build   float64 `json:"build_seconds"` // and store
	Stored  float64 `json:"stored_bytes_per_chunk"`
	First   float64 `json:"first_lookup_ms"` // opening the repository included
	Lookup  float64 `json:"lookup_us"`       // at random offsets
	Private int64   `json:"private_bytes"`   // of lookups
	Peak    int64   `json:"peak_private_bytes"`
}

// A sixteenth of the disk is data, in runs of 64 MiB.
const (
	dataRun = 64 << 20
	holeRun = 15 * dataRun
	lookups = 2000
)

func scaleDisk(ctx context.Context, c *config, gib int64) (diskResult, error) {
	var r diskResult
	fill := func(dir string) (err error) {
		r, err = fillDisk(ctx, dir, gib)
		return err
	}
	err := c.withRepository(fmt.Sprintf("%d-gib", gib), fill, func(dir string) error { return measure(ctx, "disk", dir, &r) })
	return r, err
}

// fillDisk stores the content map of a disk, and what is needed to find it again.
func fillDisk(ctx context.Context, dir string, gib int64) (res diskResult, err error) {
	r, err := initRepository(ctx, dir)
	if err != nil {
		return res, err
	}
	res.GiB = gib
	stop, start := watchMemory(), time.Now()
	s, err := r.Begin(ctx, &repo.SessionOptions{Kind: "scale"})
	if err != nil {
		return res, errors.Join(err, r.Close())
	}
	c, err := buildMap(ctx, s, gib<<30, &res.Chunks)
	if err == nil {
		err = commitMap(ctx, s, &c)
	}
	res.Build, res.Peak = time.Since(start).Seconds(), stop()
	res.Stored = float64(s.Stats().Stored) / float64(res.Chunks)
	if err = errors.Join(err, r.Close()); err != nil {
		return res, err
	}
	b, err := json.Marshal(savedDisk{Result: res, Content: c.Append(nil)})
	if err != nil {
		return res, err
	}
	return res, os.WriteFile(filepath.Join(dir, "disk.json"), b, 0o666)
}

// savedDisk is what is kept of a disk whose map was built.
type savedDisk struct {
	Result  diskResult
	Content []byte
}

func buildMap(ctx context.Context, s reftree.Saver, size int64, chunks *int64) (content.Content, error) {
	b := content.NewBuilder(s, 0x16) // cut by the aligned chunker at 64 KiB
	for b.Size() < size {
		for range dataRun / chunkLength {
			if err := b.Add(ctx, reftree.Span{Kind: reftree.Chunk, ID: repo.ID(chunkID(*chunks)), Length: chunkLength, Count: 1}); err != nil {
				return content.Content{}, err
			}
			*chunks++
		}
		if err := b.Add(ctx, reftree.Span{Kind: reftree.Hole, Length: holeRun, Count: 1}); err != nil {
			return content.Content{}, err
		}
	}
	return b.Finish(ctx)
}

// commitMap commits a snapshot that refers to the map and nothing else.
func commitMap(ctx context.Context, s *repo.Session, c *content.Content) error {
	const name = "root"
	meta, err := s.Save(ctx, repo.Meta, []byte(name))
	if err != nil {
		return err
	}
	node := reftree.AppendReferenceNode(nil, c.AppendReferences(nil))
	id, err := s.Save(ctx, repo.Map, node)
	if err != nil {
		return err
	}
	root := repo.Pair{Meta: repo.Ref{ID: meta, Length: uint32(len(name))}, Map: repo.Ref{ID: id, Length: uint32(len(node))}}
	_, err = s.Commit(ctx, root, []byte("scale"))
	return err
}

func measureDisk(ctx context.Context, dir string) (res diskResult, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "disk.json"))
	if err != nil {
		return res, err
	}
	var saved savedDisk
	if err := json.Unmarshal(b, &saved); err != nil {
		return res, err
	}
	res = saved.Result
	d := wire.NewDecoder(saved.Content)
	c := content.Decode(d)
	if err := d.Finish(); err != nil {
		return res, err
	}
	before := privateMemory()
	start := time.Now()
	r, err := openRepository(ctx, dir)
	if err != nil {
		return res, err
	}
	m := content.NewMap(r, c)
	rng := rand.New(rand.NewPCG(1, 1))
	look := func() {
		for _, serr := range m.Spans(ctx, rng.Int64N(m.Size()), 1) {
			err = errors.Join(err, serr)
		}
	}
	look()
	res.First = time.Since(start).Seconds() * 1e3
	start = time.Now()
	for range lookups {
		look()
	}
	res.Lookup = time.Since(start).Seconds() * 1e6 / lookups
	res.Private = privateMemory() - before
	return res, errors.Join(err, r.Close())
}
