package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
)

// indexResult says what an index of so many chunks costs.
type indexResult struct {
	Chunks     int64      `json:"chunks"`
	Sessions   int64      `json:"sessions"`
	Repository float64    `json:"repository_bytes_per_chunk"` // index files
	Cache      float64    `json:"cache_bytes_per_chunk"`      // on the local disk
	Cold       coldResult `json:"cold"`
	Warm       warmResult `json:"warm"`
}

// coldResult is a client without a cache, which reads all index files.
type coldResult struct {
	Seconds float64 `json:"seconds"`
	Peak    int64   `json:"peak_private_bytes"`
}

// warmResult is a client with a cache, its files in the page cache.
type warmResult struct {
	Open        float64 `json:"open_seconds"` // until the first question can be asked
	Miss        float64 `json:"miss_ns"`
	Hit         float64 `json:"hit_ns"`         // whether a chunk is there
	Locate      float64 `json:"locate_ns"`      // where
	Memory      float64 `json:"memory_read_ns"` // one read of memory as large as the filters: the machine's own limit
	Private     int64   `json:"private_bytes"`
	OpenPrivate int64   `json:"private_bytes_when_opened"`
}

// smallSession is how many chunks a session stores that has little to do.
const smallSession = 100

// scaleIndex measures the index of n chunks, of which each session stored so many.
func scaleIndex(ctx context.Context, c *config, n, each int64) (indexResult, error) {
	r := indexResult{Chunks: n, Sessions: (n + each - 1) / each}
	fill := func(dir string) error { return fillChunks(ctx, dir, n, each) }
	err := c.withRepository(fmt.Sprintf("%d-chunks-%d-sessions", n, r.Sessions), fill, func(dir string) error {
		if err := os.RemoveAll(cachePath(dir)); err != nil {
			return err
		}
		if err := measure(ctx, "cold", dir, &r.Cold); err != nil {
			return err
		}
		if err := measure(ctx, "warm", dir, &r.Warm); err != nil {
			return err
		}
		files, err := bytesIn(filepath.Join(storePath(dir), "index"))
		runs, rerr := bytesIn(cachePath(dir))
		r.Repository, r.Cache = float64(files)/float64(n), float64(runs)/float64(n)
		return errors.Join(err, rerr)
	})
	return r, err
}

// ready opens the repository and its index, as a backup does before it reads its source.
func ready(ctx context.Context, dir string) (*repo.Repository, *repo.Session, error) {
	r, err := openRepository(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	s, err := r.Begin(ctx, &repo.SessionOptions{DryRun: true})
	if err != nil {
		return nil, nil, errors.Join(err, r.Close())
	}
	return r, s, nil
}

func measureCold(ctx context.Context, dir string) (coldResult, error) {
	stop := watchMemory()
	start := time.Now()
	r, s, err := ready(ctx, dir)
	if err != nil {
		return coldResult{}, err
	}
	return coldResult{Seconds: time.Since(start).Seconds(), Peak: stop()}, errors.Join(s.Close(ctx, ""), r.Close())
}

// samples are how many different ids are asked for: many enough to touch all filters, few enough to be hot the second time.
const samples = 1 << 16

func measureWarm(ctx context.Context, dir string) (w warmResult, err error) {
	n, err := chunksIn(dir)
	if err != nil {
		return w, err
	}
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	unknown, known := make([]crypto.ID, samples), make([]crypto.ID, samples)
	for i := range unknown {
		unknown[i] = chunkID(-1 - n - int64(i))
	}
	for i := range known {
		known[i] = chunkID(rng.Int64N(n))
	}
	before := privateMemory()
	start := time.Now()
	r, s, err := ready(ctx, dir)
	if err != nil {
		return w, err
	}
	w.Open = time.Since(start).Seconds()
	w.OpenPrivate = privateMemory() - before
	wrong := errors.New("the index gives wrong answers")
	w.Miss = perCall(unknown, func(id crypto.ID) {
		if s.Has(id) {
			err = wrong
		}
	})
	w.Hit = perCall(known, func(id crypto.ID) {
		if !s.Has(id) {
			err = wrong
		}
	})
	w.Locate = perCall(known, func(id crypto.ID) {
		l, ok, lerr := r.Locate(ctx, repo.Data, id)
		if !ok || lerr != nil || l.Length != chunkLength {
			err = errors.Join(wrong, lerr)
		}
	})
	w.Private = privateMemory() - before
	runtime.KeepAlive(unknown) // or its memory would be given back before it is counted again
	runtime.KeepAlive(known)
	if err := errors.Join(err, s.Close(ctx, ""), r.Close()); err != nil {
		return w, err
	}
	w.Memory = perRead(n * 5 / 4)
	return w, nil
}

// perRead returns the nanoseconds of one read at a random place of n bytes, each place known only after the read before.
func perRead(n int64) float64 {
	memory := make([]byte, n)
	for i := range memory {
		memory[i] = byte(i)
	}
	at := uint64(1)
	ns := hot(func() {
		for range samples {
			at = (at + uint64(memory[at%uint64(n)])) * 0x9e3779b97f4a7c15
			at ^= at >> 32
		}
	})
	runtime.KeepAlive(at)
	return ns
}

// perCall returns the nanoseconds of a call for one of the ids.
func perCall(ids []crypto.ID, call func(crypto.ID)) float64 {
	return hot(func() {
		for _, id := range ids {
			call(id)
		}
	})
}

// hot runs a pass of samples until what it touches is in the processor's caches as far as it fits, and then returns the nanoseconds for a sample
// in the median of more passes.
func hot(pass func()) float64 {
	for range 8 {
		pass()
	}
	var times [15]time.Duration
	for i := range times {
		start := time.Now()
		pass()
		times[i] = time.Since(start)
	}
	slices.Sort(times[:])
	return float64(times[len(times)/2].Nanoseconds()) / samples
}
