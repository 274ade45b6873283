//go:build linux

package main

import "slices"

// job is a kind of work that a program may know how to do.
type job int

const (
	jobInit    job = iota
	jobBackup      // of a file
	jobFast        // of a file, with the cheapest compression that the program has beside its default
	jobStream      // of standard input
	jobReread      // of a file that did not change, reading all of it
	jobMapped      // of a file that did not change, by a change map that says so
	jobRestore     // to a new file, sparse if the program can
	jobInPlace     // to a file that is there, writing only what differs
	jobCheck       // of every byte
	jobList        // of the snapshots, without a local cache
	jobForget      // of a snapshot, deleting what only it needed
)

// step is one line of the tables.
type step struct {
	name, title string
	set         string // steps of one set share a repository
	job         job
	file        string // of the corpus
	as          string // the name that programs see
	label       string // of the snapshot that is made or restored
	needs       string // the step that must have run
}

// stores reports whether the step puts new data into the repository.
func (s *step) stores() bool { return s.job == jobBackup || s.job == jobFast || s.job == jobStream }

// allSteps lists the steps in the order in which they run.
func allSteps() []step {
	const day0, day1, second = "vm-day0.img", "vm-day1.img", "vm2.img"
	return []step{
		{"init", "init", "vm", jobInit, "", "", "", ""},
		{"vm-day0", "VM disk, first backup", "vm", jobBackup, day0, "disk.img", "day0", "init"},
		{"vm-day1", "VM disk a day later", "vm", jobBackup, day1, "disk.img", "day1", "vm-day0"},
		{"reread", "unchanged, read again", "vm", jobReread, day1, "disk.img", "reread", "vm-day1"},
		{"mapped", "unchanged, by a change map", "vm", jobMapped, day1, "disk.img", "mapped", "reread"},
		{"vm2", "second VM, same files laid out anew", "vm", jobBackup, second, "second.img", "second", "vm-day1"},
		{"restore", "restore day 1", "vm", jobRestore, day1, "disk.img", "day1", "vm-day1"},
		{"in-place", "day 0 over day 1, in place", "vm", jobInPlace, day0, "disk.img", "day0", "restore"},
		{"check", "check, every byte", "vm", jobCheck, day0, "disk.img", "", "vm-day1"},
		{"list", "list snapshots, no cache", "vm", jobList, "", "", "", "vm-day0"},
		{"forget", "forget day 0 and prune", "vm", jobForget, day0, "disk.img", "day0", "vm-day1"},
		{"s2", "VM disk, first backup, s2", "s2", jobFast, day0, "disk.img", "day0", ""},
		{"pg-day0", "database dump by stdin", "pg", jobStream, "pg-day0.sql", "dump.sql", "day0", ""},
		{"pg-day1", "dump a day later, changes spread out", "pg", jobStream, "pg-day1.sql", "dump.sql", "day1", "pg-day0"},
		{"pg-hot", "dump a day later, hot rows changed", "pg", jobStream, "pg-hot-day1.sql", "dump.sql", "hot", "pg-day0"},
		{"rand", "random data", "rand", jobBackup, "rand.bin", "random.bin", "random", ""},
	}
}

func stepNames() []string {
	var names []string
	for _, s := range allSteps() {
		names = append(names, s.name)
	}
	return names
}

// selectSteps returns the steps named (or all) and what they need, in order. Without names, steps whose file is not in the corpus are left out.
func selectSteps(names []string, have func(file string) bool) []step {
	all := allSteps()
	want := map[string]bool{}
	for _, s := range slices.Backward(all) { // what a step needs comes before it
		if slices.Contains(names, s.name) || len(names) == 0 && (s.file == "" || have(s.file)) {
			want[s.name] = true
		}
		if want[s.name] && s.needs != "" {
			want[s.needs] = true
		}
	}
	return slices.DeleteFunc(all, func(s step) bool { return !want[s.name] })
}

// sets splits steps into those that share a repository.
func sets(steps []step) [][]step {
	var out [][]step
	for _, s := range steps {
		if n := len(out); n == 0 || out[n-1][0].set != s.set {
			out = append(out, nil)
		}
		out[len(out)-1] = append(out[len(out)-1], s)
	}
	return out
}
