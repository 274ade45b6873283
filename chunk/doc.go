// Package chunk says where to cut data into chunks, the unit of deduplication.
// It knows no repository, no file and no key store: it is given bytes and a
// 32-byte secret, and answers with lengths.
//
// # Promises
//
//   - Every cut depends only on the bytes since the previous cut, the [Kind],
//     the [Params] and the secret. No state is kept between calls. So data can be
//     chunked again from any old cut, and one file can be chunked in pieces by
//     several goroutines and stitched where their cuts meet.
//   - Every chunk is at least [Params.Min] and at most [Params.Max] bytes long,
//     except the last one before the end of the data or a hole, which may be
//     shorter than Min.
//   - The cuts of one secret, kind and mean never change: they are part of the
//     repository format, and frozen by the vectors in testdata.
//   - A [Chunker] is immutable, safe for any number of goroutines, and does not
//     allocate while it looks for cuts.
//
// Different kinds, means or secrets give unrelated cuts and do not deduplicate
// against each other.
//
// # Algorithms
//
// This section is the specification. Byte i of a chunk counts from 0, x[a:b] is
// bytes a to b-1, all integers are unsigned 64-bit little endian, sums and
// products are modulo 2^64, divisions round down. M is the mean in bytes, a
// power of two. Min = M/4, Max = 4M. A cut at n ends the chunk after n bytes.
// A chunker tries n upwards from Min and takes the first cut its rule allows;
// n = Max is always a cut; with no cut before it, the end of the data is one.
//
// stream(c) is the output, of any length, of BLAKE3 in derive-key mode with the
// context string c and the 32-byte secret as key material (O'Connor, Aumasson,
// Neves, Wilcox-O'Hearn: BLAKE3, one function, fast everywhere, 2020).
//
// Fixed (4): cut at n = M. No secret is used. Useful where data never moves, and
// as a yardstick.
//
// Aligned (1): M >= 16 KiB. The first 32 bytes of stream("holdfast v1 aligned
// grid") are four integers s, x, a, b; then the lowest bit of a and of b is set.
// Only n that are multiples of 4096 are tried. With
//
//	h = XXH3_64(chunk[n-4096:n], seed s)
//	v = (h xor x) * a
//	v = (v xor (v >> 32)) * b
//
// there is a cut at n when v < (2^64-1) / (3*Min/4096 + 1), or when the last 16
// bytes before n are zero: file systems fill the last block of a file with zeros, so
// chunks begin where files do, and the same file at another place gives the same
// chunks. The second rule needs no secret: it tells no more than where files end, and
// chunk lengths are sealed. XXH3 (Collet) is not
// a keyed pseudo-random function; the secret steps after it keep equal or
// related hashes from showing which blocks cut under a guessed seed. Blocks that
// end before Min are never hashed. A partial last block is never hashed either.
// With p the probability of a cut at each try, a chunk has on average
//
//	m + (1-p)/p * (1 - (1-p)^(15m)) blocks,   m = Min/4096
//
// which p = 1/(3m+1) makes 4m, the mean, less 0.5 to 1 %, on random data. Data must start on a
// multiple of 4096 in its file for cuts to fall on the grid of the file.
//
// Gear (2): the FastCDC family (Xia et al.: FastCDC, USENIX ATC 2016; The design
// of fast content-defined chunking, IEEE TPDS 31(9), 2020), with a minimum skip
// and normalised chunking. The first 2048 bytes of stream("holdfast v1 gear
// table") are 256 integers G[0] to G[255]. The hash at n covers the 64 bytes
// before n:
//
//	h(n) = sum for j = 0 to 63 of G[chunk[n-1-j]] << j
//
// which rolls as h(n+1) = 2 h(n) + G[chunk[n]]. So hashing starts at Min-64: the
// bytes before that never matter. With M = 2^k there is a cut at n when the top
// k+2 bits of h(n) are zero and n < N, or the top k-2 bits are zero and n >= N,
// N = Min + 37M/64. With r = exp(-37/256), the chance to reach N, the mean is
// Min + 4M(1-r) + rM/4 = 1.005 M.
//
// Rabin (3): Rabin fingerprints (Rabin: Fingerprinting by random polynomials,
// TR-15-81, Harvard, 1981; Muthitacharoen et al.: LBFS, SOSP 2001), computed by
// github.com/restic/chunker. The polynomial P over GF(2) is the first
// irreducible one among the successive integers of stream("holdfast v1 rabin
// polynomial"), each taken modulo 2^54 with bits 53 and 0 set. The 64 bytes
// before n, read as one polynomial whose highest coefficients are those of the
// oldest byte's highest bit, leave the remainder f(n) modulo P. With M = 2^k
// there is a cut at n when the low k+1 bits of f(n) are zero and n < N, or the
// low k-1 bits are zero and n >= N, N = Min + 3M/8: two masks as in gear, which
// keep the mean at 1.007 M without a second minimum.
//
// # Constant data
//
// The rolling hash of a run of equal bytes is constant, so a run either never
// cuts (chunks of Max) or cuts at each chance: chunks of Min when it passes both
// masks, of N when it passes only the loose one. Rabin always cuts runs of zero bytes at
// Min; for other values the secret decides, mostly for Max. Aligned behaves so
// for runs of equal 4096-byte blocks, and cuts at Min when they end with zeros. In all cases the chunks are equal to each
// other and deduplicate. Insertions into such runs may resynchronise only where
// the run ends.
package chunk
