package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit keeps the private memory of a backup or restore within a bound whatever its size: near the limit the garbage collector
// works harder. What is needed beyond it is still had.
const memoryLimit = 200 << 20

func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
