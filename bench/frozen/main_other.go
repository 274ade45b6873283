//go:build !linux

// Command frozen makes the frozen repository of internal/specreader. It works on Linux only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "frozen: this command needs Linux (sparse files, device nodes, extended attributes)")
	os.Exit(1)
}
