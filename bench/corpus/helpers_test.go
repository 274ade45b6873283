//go:build linux

package main

import (
	"encoding/hex"
	"strconv"
)

func hexOf(p []byte) string { return hex.EncodeToString(p) }

func itoa(n int) string { return strconv.Itoa(n) }

// atoi returns -1 for what is no number.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}
