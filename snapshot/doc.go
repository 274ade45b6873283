// Package snapshot backs up disks, files, trees and streams into a repository, and gives them back: as an [io.ReaderAt], as a
// file system, or through package restore.
//
// A snapshot is a directory tree at one moment. A disk image, a dump, a device and a folder are all entries of it, so
// that one snapshot can hold every disk of a machine with its configuration. Equal contents are stored once, whatever
// their names, hosts and times.
//
// # Promises
//
//   - A snapshot is visible only when everything in it is durable.
//   - What could not be read is recorded as such: the snapshot is marked incomplete, and reading that part is an error. It is never
//     filled in.
//   - Memory does not grow with the size of what is backed up.
package snapshot
