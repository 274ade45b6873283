// Package index knows where chunks are: the index files of the repository (docs/format.md, section 6), and the local structures
// that answer for each chunk whether it is stored, and where, without reading either.
//
// Index files are encoded by Encode and read by Decode; Inventory names their packs without any secret.
//
// A Set answers lookups. It consists of runs, immutable sorted files in a cache folder, mapped into memory, and of what the running
// session added. A run has 26 bytes for each chunk, sorted by id, with 3.3 bytes more for its segment (of 16 chunks) and 1.2 for a filter that
// answers most lookups of unknown ids without touching the rest; private memory is a copy of the filters that were used. Runs are
// made from index files, merged as they become many, and rebuilt from the repository whenever one is lost or damaged.
//
// Runs keep the first 16 of the 32 bytes of an id. Ids are keyed hashes, so among 10^10 chunks two share these with a probability of 10^-19; a
// reader that met such a pair would find both, since it is given every candidate and recomputes ids; a writer would take a new chunk for
// the old one.
//
// A cache is not trusted. Every part of a run is checked by a keyed hash before it is used: small parts when the run is opened,
// blocks of 4 KiB when they are first touched. A damaged run is reported as a *RunError, and never makes a lookup panic or find what is not
// there. What no check can help against: a mapped file that another program shortens, or a disk that fails, ends the process with
// SIGBUS when the lost part is touched. Sizes are checked when a run is opened, and this package never changes a file that has its
// final name.
package index
