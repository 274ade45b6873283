//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseFlags(t *testing.T) {
	cfg, err := parseFlags([]string{"--corpus", "c", "--steps", "restore, list", "--peers", "restic"}, io.Discard)
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(cfg.corpus))
	require.Equal(t, filepath.Dir(cfg.corpus), cfg.work)
	require.Equal(t, []string{"restore", "list"}, cfg.steps)
	for _, args := range [][]string{{}, {"--corpus", "c", "x"}, {"--corpus", "c", "--rounds", "0"}, {"--corpus", "c", "--steps", "nothing"},
		{"--corpus", "c", "--peers", "holdfast"}, {"--corpus", "c", "--scale", "65"}} {
		require.Equal(t, 2, realMain(args, io.Discard, io.Discard), args)
	}
}

func TestSelectSteps(t *testing.T) {
	names := func(steps []step) (out []string) {
		for _, s := range steps {
			out = append(out, s.name)
		}
		return out
	}
	all := func(string) bool { return true }
	require.Equal(t, stepNames(), names(selectSteps(nil, all)))
	require.Equal(t, []string{"init", "vm-day0", "vm-day1", "restore", "in-place"}, names(selectSteps([]string{"in-place"}, all)))
	require.Equal(t, []string{"init", "vm-day0", "list", "pg-day0", "pg-hot"}, names(selectSteps([]string{"pg-hot", "list"}, all)))
	noDisks := func(file string) bool { return !strings.HasPrefix(file, "vm") }
	require.Equal(t, []string{"init", "vm-day0", "list", "pg-day0", "pg-day1", "pg-hot", "rand"}, names(selectSteps(nil, noDisks)))
	require.Len(t, sets(selectSteps(nil, all)), 4)
	known := map[string]bool{"": true}
	for _, s := range allSteps() {
		require.True(t, known[s.needs], "%s needs what comes later", s.name)
		known[s.name] = true
	}
}

func TestSpread(t *testing.T) {
	require.False(t, spreadOf(nil).valid())
	require.Equal(t, spread{2, 1, 9}, spreadOf([]float64{9, 1, 2}))
	require.Equal(t, spread{2.5, 1, 9}, spreadOf([]float64{9, 1, 2, 3}))
	s := fakeReport().Samples
	require.Equal(t, []float64{4, 5}, s.values("vm-day0", us, seconds))
	require.InDeltaSlice(t, []float64{4. / 12, 5. / 13}, s.ratios("vm-day0", us, "restic", seconds), 1e-9)
	require.Empty(t, s.ratios("reread", us, "restic", added), "a ratio to nothing")
	require.Empty(t, s.ratios("check", us, "restic", seconds), "only one ran it")
}

func TestShares(t *testing.T) {
	r := fakeReport()
	for _, c := range []struct {
		step  string
		part  string
		share share
	}{
		// 480 MB are 1920 MB of data: 3.84 s of zstd at 0.5 GB/s; all: + 0.96 back, 0.4 BLAKE3, 0.2 reading, 0.12 AES.
		{"vm-day0", "zstd", share{"zstd", 3.84 / 4, (3.84 + 0.96 + 0.4 + 0.2 + 0.12) / 4}},
		{"reread", "BLAKE3", share{"BLAKE3", 0.4 / 0.5, 0.6 / 0.5}},
		{"restore", "disk", share{"disk", 1, (1 + 0.4 + 0.0625) / 4}},
		{"in-place", "BLAKE3", share{"BLAKE3", 0.4, 0.6}},
	} {
		st := selectSteps([]string{c.step}, func(string) bool { return true })
		for i := range r.Samples {
			if s := &r.Samples[i]; s.Step == c.step && s.Peer == us && s.Round == 0 {
				got, ok := r.share(&st[len(st)-1], s)
				require.True(t, ok)
				require.Equal(t, c.part, got.part)
				require.InDelta(t, c.share.limit, got.limit, 1e-9, c.step)
				require.InDelta(t, c.share.work, got.work, 1e-9, c.step)
			}
		}
	}
}

func TestGolden(t *testing.T) {
	r := fakeReport()
	golden(t, "report.txt", []byte(r.text()))
	svg := chart(r)
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
	}
	golden(t, "chart.svg", svg)
}

