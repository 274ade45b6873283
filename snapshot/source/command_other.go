//go:build !unix

package source

import "os/exec"

// ownGroup has no process groups here: only the command itself is killed.
func ownGroup(*exec.Cmd) {}
