package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdLast fails unless every line of standard output (or of standard error, if the first argument is stderr) is a JSON object, and the last one
// has these fields. A value of ? only demands that the field is there; one of > that it is a number above 0.
//
//	last [stderr] FIELD=VALUE...
func cmdLast(ts *testscript.TestScript, neg bool, args []string) {
	from := "stdout"
	if len(args) > 0 && args[0] == "stderr" {
		from, args = args[0], args[1:]
	}
	if neg || len(args) == 0 {
		ts.Fatalf("usage: last [stderr] FIELD=VALUE...")
	}
	var object map[string]any
	for line := range strings.Lines(ts.ReadFile(from)) {
		object = nil
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		if err := dec.Decode(&object); err != nil {
			ts.Fatalf("%s: %q is no JSON object: %v", from, line, err)
		}
	}
	for _, a := range args {
		name, want, _ := strings.Cut(a, "=")
		got, ok := object[name]
		switch {
		case !ok:
			ts.Fatalf("there is no %s in %v", name, object)
		case want == "?":
		case want == ">":
			if n, ok := got.(json.Number); !ok || strings.Trim(n.String(), "0.") == "" || strings.HasPrefix(n.String(), "-") {
				ts.Fatalf("%s is %v, and not a number above 0", name, got)
			}
		case fmt.Sprint(got) != want:
			ts.Fatalf("%s is %v, not %s, in %v", name, got, want, object)
		}
	}
}
