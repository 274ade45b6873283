// Package ledger is the format and the rules of a repository's ledger: a chain of signed, numbered entries that says who may
// do what, which sessions are open, which index files are live and which snapshots exist. It stores nothing; callers move
// the bytes (docs/format.md, section 7, has them).
//
// New makes an entry, Decode takes one apart, and a State replays them from GENESIS. Three things can happen to an entry:
//
//   - It is valid, and changes the state.
//   - It is void: its signature is good, but its actor may not write it or it does not fit the state. It stays in the chain and
//     changes nothing. State.Void lists it.
//   - It is refused with an error: *CorruptError for a bad form, number, hash or signature, or an actor that was never admitted;
//     *UnknownTypeError for a type that this version does not know, whose effect therefore cannot be guessed. The state stays
//     as it was.
//
// Which of the three depends only on bytes that anyone can read, so an auditor without a secret and the holder of every key
// replay to the same state, but for the sealed parts (facts, tags, labels), which stay empty without the key.
//
// An entry is void
//
//   - when its actor was removed, or has a role that may not write this type (all types);
//   - when its suite is not the repository's, its epoch is neither 0 nor one that the ledger announced, its clear part does not
//     decode, or it has a sealed part where its type has none, or none where it has one;
//   - GENESIS: always, after entry 0. PROGRESS: always; it belongs beside the ledger;
//   - OPEN: when the session was named by an OPEN before, it is for writing and its actor a collector, or for something else and its actor a
//     writer, or one it adopts is not open or is another actor's, or not both are for writing;
//   - COMMIT: when the session is not open, not for writing or another actor's, when an index file lies in the folder of a session that is
//     neither this one nor adopted by it (directly or through others), or when the snapshot was committed before;
//   - CLOSE: when the session is not open or is another actor's;
//   - REVOKE: when the session is not open;
//   - FORGET, PROTECT: when any of its snapshots is unknown, forgotten or protected; UNPROTECT: when any is unknown, forgotten or not protected;
//   - TAGS: when the snapshot is unknown or forgotten;
//   - CONDEMN: when the session is not open, for writing or another actor's, a retired index file is not live, an added one is live or
//     condemned, or a CONDEMN or DELETE stands at Marked or after it;
//   - DELETE: when the session is not open, for writing or another actor's, the CONDEMN is not there or was ended before, a session
//     for writing that was opened before it is open, an added file is live or condemned, or a COMMIT, HOLD, UNFORGET, CONDEMN or
//     DELETE stands at Marked or after it;
//   - SWEEP: when the session is not open, for writing or another actor's, when it announces packs and a session for repairing is open, or when a SWEEP that it
//     ends is not there, was ended before or is of another session that is open;
//   - HOLD: when the session is not open or is another actor's, or a snapshot is unknown or forgotten;
//   - UNFORGET: when a snapshot is unknown or not forgotten, or a DELETE came after its FORGET;
//   - CHECKPOINT: when the state is another than the one that it names;
//   - KEY admit: when the actor was admitted before, even if removed since. KEY remove: when it is not admitted, its role or slot
//     is another, or it is the last admin.
//
// FEATURES adds to the sets and never takes away, so a reader of the whole chain cannot miss a feature that was needed in its
// middle. Removing an actor ends its open sessions. As every session commits at most once, and is adopted at most once,
// no index file can be listed by two valid COMMITs.
//
// A chain that was cut off at its end is a shorter valid chain: nothing in it can tell. Only the caller can, by finding the head
// (section 7.4) and by comparing State.Head with the newest number and hash that it remembers.
package ledger
