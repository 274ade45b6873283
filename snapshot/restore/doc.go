// Package restore gets data back out of a repository: to a file, a device, anything that can be written at offsets, a stream, or a
// folder with all its metadata.
//
// [Image] fills one target, [ImageFile] the file or device at a path, [Dump] a stream, [Tree] and [Node] a folder.
//
// # How
//
// A restore walks packs, not files. Some 64 Ki places of chunks at a time, of one file or of many, are sorted by where the chunks are
// stored; each segment of a pack is then fetched and decoded once, every chunk in it is hashed again, and its bytes are written wherever they
// belong, by several workers at once. Where a target is sparse, every aligned 4 KiB of zeros stays a hole. In place, a target is read first,
// and only chunks that differ are fetched and written; so an interrupted restore, run again in place, does what is missing.
//
// # Promises
//
//   - Nothing is written that does not have the hash it was stored under.
//   - What cannot be read back does not stop the rest. It is reported by path and range, and the error is an [*IncompleteError].
//   - A tree is restored below its target and nowhere else, whatever the names in the snapshot, and whatever symlinks are in the target
//     or come from the snapshot: none is ever followed.
//   - With [Options].Sync what was written is on the disk when a restore returns. Block devices are always flushed.
//   - Memory is bounded, whatever the size of the data: about 30 MiB, and 3 segments (3 MiB) for each worker.
//
// A new file has its final name from the beginning, and only gets its owner, permissions and times when it is complete.
package restore
