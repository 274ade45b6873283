// Package backend is the contract between Holdfast and whatever keeps its objects: a folder, an object store, memory.
//
// A [Store] maps keys to byte strings and promises four things that everything above relies on:
//
//   - An object is whole or absent. Nobody ever sees part of one, whatever fails, is cancelled or loses power.
//   - When Put returns nil the object is durable, and its bytes were durable before its name could be seen.
//   - With PutOptions.IfAbsent, of any number of writers of one key, in any processes, exactly one succeeds.
//   - Get returns the bytes that were asked for or an error, never fewer bytes with no error.
//
// Drivers live in folders below this one: local, mem. So do the wrappers fault, retry and meter, which add one behaviour
// each and are stores themselves. Package backendtest holds the suite that every driver and wrapper passes; what it
// checks is the meaning of this contract.
//
// Drivers hold no credentials of their own, no caches, no hashes and no retries. What only some stores can do is an
// optional interface with one method, found through any number of wrappers by [As].
package backend

import (
	"context"
	"io"
	"iter"
)

// Info describes a stored object.
type Info struct {
	// Key is the object's key.
	Key string
	// Size is the object's length in bytes.
	Size int64
}

// PutOptions are the options of [Store.Put]; nil means all fields zero.
type PutOptions struct {
	// IfAbsent makes Put fail with an error that is fs.ErrExist when the key already has an object. Of any number of
	// concurrent Puts of one key with IfAbsent exactly one succeeds.
	IfAbsent bool
}

// Store keeps objects under keys (see [CheckKey]). All methods are safe for concurrent use, also by several processes
// that opened the same place. After Close every method but Close fails with an error that is fs.ErrClosed.
//
// No key may be another key followed by "/" and more: stores made of folders cannot hold both, and a Put that would
// need it may fail with [ErrConflict]. Reading either kind of key that is not there reports it as missing.
type Store interface {
	// Put stores the first size bytes of src under key. It returns nil only when the object is durable. Without
	// IfAbsent an object already there is replaced in one step: others see the old or the new one. src may be read
	// more than once and in any order; it is not used after Put returns. A src that fails or ends early is reported
	// as a [*SourceError], and nothing is stored.
	//
	// A Put that ends with an error has stored nothing, or (when only the reply was lost, or the last flush failed)
	// the whole object. A Put whose context ends before the object becomes visible stores nothing.
	Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *PutOptions) error

	// Get returns a reader of exactly the n bytes at offset off, or of all bytes from off to the end when n < 0. A
	// range that reaches beyond the end of the object makes Get fail with a [*RangeError]; off equal to the size with
	// n <= 0 is an empty range. A missing object is fs.ErrNotExist.
	//
	// A reader that cannot deliver all its bytes ends with an error other than io.EOF (io.ErrUnexpectedEOF when the
	// object was cut short meanwhile). Reading after ctx has ended fails. A reader is used by one goroutine at a time
	// and must be closed; it may implement [Sized].
	Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)

	// Stat describes the object of key. A missing object is fs.ErrNotExist.
	Stat(ctx context.Context, key string) (Info, error)

	// List yields all objects whose keys begin with prefix, in ascending byte order of their keys. The prefix is
	// empty or a key followed by "/" (see [CheckPrefix]). An error is yielded with a zero Info and ends the listing.
	// Objects stored or deleted meanwhile may or may not appear; all others appear exactly once.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]

	// Delete removes the object of key. A missing object is fs.ErrNotExist. When Delete returns the object can no
	// longer be seen, but a loss of power soon after may bring it back, whole.
	Delete(ctx context.Context, key string) error

	// Close releases what the store holds. It is called when no other call is running and all readers are closed.
	// Closing again returns nil.
	Close() error
}

// Sized is implemented by readers returned from [Store.Get] whose driver knows how many bytes are left to read.
type Sized interface {
	// Size returns the number of bytes not yet read.
	Size() int64
}
