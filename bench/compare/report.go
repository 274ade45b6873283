//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is everything that was measured: what --json writes.
type report struct {
	Time    time.Time    `json:"time"`
	Machine machine      `json:"machine"`
	Corpus  []corpusFile `json:"corpus"`
	Peers   []*peer      `json:"peers"`
	Limits  *limits      `json:"limits"`
	Samples samples      `json:"samples"`
}

// machine says what was measured on.
type machine struct {
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Memory     int64  `json:"memory"` // bytes
	Kernel     string `json:"kernel"`
}

func thisMachine() machine {
	m := machine{Processor: runtime.GOARCH, Processors: runtime.NumCPU()}
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.Processor = strings.TrimSpace(value)
				break
			}
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	return m
}

func (r *report) file(name string) *corpusFile {
	return (&corpus{Files: r.Corpus}).find(name)
}

func (r *report) save(path string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// readReports reads reports and joins them: rounds of later ones count on. None gives nil.
func readReports(paths []string) (*report, error) {
	var all *report
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading a report: %w", err)
		}
		r := &report{}
		if err := json.Unmarshal(data, r); err != nil {
			return nil, fmt.Errorf("reading report %s: %w", path, err)
		}
		if r.Limits == nil {
			return nil, fmt.Errorf("reading report %s: it has no limits, so it is none of ours", path)
		}
		if all == nil {
			all = r
			continue
		}
		if err := all.join(r); err != nil {
			return nil, fmt.Errorf("%s and %s cannot be shown together: %w", paths[0], path, err)
		}
	}
	return all, nil
}

// join adds what another report measured.
func (r *report) join(other *report) error {
	if r.Machine != other.Machine {
		return fmt.Errorf("they are of two machines")
	}
	if !slices.Equal(r.Corpus, other.Corpus) {
		return fmt.Errorf("they are of two corpora")
	}
	rounds := 0
	for i := range r.Samples {
		rounds = max(rounds, r.Samples[i].Round+1)
	}
	for _, s := range other.Samples {
		s.Round += rounds
		r.Samples = append(r.Samples, s)
	}
	for _, p := range other.Peers {
		same := func(q *peer) bool { return q.Name == p.Name }
		i := slices.IndexFunc(r.Peers, same)
		if i < 0 {
			r.Peers = append(r.Peers, p)
		} else if r.Peers[i].Version != p.Version {
			return fmt.Errorf("they are of two versions of %s", p.Name)
		}
	}
	return nil
}
