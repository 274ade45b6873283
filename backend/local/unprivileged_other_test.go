//go:build unix && !linux

package local_test

import (
	"os"
	"testing"
)

// unprivileged calls f with the file permissions of a user who is not root.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("needs a user who is not root: file permissions do not bind root")
	}
	f()
}
