// Package crypto holds everything secret about a repository: chunk ids, sealed boxes, session keys, signatures, keyrings and the
// slots that keep them (docs/format.md, sections 2 to 4).
//
// A [Keyring] holds the keys of one role and can do exactly what that role may: a writer names and seals chunks but cannot open
// what was sealed before, a reader opens everything, a collector sees ids and lengths only. A [Slot] is a keyring sealed for one
// [Credential]. Whether an actor may write something is decided by the ledger, not here.
//
// The package does no I/O besides reading random bytes and the clock (once, when a slot is made), starts no goroutines that
// outlive a call, and never panics on data, whatever it is given to decode or open. Types that hold secrets print as a placeholder
// under every fmt verb and slog, and refuse to be marshalled as text or JSON.
package crypto
