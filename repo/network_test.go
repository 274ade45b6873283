package repo_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/holdfast-backup/holdfast/backend"
)

// network is a bad way to a store: some requests arrive twice, the second time much later, and some that were given up arrive after all.
type network struct {
	backend.Store
	mu   sync.Mutex
	rng  *rand.Rand
	late []func()
}

var errTimeout = errors.New("no reply")

// Unwrap lets clients see what else the store can do.
func (n *network) Unwrap() backend.Store { return n.Store }

// send makes a request, or leaves it for later.
func (n *network) send(request func() error) error {
	n.deliver()
	n.mu.Lock()
	chance := n.rng.IntN(100)
	if chance < 3 {
		n.late = append(n.late, func() { _ = request() })
	}
	n.mu.Unlock()
	if chance < 1 {
		return errTimeout
	}
	return request()
}

// deliver lets one of the late requests arrive now and then.
func (n *network) deliver() {
	n.mu.Lock()
	var request func()
	if len(n.late) > 0 && n.rng.IntN(10) == 0 {
		i := n.rng.IntN(len(n.late))
		request = n.late[i]
		n.late = append(n.late[:i], n.late[i+1:]...)
	}
	n.mu.Unlock()
	if request != nil {
		request()
	}
}

// settle lets all of them arrive.
func (n *network) settle() {
	for _, request := range n.late {
		request()
	}
	n.late = nil
}

func (n *network) Put(ctx context.Context, key string, src io.ReaderAt, size int64, o *backend.PutOptions) error {
	b := make([]byte, size)
	if _, err := src.ReadAt(b, 0); err != nil && err != io.EOF {
		return n.Store.Put(ctx, key, src, size, o)
	}
	later := context.WithoutCancel(ctx)
	return n.send(func() error { return n.Store.Put(later, key, backend.Bytes(b), size, o) })
}

func (n *network) Delete(ctx context.Context, key string) error {
	later := context.WithoutCancel(ctx)
	return n.send(func() error { return n.Store.Delete(later, key) })
}
