package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/snapshot/content"
)

// step runs a measurement in this process and decodes its result.
func step(t *testing.T, name, dir string, result any) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, runStep(t.Context(), name, dir, f))
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, result))
}

// TestIndexAtScale holds an index of 10^5 chunks to what does not depend on the machine. All answers are checked while they are measured.
func TestIndexAtScale(t *testing.T) {
	dir := t.TempDir()
	const n = 100_000
	require.NoError(t, fillChunks(t.Context(), dir, n, n/10))
	r := indexResult{Chunks: n}
	step(t, "cold", dir, &r.Cold)
	runs, err := bytesIn(cachePath(dir))
	require.NoError(t, err)
	require.Less(t, float64(runs)/n, 32.0, "bytes on disk for each chunk")
	step(t, "warm", dir, &r.Warm)
	require.Positive(t, r.Warm.Miss)
	require.Positive(t, r.Warm.Locate)
	again, err := bytesIn(cachePath(dir))
	require.NoError(t, err)
	require.Equal(t, runs, again, "opening again adds nothing")
	require.Error(t, runStep(t.Context(), "nonsense", dir, os.Stdout))
}

func TestLedgerAtScale(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, fillEntries(t.Context(), dir, 301))
	var cold, warm ledgerResult
	step(t, "ledger", dir, &cold)
	step(t, "ledger", dir, &warm)
	require.Equal(t, 147, cold.Snapshots)
	require.Equal(t, 147, warm.Snapshots)
	var replay ledgerResult
	step(t, "replay", dir, &replay)
	require.Positive(t, replay.Replay)
	require.Positive(t, replay.State)
}

func TestDiskAtScale(t *testing.T) {
	dir := t.TempDir()
	made, err := fillDisk(t.Context(), dir, 4)
	require.NoError(t, err)
	require.EqualValues(t, 4*1024, made.Chunks)
	var r diskResult
	step(t, "disk", dir, &r)
	require.Equal(t, made.Chunks, r.Chunks)
	require.Positive(t, r.Lookup)
	require.Less(t, r.Stored, 60.0, "bytes stored for each chunk")

	b, err := os.ReadFile(filepath.Join(dir, "disk.json"))
	require.NoError(t, err)
	var saved savedDisk
	require.NoError(t, json.Unmarshal(b, &saved))
	c := content.Decode(wire.NewDecoder(saved.Content))
	require.EqualValues(t, 4<<30, c.Size)
}

func TestOutput(t *testing.T) {
	all := results{
		Index:  []indexResult{{Chunks: 1e5, Cold: coldResult{Seconds: 0.1}, Warm: warmResult{Open: 0.001, Miss: 20, Hit: 200, Locate: 500, Memory: 5}}, {Chunks: 1e8, Cold: coldResult{Seconds: 50}, Warm: warmResult{Open: 0.1, Miss: 90, Hit: 600, Locate: 1500, Memory: 80}}},
		Ledger: []ledgerResult{{Entries: 1000, Replay: 0.2, State: 1e5, Cold: 0.1, Warm: 0.01, List: 0.001}},
	}
	var text bytes.Buffer
	all.print(&text)
	require.Contains(t, text.String(), "1e+08")
	require.NotContains(t, text.String(), "GiB", "what was not measured is not printed")
	c := config{json: filepath.Join(t.TempDir(), "r.json"), svg: filepath.Join(t.TempDir(), "r.svg")}
	require.NoError(t, all.write(&c))
	b, err := os.ReadFile(c.json)
	require.NoError(t, err)
	var again results
	require.NoError(t, json.Unmarshal(b, &again))
	require.Equal(t, all, again)
	svg, err := os.ReadFile(c.svg)
	require.NoError(t, err)
	require.NotContains(t, string(svg), "NaN")
	require.NotContains(t, string(svg), "Inf")
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
}

func TestSizes(t *testing.T) {
	var list []int64
	require.NoError(t, parseSizes("1e3,64", &list))
	require.Equal(t, []int64{1000, 64}, list)
	for _, bad := range []string{"x", "0", "1.5", "1e10", "-3"} {
		require.Error(t, parseSizes(bad, &list), bad)
	}
	require.NoError(t, parseSizes("", &list))
}
