package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// output is where a verb prints to: results to stdout, everything else to stderr, with a status line on stderr if that is a terminal.
// It is safe for concurrent use. The first error of stdout is kept for close.
type output struct {
	json    bool
	quiet   bool
	verbose int

	mu       sync.Mutex
	out      *bufio.Writer
	errOut   io.Writer
	outTerm  bool
	errTerm  bool
	width    func() int // of the terminal on stderr
	status   bool       // a status line is shown
	writeErr error
}

func newOutput(stdout, stderr *os.File) *output {
	return &output{
		out: bufio.NewWriterSize(stdout, 64<<10), errOut: stderr,
		outTerm: term.IsTerminal(int(stdout.Fd())), errTerm: term.IsTerminal(int(stderr.Fd())),
		width: func() int {
			if w, _, err := term.GetSize(int(stderr.Fd())); err == nil && w > 0 {
				return w
			}
			return 80
		},
	}
}

func (o *output) configure(g *globalFlags) { o.json, o.quiet, o.verbose = g.json, g.quiet, g.verbose }

// Write makes output a writer of results.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clearStatus()
	n, err := o.out.Write(p)
	o.keep(err)
	return n, err
}

func (o *output) keep(err error) {
	if err != nil && o.writeErr == nil {
		o.writeErr = fmt.Errorf("writing to standard output: %w", err)
	}
}

// printf prints a result.
func (o *output) printf(format string, args ...any) { fmt.Fprintf(o, format, args...) }

// infof prints what is not a result but good to know, unless --quiet or --json ask for silence.
func (o *output) infof(format string, args ...any) {
	if !o.quiet && !o.json {
		o.printf(format, args...)
	}
}

// object prints one JSON object on a line of its own.
func (o *output) object(v any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, err := marshal(v)
	if err == nil {
		_, err = o.out.Write(append(b, '\n'))
	}
	if err == nil {
		err = o.out.Flush()
	}
	o.keep(err)
}

// value prints a JSON value as part of a larger one.
func (o *output) value(v any) {
	b, err := marshal(v)
	if err == nil {
		_, err = o.Write(b)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep(err)
}

func marshal(v any) ([]byte, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return []byte(strings.TrimSuffix(b.String(), "\n")), err
}

// array prints one JSON array, element by element as they come.
type array struct {
	o *output
	n int
}

// next begins an element.
func (a *array) next() {
	sep := "[\n"
	if a.n > 0 {
		sep = ",\n"
	}
	a.n++
	a.o.printf("%s", sep)
}

func (a *array) add(v any) {
	a.next()
	a.o.value(v)
}

func (a *array) end() {
	if a.n == 0 {
		a.o.printf("[]\n")
		return
	}
	a.o.printf("\n]\n")
}

// name returns a path for printing as a result: as it is, unless a terminal could be confused by it.
func (o *output) name(path string) string {
	if o.outTerm {
		return printable(path)
	}
	return path
}

// note tells something odd that is no failure.
func (o *output) note(format string, args ...any) {
	if o.quiet {
		return
	}
	message := oneLine(fmt.Sprintf(format, args...))
	if o.json {
		o.errObject(struct {
			Type    string `json:"message_type"`
			Message string `json:"message"`
		}{"note", message})
		return
	}
	o.errLine("holdfast: note: " + message)
}

// fault tells of an error that does not end the run.
func (o *output) fault(during, item string, err error) {
	message := err.Error()
	if item != "" && !strings.Contains(message, item) {
		message = item + ": " + message
	}
	if !o.json {
		o.errLine("holdfast: error: " + oneLine(message))
		return
	}
	type cause struct {
		Message string `json:"message"`
	}
	o.errObject(struct {
		Type   string `json:"message_type"`
		Error  cause  `json:"error"`
		During string `json:"during"`
		Item   string `json:"item"`
	}{"error", cause{oneLine(message)}, during, jsonName(item)})
}

// failure tells why the run failed.
func (o *output) failure(f failure) {
	message := f.message
	if f.hint != "" {
		message += " (" + f.hint + ")"
	}
	if !o.json {
		o.errLine("holdfast: " + message)
		return
	}
	o.errObject(struct {
		Type    string `json:"message_type"`
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{"exit_error", f.code, message})
}

func (o *output) errObject(v any) {
	if b, err := marshal(v); err == nil {
		o.errLine(string(b))
	}
}

// errLine writes a line to stderr, after what stdout has got so far.
func (o *output) errLine(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clearStatus()
	o.keep(o.out.Flush())
	fmt.Fprintln(o.errOut, s)
}

// showStatus replaces the status line of the terminal.
func (o *output) showStatus(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.width() - 1; len([]rune(s)) > w {
		s = string([]rune(s)[:w])
	}
	o.keep(o.out.Flush())
	fmt.Fprintf(o.errOut, "\r%s\x1b[K", s)
	o.status = true
}

// clearStatus makes room for a line. mu is held.
func (o *output) clearStatus() {
	if o.status {
		fmt.Fprint(o.errOut, "\r\x1b[K")
		o.status = false
	}
}

// close takes the status line away and returns the first error of stdout.
func (o *output) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clearStatus()
	o.keep(o.out.Flush())
	return o.writeErr
}
