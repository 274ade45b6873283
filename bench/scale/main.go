// Command scale measures what things cost as a repository grows: opening it, looking chunks up, memory and disk of the index, the
// ledger and the list of snapshots, the content map of a large disk.
//
//	go run ./bench/scale                  # up to 10^7 chunks
//	go run ./bench/scale -chunks 1e8      # one size
//	make scale                            # up to 10^8, into docs/scale.json and docs/scale.svg
//
// The repositories are synthetic and real: index files and ledger entries are made by the encoders that sessions use, and read by the
// code that users run; only the packs that they name are not there. Each measurement is a process of its own.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

type config struct {
	work     string
	chunks   []int64
	sessions []int64
	entries  []int64
	disks    []int64
	json     string
	svg      string
	keep     bool
}

func main() {
	var c config
	step := flag.String("step", "", "one `measurement` (in a process of its own): cold, warm, ledger, replay or disk")
	chunks := flag.String("chunks", "1e5,1e6,1e7", "sizes of the index, in chunks")
	sessions := flag.String("sessions", "1e3,1e4", "numbers of sessions that stored 100 chunks each")
	entries := flag.String("entries", "1e3,2e4,1e5", "sizes of the ledger, in entries; every second is a snapshot")
	disks := flag.String("disks", "64,1024,16384", "sizes of disks, in GiB; a sixteenth of each is data")
	flag.StringVar(&c.work, "work", "/var/tmp", "folder for the repositories, 70 bytes for each chunk")
	flag.StringVar(&c.json, "json", "", "write the results to this `file`")
	flag.StringVar(&c.svg, "svg", "", "draw the results to this `file`")
	flag.BoolVar(&c.keep, "keep", false, "keep the repositories, and use those that are there")
	flag.Parse()
	err := errors.Join(parseSizes(*chunks, &c.chunks), parseSizes(*sessions, &c.sessions), parseSizes(*entries, &c.entries), parseSizes(*disks, &c.disks))
	if err == nil && flag.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(2)
	}
	if *step != "" {
		err = runStep(context.Background(), *step, c.work, os.Stdout)
	} else {
		err = run(context.Background(), &c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func parseSizes(text string, list *[]int64) error {
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || f < 1 || f > 1e9 || f != float64(int64(f)) {
			return fmt.Errorf("%q is not a size from 1 to 1e9", s)
		}
		*list = append(*list, int64(f))
	}
	return nil
}

// runStep measures the repository in dir and prints the result as JSON.
func runStep(ctx context.Context, step, dir string, out *os.File) error {
	var result any
	var err error
	switch step {
	case "cold":
		result, err = measureCold(ctx, dir)
	case "warm":
		result, err = measureWarm(ctx, dir)
	case "ledger":
		result, err = measureLedger(ctx, dir)
	case "replay":
		result, err = measureReplay(ctx, dir)
	case "disk":
		result, err = measureDisk(ctx, dir)
	default:
		err = fmt.Errorf("unknown step %q", step)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// measure runs a step in a process of its own, so that its memory is its own, and decodes what it prints.
func measure(ctx context.Context, step, dir string, result any) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-step", step, "-work", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("measuring %s: %w", step, err)
	}
	return json.Unmarshal(out, result)
}

// results are those of one run of the program.
type results struct {
	Index    []indexResult  `json:"index"`
	Sessions []indexResult  `json:"sessions"`
	Ledger   []ledgerResult `json:"ledger"`
	Disk     []diskResult   `json:"disk"`
}

func run(ctx context.Context, c *config) error {
	var all results
	for _, n := range c.chunks {
		r, err := scaleIndex(ctx, c, n, chunksPerFile)
		if err != nil {
			return err
		}
		all.Index = append(all.Index, r)
	}
	for _, n := range c.sessions {
		r, err := scaleIndex(ctx, c, n*smallSession, smallSession)
		if err != nil {
			return err
		}
		all.Sessions = append(all.Sessions, r)
	}
	for _, n := range c.entries {
		r, err := scaleLedger(ctx, c, n)
		if err != nil {
			return err
		}
		all.Ledger = append(all.Ledger, r)
	}
	for _, n := range c.disks {
		r, err := scaleDisk(ctx, c, n)
		if err != nil {
			return err
		}
		all.Disk = append(all.Disk, r)
	}
	all.print(os.Stdout)
	return all.write(c)
}

func (r *results) write(c *config) error {
	if c.json != "" {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.json, append(b, '\n'), 0o666); err != nil {
			return err
		}
	}
	if c.svg != "" {
		return os.WriteFile(c.svg, r.chart(), 0o666)
	}
	return nil
}

// withRepository makes a synthetic repository in a folder of its own, or takes the one that an earlier run kept, and calls use with it.
func (c *config) withRepository(name string, fill func(dir string) error, use func(dir string) error) error {
	dir := filepath.Join(c.work, "holdfast-scale-"+name)
	done := filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err != nil || !c.keep {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := fill(dir); err != nil {
			return errors.Join(fmt.Errorf("making a repository of %s: %w", name, err), os.RemoveAll(dir))
		}
		if err := os.WriteFile(done, nil, 0o666); err != nil {
			return err
		}
	}
	err := use(dir)
	if !c.keep {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
