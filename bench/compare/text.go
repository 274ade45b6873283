//go:build linux

package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table is rows of cells; the first row is the head.
type table [][]string

// String prints a Markdown table whose columns line up, the first to the left and numbers to the right.
func (t table) String() string {
	width := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range t {
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString("| " + cell + pad)
			} else {
				b.WriteString(" | " + pad + cell)
			}
		}
		b.WriteString(" |\n")
		if n > 0 {
			continue
		}
		for i, w := range width {
			if i == 0 {
				b.WriteString("|" + strings.Repeat("-", w+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", w+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// text prints all tables.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d processors, %d GB, Linux %s\n", r.Machine.Processor, r.Machine.Processors, (r.Machine.Memory+5e8)/1e9, r.Machine.Kernel)
	for _, p := range r.Peers {
		fmt.Fprintf(&b, "%s: %s\n", p.Name, p.Version)
	}
	steps := r.steps()
	fmt.Fprintf(&b, "\nSeconds: median (least-most); ratio: Holdfast's time by the other's, median of ratios within a round\n\n%s", r.compared(steps, seconds, timeText))
	fmt.Fprintf(&b, "\nMB that the repository grew by, and ratio\n\n%s", r.compared(storing(steps), added, megabytes))
	fmt.Fprintf(&b, "\nProcessor seconds, peak memory (and the part of it that is private), MB read, written, and written to disk: medians\n\n%s", r.resources(steps))
	fmt.Fprintf(&b, "\nThis machine, all processors at work, GB/s\n\n%s", r.limitTable())
	fmt.Fprintf(&b, "\nHoldfast beside the limits: the part that is needed longest, the share of the time for which it is needed, and the share for which the\nprocessors would do all they must\n\n%s", r.shareTable(steps))
	return b.String()
}

// steps returns the steps that were measured.
func (r *report) steps() []step {
	var out []step
	for _, st := range allSteps() {
		for i := range r.Samples {
			if r.Samples[i].Step == st.name {
				out = append(out, st)
				break
			}
		}
	}
	return out
}

// us is the name of the program that the others are compared with.
const us = "holdfast"

// timeText shows short times finer than long ones.
func timeText(s spread) string {
	digits := 2
	if s.median < 0.1 {
		digits = 3
	}
	if s.least == s.most {
		return fmt.Sprintf("%.*f", digits, s.median)
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, s.median, digits, s.least, digits, s.most)
}

func megabytes(s spread) string { return fmt.Sprintf("%.1f", s.median/1e6) }

// compared is a table of one value by step and program, and of its ratios.
func (r *report) compared(steps []step, of func(*sample) float64, show func(spread) string) table {
	head := []string{"step"}
	for _, p := range r.Peers {
		if head = append(head, p.Name); p.Name != us {
			head = append(head, "ratio")
		}
	}
	t := table{head}
	for _, st := range steps {
		row := []string{st.title}
		for _, p := range r.Peers {
			s, ratio := spreadOf(r.Samples.values(st.name, p.Name, of)), spreadOf(r.Samples.ratios(st.name, us, p.Name, of))
			row = append(row, orEmpty(s, show))
			if p.Name != us {
				row = append(row, orEmpty(ratio, func(s spread) string { return fmt.Sprintf("%.2f", s.median) }))
			}
		}
		t = append(t, row)
	}
	return t
}

func orEmpty(s spread, show func(spread) string) string {
	if !s.valid() {
		return ""
	}
	return show(s)
}

func (r *report) resources(steps []step) table {
	t := table{{"step", "program", "processor s", "MB of memory", "private", "read", "written", "to disk"}}
	for _, st := range steps {
		title := st.title
		for _, p := range r.Peers {
			middle := func(of func(*sample) float64) spread { return spreadOf(r.Samples.values(st.name, p.Name, of)) }
			cpu := middle(func(s *sample) float64 { return s.CPU })
			if !cpu.valid() {
				continue
			}
			row := []string{title, p.Name, fmt.Sprintf("%.2f", cpu.median)}
			for _, of := range []func(*usage) int64{func(u *usage) int64 { return u.RSS }, func(u *usage) int64 { return u.Private },
				func(u *usage) int64 { return u.Read }, func(u *usage) int64 { return u.Written }, func(u *usage) int64 { return u.Disk }} {
				row = append(row, fmt.Sprintf("%.0f", middle(func(s *sample) float64 { return float64(of(&s.usage)) }).median/1e6))
			}
			t = append(t, row)
			title = ""
		}
	}
	return t
}

func (r *report) limitTable() table {
	l := r.Limits
	gb := func(v float64) string { return fmt.Sprintf("%.2f", v/1e9) }
	t := table{{"part", "GB/s", "back", "ratio"},
		{"reading the page cache", gb(l.Read), "", ""}, {"BLAKE3, keyed, 64 KiB", gb(l.BLAKE3), "", ""}, {"AES-256-GCM, 1 MiB", gb(l.AES), "", ""},
		{"writing, no fsync", gb(l.Write), "", ""}, {"writing, fsync at the end", gb(l.Synced), "", ""}}
	for _, f := range r.Corpus {
		if z, ok := l.Zstd[f.Name]; ok {
			t = append(t, []string{"zstd fastest, 1 MiB, " + f.Name, gb(z.Encode), gb(z.Decode), fmt.Sprintf("%.2f", z.Ratio)})
		}
	}
	return t
}

func (r *report) shareTable(steps []step) table {
	t := table{{"step", "limited by", "share", "all work"}}
	for i := range steps {
		var limit, work []float64
		part := ""
		for j := range r.Samples {
			s := &r.Samples[j]
			if s.Step != steps[i].name || s.Peer != us {
				continue
			}
			if sh, ok := r.share(&steps[i], s); ok {
				part, limit, work = sh.part, append(limit, sh.limit), append(work, sh.work)
			}
		}
		if len(limit) > 0 {
			t = append(t, []string{steps[i].title, part, fmt.Sprintf("%.0f %%", 100*spreadOf(limit).median), fmt.Sprintf("%.0f %%", 100*spreadOf(work).median)})
		}
	}
	return t
}
