// Package repo is a repository: an encrypted, deduplicating store of chunks on a [backend.Store], written by sessions that
// a signed ledger orders, and readable as long as one of its key slots can be opened.
//
// A service opens one, starts a [Session], saves chunks through [Writer]s (one for each goroutine) and commits a root; it reads chunks
// back by id. Package repo never knows what a file is: snapshots, content maps and directories belong to package snapshot.
//
// # Promises
//
//   - Nothing is named before it is durable. A session's chunks can be seen by others only after its COMMIT.
//   - Every write error ends the session; [Session.Commit] then fails, and nothing was committed.
//   - Every chunk is hashed again when it is read. Data that is not what was stored gives a [*CorruptError] that names the
//     object, never other bytes.
//   - Any number of sessions, in any number of processes, may write at once.
//
// The bytes are specified in docs/format.md.
package repo
