// Package source says where data comes from: disks and images, trees of files, and streams. It knows no repository.
//
// # Disks, devices and big files
//
// An [Image] is bytes at offsets with a size that does not change. [OpenDisk] opens a block device or an image file as
// one, after making sure that nobody is writing to it; [Dir.OpenFile] opens a file of a tree as one. Extents says where
// an image has nothing to read, [ReadFull] reads what can be read and names what cannot, Changed says at the end
// whether the image stayed the same, and [Sniff] tells disks from other data.
//
// # Trees
//
// A [Tree] reads folders and the metadata of what is in them. A [Dir] is an open folder: everything in it is reached
// through its descriptor, so that a folder that somebody swaps for a symlink is not followed, and paths may be longer
// than the system's limit. [Dir.Entries] yields what a [Filter] keeps, sorted by the bytes of the names, in memory of
// about 20 bytes and the name for each. What cannot be read is an [*EntryError]; the walk goes on after it.
//
// # Streams
//
// [NewStream] wraps standard input, [Command] the output of a program. A stream is complete only if it ended with
// io.EOF; a program that failed gives a [*CommandError] in its place.
//
// # Systems
//
// Linux has everything. macOS and FreeBSD have no detection of devices and images in use and no block device
// statistics. Elsewhere folders are reached by path (swapped folders are noticed after the fact), and owners, device
// and inode numbers, links and extended attributes are absent (zero).
//
// # Concurrency
//
// Unless their documentation says otherwise, all types are safe for concurrent use, nothing is printed or logged, and
// no goroutine outlives Close.
package source
