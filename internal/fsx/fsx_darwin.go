package fsx

import "golang.org/x/sys/unix"

const errCorrupted = unix.EIO

func renameNoReplace(from int, name string, to int, toName string) error {
	return unix.RenameatxNp(from, name, to, toName, unix.RENAME_EXCL)
}