// TestCommands shows every command line, so that a change of one is seen.
func TestCommands(t *testing.T) {
	var b strings.Builder
	at := place{"/w"}
	for _, d := range []driver{&holdfast{s2: true, maps: true}, &restic{sparse: true}, kopia{}, borg{}, plakar{}, desync{}} {
		fmt.Fprintf(&b, "%s\n  env %q\n", d.name(), d.env(at))
		for _, s := range allSteps() {
			t := task{job: s.job, source: "/src/" + s.as, label: s.label, target: "/out", clean: "/w/clean.json"}
			if s.job == jobInPlace {
				t.target = "/out/disk.img"
			}
			for _, p := range d.commands(at, t) {
				fmt.Fprintf(&b, "  %-8s %s", s.name, strings.Join(p.args, " "))
				if p.dir != "" {
					fmt.Fprintf(&b, "   in %s", p.dir)
				}
				b.WriteByte('\n')
			}
		}
	}
	golden(t, "commands.txt", []byte(b.String()))
}

func TestJoin(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	require.NoError(t, fakeReport().save(a))
	require.NoError(t, fakeReport().save(b))
	r, err := readReports([]string{a, b})
	require.NoError(t, err)
	require.Len(t, r.Samples.values("vm-day0", us, seconds), 4)
	require.Len(t, r.Samples.ratios("vm-day0", us, "restic", seconds), 4)
	for _, spoil := range []func(*report){
		func(r *report) { r.Machine.Processors++ }, func(r *report) { r.Corpus[0].BLAKE3 = "x" }, func(r *report) { r.Peers[1].Version = "x" }, func(r *report) { r.Limits = nil }} {
		other := fakeReport()
		spoil(other)
		require.NoError(t, other.save(b))
		_, err := readReports([]string{a, b})
		require.Error(t, err)
	}
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	sp := &spawn{path: "/bin/sh", output: filepath.Join(dir, "output"), dir: dir, env: os.Environ(),
		args: []string{"-c", `x=$(head -c 20000000 /dev/zero | tr '\0' a); echo "$x" > f; sleep 0.1; echo done`}}
	u, err := sp.run(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, u.Seconds, 0.1)
	require.Positive(t, u.CPU)
	for _, n := range []int64{u.Read, u.Written, u.RSS, u.Private} {
		require.Greater(t, n, int64(20e6), "%+v", u)
	}
	sp.args = []string{"-c", "echo the reason >&2; exit 3"}
	_, err = sp.run(t.Context())
	require.ErrorContains(t, err, "the reason")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
}

func TestSameBytes(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	data := bytes.Repeat([]byte{1}, 3<<20)
	require.NoError(t, os.WriteFile(a, data, 0o600))
	for _, n := range []int{0, 1, 1 << 20, 3<<20 - 1} {
		require.NoError(t, os.WriteFile(b, data[:n], 0o600))
		require.Error(t, sameBytes(a, b), n)
		require.Error(t, sameBytes(b, a), n)
	}
	require.NoError(t, copySparse(a, b+"2"))
	require.NoError(t, sameBytes(a, b+"2"))
	data[2<<20] = 2
	require.NoError(t, os.WriteFile(b, data, 0o600))
	require.Error(t, sameBytes(a, b))
}

func TestSampleOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse")
	f, err := os.Create(path)
	require.NoError(t, err)
	for i := range 64 { // 4 MiB of data, each 64 KiB apart from the next
		_, err = f.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, 64<<10), int64(i)*(256<<10))
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	units, err := sampleOf(path, 2*unit)
	require.NoError(t, err)
	require.Len(t, units, 2)
	for i, u := range units {
		require.Len(t, u, unit)
		require.NotContains(t, string(u), "\x00", "a hole is no data")
		require.Equal(t, byte(32*i+1), u[0])
	}
}

// TestCompare measures a corpus of few MiB with Holdfast and what is there beside it.
func TestCompare(t *testing.T) {
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	peers := ""
	if _, err := exec.LookPath("restic"); err == nil {
		peers = "restic" // the others take long to start
	}
	cfg, err := parseFlags([]string{"--corpus", tinyCorpus(t), "--work", dir, "--rounds", "1", "--steps", "in-place,check,list,mapped,pg-day0", "--peers", peers, "--json", filepath.Join(dir, "json"), "--svg", filepath.Join(dir, "svg")}, io.Discard)
	require.NoError(t, err)
	cfg.gauge = time.Millisecond
	require.NoError(t, compare(t.Context(), cfg, &stdout, &stderr), stderr.String())
	t.Log(stdout.String())
	again, err := readReports([]string{cfg.json})
	require.NoError(t, err)
	require.Equal(t, stdout.String(), again.text())
	for _, p := range again.Peers {
		for _, step := range []string{"vm-day0", "vm-day1", "restore", "check", "pg-day0"} {
			v := again.Samples.values(step, p.Name, seconds)
			require.Len(t, v, 1, "%s of %s", step, p.Name)
			require.Positive(t, v[0])
		}
	}
	require.Len(t, again.Samples.values("in-place", us, seconds), 1)
	left, err := filepath.Glob(filepath.Join(dir, "compare.*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
