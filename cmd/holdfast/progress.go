package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// How often progress is told: on a terminal, as JSON, and as plain lines.
const (
	terminalEvery = 200 * time.Millisecond
	jsonEvery     = time.Second
	plainEvery    = 10 * time.Second
)

// state is how far some work is. A total of zero is not known yet.
type state struct {
	Files, TotalFiles uint64
	Bytes, TotalBytes uint64
	Errors            uint64
}

// meter turns reports of progress into a status line, plain lines or JSON, each as often as is good for it. It is safe for
// concurrent use.
type meter struct {
	o     *output
	verb  string // such as "backed up"
	every time.Duration
	start time.Time

	mu    sync.Mutex
	last  time.Time
	marks []mark // of the last seconds, for the speed
}

type mark struct {
	at    time.Time
	bytes uint64
}

func newMeter(o *output, verb string) *meter {
	m := &meter{o: o, verb: verb, start: time.Now(), every: plainEvery}
	switch {
	case o.json:
		m.every = jsonEvery
	case o.errTerm:
		m.every = terminalEvery
	}
	m.last = m.start
	return m
}

// show tells s if it is time to.
func (m *meter) show(s state) {
	if m.o.quiet {
		return
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.last) < m.every {
		return
	}
	m.last = now
	elapsed, speed := now.Sub(m.start), m.speed(now, s.Bytes)
	switch {
	case m.o.json:
		m.o.object(newStatusJSON(s, elapsed, speed))
	case m.o.errTerm:
		m.o.showStatus(statusText(m.verb, s, elapsed, speed))
	default:
		m.o.errLine("holdfast: " + statusText(m.verb, s, elapsed, speed))
	}
}

// speedWindow is how far back the speed looks.
const speedWindow = 15 * time.Second

// speed returns bytes per second over the last while.
func (m *meter) speed(now time.Time, bytes uint64) float64 {
	for len(m.marks) > 1 && now.Sub(m.marks[0].at) > speedWindow {
		m.marks = m.marks[1:]
	}
	from := mark{m.start, 0}
	if len(m.marks) > 0 && now.Sub(m.start) > speedWindow {
		from = m.marks[0]
	}
	m.marks = append(m.marks, mark{now, bytes})
	if seconds := now.Sub(from.at).Seconds(); seconds > 0 && bytes > from.bytes {
		return float64(bytes-from.bytes) / seconds
	}
	return 0
}

// remaining estimates how long the rest takes; false if nobody can tell.
func remaining(s state, speed float64) (time.Duration, bool) {
	if s.TotalBytes == 0 || s.Bytes > s.TotalBytes || speed < 1 {
		return 0, false
	}
	return time.Duration(float64(s.TotalBytes-s.Bytes) / speed * float64(time.Second)), true
}

const barWidth = 10

// statusText says in one line how far the work is, what matters most first.
func statusText(verb string, s state, elapsed time.Duration, speed float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s] ", durationText(elapsed))
	if s.TotalBytes > 0 {
		share := min(1, float64(s.Bytes)/float64(s.TotalBytes))
		full := int(share * barWidth)
		fmt.Fprintf(&b, "%s%s %5.1f%%, ", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), share*100)
	}
	if eta, ok := remaining(s, speed); ok {
		fmt.Fprintf(&b, "%s to go, ", durationText(eta))
	}
	fmt.Fprintf(&b, "%s/s, %s %s", bytesText(uint64(speed)), verb, bytesText(s.Bytes))
	if s.TotalBytes > 0 {
		fmt.Fprintf(&b, " of %s", bytesText(s.TotalBytes))
	}
	if s.Files > 0 {
		fmt.Fprintf(&b, ", %s", count(int64(s.Files), "file"))
	}
	if s.Errors > 0 {
		fmt.Fprintf(&b, ", %s", count(int64(s.Errors), "error"))
	}
	return b.String()
}

// statusJSON is a status line of --json, in restic's words.
type statusJSON struct {
	Type             string  `json:"message_type"`
	SecondsElapsed   float64 `json:"seconds_elapsed"`
	SecondsRemaining float64 `json:"seconds_remaining,omitempty"`
	PercentDone      float64 `json:"percent_done"`
	TotalFiles       uint64  `json:"total_files,omitempty"`
	FilesDone        uint64  `json:"files_done,omitempty"`
	TotalBytes       uint64  `json:"total_bytes,omitempty"`
	BytesDone        uint64  `json:"bytes_done"`
	BytesPerSecond   uint64  `json:"bytes_per_second"`
	Errors           uint64  `json:"error_count,omitempty"`
}

func newStatusJSON(s state, elapsed time.Duration, speed float64) statusJSON {
	j := statusJSON{
		Type: "status", SecondsElapsed: elapsed.Seconds(), TotalFiles: s.TotalFiles, FilesDone: s.Files,
		TotalBytes: s.TotalBytes, BytesDone: s.Bytes, BytesPerSecond: uint64(speed), Errors: s.Errors,
	}
	if s.TotalBytes > 0 {
		j.PercentDone = min(1, float64(s.Bytes)/float64(s.TotalBytes))
	}
	if eta, ok := remaining(s, speed); ok {
		j.SecondsRemaining = eta.Seconds()
	}
	return j
}
