//go:build !linux

// Command corpus makes the data that backup tests and benchmarks run on. It works on Linux only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "corpus: this command needs Linux (ext4 images, sparse files, device nodes)")
	os.Exit(1)
}
