// Command judge reads what benchstat says of two sets of runs and fails when the second is slower than noise explains.
//
//	benchstat -format csv base.txt new.txt | go run ./bench/judge [-mean 5] [-single 25]
//
// A benchmark whose difference benchstat does not call significant counts as unchanged, so noise pulls no mean up. It fails when the
// geometric mean of a package's times is more than -mean percent up, or one benchmark more than -single percent. `make bench-guard`
// makes the runs.
package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
)

func main() {
	os.Exit(realMain(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func realMain(args []string, in io.Reader, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("judge", flag.ContinueOnError)
	fs.SetOutput(stderr)
	mean := fs.Float64("mean", 5, "most `percent` that the geometric mean of a package may be slower")
	single := fs.Float64("single", 25, "most `percent` that one benchmark may be slower")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	changes, err := read(in)
	if err != nil {
		fmt.Fprintln(stderr, "judge:", err)
		return 1
	}
	verdict, ok := judge(changes, *mean, *single)
	fmt.Fprint(stdout, verdict)
	if !ok {
		return 1
	}
	return 0
}

// change is how one benchmark's time differs.
type change struct {
	pkg, name string
	ratio     float64 // new by old; 1 where the difference is not significant
}

// read reads benchstat's CSV and keeps the times. Benchmarks that only one side has are left out.
func read(in io.Reader) ([]change, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	var out []change
	pkg, unit := "", ""
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading benchstat's table: %w", err)
		}
		switch {
		case strings.HasPrefix(row[0], "pkg: "):
			pkg = strings.TrimPrefix(row[0], "pkg: ")
		case len(row) > 2 && row[0] == "" && row[2] == "CI":
			unit = row[1]
		case unit == "sec/op" && len(row) >= 6 && row[0] != "" && row[0] != "geomean":
			c, ok, err := parse(row)
			if err != nil {
				return nil, err
			}
			if c.pkg = pkg; ok {
				out = append(out, c)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no benchmark is on both sides")
	}
	return out, nil
}

// parse reads a row: name, old, its spread, new, its spread, the difference or ~, and how sure that is.
func parse(row []string) (c change, ok bool, err error) {
	if row[1] == "" || row[3] == "" {
		return c, false, nil
	}
	before, err1 := strconv.ParseFloat(row[1], 64)
	after, err2 := strconv.ParseFloat(row[3], 64)
	if err := errors.Join(err1, err2); err != nil {
		return c, false, fmt.Errorf("reading benchstat's line of %s: %w", row[0], err)
	}
	if before <= 0 || after <= 0 {
		return c, false, fmt.Errorf("reading benchstat's line of %s: times are above zero", row[0])
	}
	c = change{name: row[0], ratio: 1}
	if row[5] != "~" {
		c.ratio = after / before
	}
	return c, true, nil
}

// judge says which packages and benchmarks are slower, and whether all is well. Mean and single are percent.
func judge(changes []change, mean, single float64) (string, bool) {
	var b strings.Builder
	var order []string
	logs, count := map[string]float64{}, map[string]int{}
	ok := true
	for _, c := range changes {
		if count[c.pkg] == 0 {
			order = append(order, c.pkg)
		}
		logs[c.pkg] += math.Log(c.ratio)
		count[c.pkg]++
		if p := percent(c.ratio); p > single {
			ok = false
			fmt.Fprintf(&b, "FAIL %s %s is %.1f %% slower (at most %.0f)\n", c.pkg, c.name, p, single)
		}
	}
	for _, pkg := range order {
		p := percent(math.Exp(logs[pkg] / float64(count[pkg])))
		word := "ok  "
		if p > mean {
			word, ok = "FAIL", false
		}
		fmt.Fprintf(&b, "%s %s: geometric mean of %d benchmarks %+.1f %% (at most %+.0f)\n", word, pkg, count[pkg], p, mean)
	}
	return b.String(), ok
}

func percent(ratio float64) float64 { return 100 * (ratio - 1) }
