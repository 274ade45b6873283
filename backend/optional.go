package backend

import (
	"context"
	"fmt"
	"io"
)

// As returns the first store that implements T among s and the stores it wraps. Wrappers offer the store they wrap by
// a method Unwrap() Store.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = u.Unwrap()
	}
	var zero T
	return zero, false
}

// Locker is implemented by stores that offer advisory locks which end with their process, however it ends.
type Locker interface {
	// TryLock takes the exclusive lock of that name, or fails at once with an error that is [ErrLocked] when anybody
	// has it, in this process or another. Names follow the rules of keys, but name no object and are not listed.
	// Closing the result releases the lock; closing it again returns nil.
	TryLock(ctx context.Context, name string) (io.Closer, error)
}

// Capacity is implemented by stores that know how much room they have.
type Capacity interface {
	// Capacity returns the bytes that can still be stored and the bytes the store can hold in all.
	Capacity(ctx context.Context) (free, total int64, err error)
}

// Primitive says how a store decides which of several writers creates an object, from weakest to strongest.
type Primitive uint8

const (
	// PrimitiveNone: the store cannot be written, or could not be asked.
	PrimitiveNone Primitive = iota
	// PrimitiveSingleWriter: writers take turns behind a lock file. It holds only while all of them do so.
	PrimitiveSingleWriter
	// PrimitiveAtomic: the store decides in one step (link, rename without replacement, If-None-Match).
	PrimitiveAtomic
)

// String returns the primitive's name.
func (p Primitive) String() string {
	switch p {
	case PrimitiveNone:
		return "none"
	case PrimitiveSingleWriter:
		return "single-writer"
	case PrimitiveAtomic:
		return "atomic"
	}
	return fmt.Sprintf("primitive(%d)", uint8(p))
}

// Prober is implemented by stores that can say what [PutOptions].IfAbsent rests on.
type Prober interface {
	// CreateIfAbsent returns the primitive that Put uses, found out by trying where need be.
	CreateIfAbsent() Primitive
}

// Locator is implemented by stores that can say where they are.
type Locator interface {
	// Location returns where the store is, for messages: a path, or a URL without credentials.
	Location() string
}

// Successor is implemented by stores that find the key that follows another one by a single request.
type Successor interface {
	// Next returns the first object in the order of keys whose key begins with prefix, as [Store.List] takes it, and comes after the key after. ok tells
	// whether there is one.
	Next(ctx context.Context, prefix, after string) (info Info, ok bool, err error)
}

// Traffic is implemented by stores behind a network.
type Traffic interface {
	// Traffic returns what has passed since the store was opened.
	Traffic() TrafficCount
}

// TrafficCount says how much went over a network.
type TrafficCount struct {
	// Requests were sent, those included that were repeated.
	Requests int64
	// Sent and Received are bytes, with all that goes around the objects.
	Sent, Received int64
}

// Location returns where s or a store it wraps says it is, or else its type.
func Location(s Store) string {
	if l, ok := As[Locator](s); ok {
		return l.Location()
	}
	return fmt.Sprintf("%T", s)
}
