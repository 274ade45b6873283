//go:build !linux

// Command compare measures Holdfast beside other backup programs. It works on Linux only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "compare: this command needs Linux (/proc, sparse files)")
	os.Exit(1)
}
