package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// privateMemory returns the private memory of this process (RssAnon) in bytes, after garbage was given back; 0 where the system does not say.
func privateMemory() int64 {
	debug.FreeOSMemory()
	return rssAnon()
}

func rssAnon() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	field, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.ParseInt(field, 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// watchMemory looks at the private memory now and then until stop is called, which returns the most that was seen.
func watchMemory() (stop func() int64) {
	done, result := make(chan struct{}), make(chan int64)
	go func() {
		peak := int64(0)
		for tick := time.NewTicker(10 * time.Millisecond); ; {
			peak = max(peak, rssAnon())
			select {
			case <-tick.C:
			case <-done:
				tick.Stop()
				result <- peak
				return
			}
		}
	}()
	return func() int64 {
		close(done)
		return <-result
	}
}
