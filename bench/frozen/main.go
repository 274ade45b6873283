//go:build linux

// Command frozen makes the frozen repository: a small repository with everything that the format has, and a list of what must be
// read from it. It is kept with the tests of internal/specreader, so that later programs prove that they read what earlier ones
// wrote, and is made anew when the format changes:
//
//	go run ./bench/frozen -out internal/specreader/testdata
//
// That replaces frozen-v1/, the repository, and frozen-v1.json, the list. Run it as root, on a file system with extended attributes,
// else the repository lacks device nodes and attributes. Chunk ids are keyed by chance, and what they decide (where the nodes of
// content maps end) is too; the program starts over until every form is there.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", "", "folder for frozen-v1/ and frozen-v1.json")
	work := flag.String("work", "/var/tmp", "folder for the files that are backed up; its own metadata must not change meanwhile")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), *out, *work); err != nil {
		fmt.Fprintln(os.Stderr, "frozen:", err)
		os.Exit(1)
	}
}

const attempts = 50

func run(ctx context.Context, out, work string) error {
	for range attempts {
		err := attempt(ctx, out, work)
		if !errors.Is(err, errPoor) {
			return err
		}
		fmt.Fprintln(os.Stderr, "frozen: once more:", err)
	}
	return errors.New("the forms that are missing do not turn up")
}

// attempt makes repository and list, and puts them in place if they have everything.
func attempt(ctx context.Context, out, work string) (err error) {
	repository := filepath.Join(out, "frozen-v1")
	if err := os.RemoveAll(repository); err != nil {
		return err
	}
	files := filepath.Join(work, "holdfast-frozen")
	if err := os.Mkdir(files, 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(files)) }()
	l, err := makeRepository(ctx, repository, files)
	if err != nil {
		return err
	}
	for _, empty := range []string{"locks", "tmp"} {
		if err := os.RemoveAll(filepath.Join(repository, empty)); err != nil {
			return err
		}
	}
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	for _, line := range []string{`{"kind"`, `{"id"`, `{"path"`} {
		b = bytes.ReplaceAll(b, []byte(line), []byte("\n"+line))
	}
	return os.WriteFile(filepath.Join(out, "frozen-v1.json"), append(b, '\n'), 0o644)
}

// errPoor is wrapped when something is missing that another try may have.
var errPoor = errors.New("not everything is in it")
