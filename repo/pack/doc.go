// Package pack encodes and decodes packs, the unit of storage (docs/format.md, section 5), and the sealed, compressed segments
// in them.
//
// The way of new data is Compressor.Compress, Sealer.Seal, Builder.Add, Builder.Finish; the way back is ReadDirectory (or
// OpenDirectory, or a location from the index), Sealer.Open, Decompressor.Decompress. Whoever cuts a chunk out of a segment
// recomputes its id; that is not done here, since ids need the keyring.
//
// What it promises: nothing but a pack's class, suite, epoch, domain, key table and size can be seen without K_map; a
// full pack has exactly the repository's pack size; decoding never panics, and never allocates more than a small multiple of the
// bytes at hand; everything that is not as the format says is a *FormatError, while errors of the store are passed on as they are.
//
// Builders, compressors and decompressors have one owner each; everything else is safe for concurrent use.
package pack
