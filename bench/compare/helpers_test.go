//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "if that is meant: go test ./bench/compare -update")
}

// fakeReport is a report of two rounds with made-up numbers.
func fakeReport() *report {
	r := &report{
		Time:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Machine: machine{Processor: "Some <fast> CPU", Processors: 2, Memory: 16e9, Kernel: "6.1"},
		Corpus:  []corpusFile{{Name: "vm-day0.img", Size: 4e9, Allocated: 2e9}, {Name: "vm-day1.img", Size: 4e9, Allocated: 2e9}},
		Peers:   []*peer{{Name: us, Version: "holdfast 1"}, {Name: "restic", Version: "restic 2"}, {Name: "borg", Version: "borg 3"}},
		Limits: &limits{Read: 10e9, BLAKE3: 5e9, AES: 8e9, Write: 1e9, Synced: 0.5e9,
			Zstd: map[string]codec{"vm-day0.img": {0.5e9, 2e9, 4}, "vm-day1.img": {0.5e9, 2e9, 4}}},
	}
	add := func(step, peer string, round int, s float64, stored int64) {
		u := usage{Seconds: s, CPU: 2 * s, RSS: 200e6, Private: 100e6, Read: 2e9, Written: stored, Disk: stored}
		r.Samples = append(r.Samples, sample{Step: step, Peer: peer, Round: round, usage: u, Added: stored, Repository: stored})
	}
	for round := range 2 {
		more := float64(round)
		add("vm-day0", us, round, 4+more, 480e6)
		add("vm-day0", "restic", round, 12+more, 470e6)
		add("vm-day0", "borg", round, 10, 680e6)
		add("reread", us, round, 0.5, 0)
		add("reread", "restic", round, 4, 0)
		add("restore", us, round, 4, 0)
		add("in-place", us, round, 1, 0)
		add("check", "restic", round, 2, 0)
	}
	return r
}

// tinyCorpus makes a corpus of few MiB: disks with holes, dumps, and noise.
func tinyCorpus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	c := corpus{dir: dir}
	disk := make([]byte, 4<<20)
	for i := 512 << 10; i < 3<<20; i++ {
		disk[i] = byte(rng.IntN(16))
	}
	save := func(name string, data []byte) {
		f, err := os.Create(c.path(name))
		require.NoError(t, err)
		for off := 0; off < len(data); off += 64 << 10 {
			p := data[off : off+64<<10]
			if string(p) != string(make([]byte, len(p))) {
				_, err = f.WriteAt(p, int64(off))
				require.NoError(t, err)
			}
		}
		require.NoError(t, f.Truncate(int64(len(data))))
		require.NoError(t, f.Close())
		c.Files = append(c.Files, corpusFile{Name: name, Size: int64(len(data)), Allocated: int64(len(data)), BLAKE3: name})
	}
	save("vm-day0.img", disk)
	for range 10 {
		disk[rng.IntN(len(disk))] ^= 1
	}
	save("vm-day1.img", disk)
	save("vm2.img", append(disk[1<<20:3<<20:3<<20], disk[:1<<20]...))
	for _, name := range []string{"pg-day0.sql", "pg-day1.sql", "pg-hot-day1.sql"} {
		disk[600<<10] ^= byte(len(c.Files))
		save(name, disk[512<<10:2<<20])
	}
	save("rand.bin", disk[1<<20:2<<20])
	data, err := json.Marshal(&c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), data, 0o644))
	return dir
}
