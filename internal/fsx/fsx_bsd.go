//go:build freebsd || netbsd || openbsd || dragonfly

package fsx

import "golang.org/x/sys/unix"

const errCorrupted = unix.EIO

func renameNoReplace(int, string, int, string) error { return unix.ENOTSUP }
