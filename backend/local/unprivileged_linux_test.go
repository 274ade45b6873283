package local_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unprivileged calls f with the file permissions of a user who owns nothing here: for root, those of nobody, taken on by
// one thread that ends with the call.
func unprivileged(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	const nobody = 65534
	done := make(chan bool)
	go func() {
		finished := false
		defer func() { done <- finished }()
		runtime.LockOSThread() // and never unlock
		_, _ = unix.SetfsuidRetUid(nobody)
		if uid, _ := unix.SetfsuidRetUid(-1); uid != nobody {
			t.Errorf("the thread still has the permissions of user %d", uid)
			return
		}
		f()
		finished = true
	}()
	require.True(t, <-done)
}
