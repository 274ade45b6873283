// Package fault wraps a store and makes it fail on purpose, for tests of everything above.
//
// A [Rule] says which operations fail, how and when: before anything was done, after it was done but before the reply,
// while bytes are being read, with bytes flipped or missing, or just late. Chance comes from a seed, so a run with one
// goroutine can be repeated exactly. [Store.KillAfter] imitates a process that dies: after a number of operations all
// others fail and do nothing, which lets a test cut a run at every single call.
package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
)

var (
	// ErrInjected is the error of rules that name no other. It looks like a fault that may pass: it is not permanent.
	ErrInjected = errors.New("injected fault")

	// ErrKilled is the error of all operations after a kill. It is permanent (see [backend.IsPermanent]).
	ErrKilled = backend.Permanent(errors.New("killed"))
)

// Kind says what goes wrong.
type Kind uint8

const (
	// Before fails the operation with nothing done.
	Before Kind = iota
	// After does the operation and then reports that it failed, as when a reply is lost. A Get is as with Before.
	After
	// Break makes a Get return a reader that fails after some of its bytes, and a List end with an error after some
	// of its objects. Other operations are as with Before.
	Break
	// Short makes a Get return a reader that ends early with io.EOF, as if that were all, and leaves objects out of a
	// List. Both break the contract. Other operations are not changed.
	Short
	// Flip changes one bit: of the bytes read by a Get, or of the bytes stored by a Put, with no error. Other
	// operations and empty objects are not changed.
	Flip
	// Delay waits for Rule.Delay, or until the context ends, before the operation. Other rules may act as well.
	Delay
)

// Rule says when what goes wrong. Of the rules that fit an operation the first whose turn it is acts.
type Rule struct {
	// Ops are the operations it fits; none means all.
	Ops []backend.Op
	// Prefix is what the keys it fits begin with (for a List: the prefix asked for).
	Prefix string
	// After is how many fitting operations it lets pass first.
	After int
	// Times is how many operations it acts on; 0 means without end.
	Times int
	// Probability is the chance of acting on each fitting operation, from 0 to 1; 0 means always.
	Probability float64
	// Kind is what goes wrong.
	Kind Kind
	// Err is the error of Before, After and Break; nil means [ErrInjected].
	Err error
	// Delay is how long Delay waits.
	Delay time.Duration
}

func (r *Rule) validate() error {
	if r.After < 0 || r.Times < 0 || r.Delay < 0 || r.Probability < 0 || r.Probability > 1 || r.Kind > Delay {
		return fmt.Errorf("invalid fault rule %+v", *r)
	}
	return nil
}

func (r *Rule) fits(op backend.Op, key string) bool {
	return (len(r.Ops) == 0 || slices.Contains(r.Ops, op)) && strings.HasPrefix(key, r.Prefix)
}

func (r *Rule) err() error {
	if r.Err != nil {
		return r.Err
	}
	return ErrInjected
}

// Options are the options of [New]; nil means all fields zero: nothing goes wrong.
type Options struct {
	// Seed decides all chance.
	Seed uint64
	// Rules are the first rules; see [Store.Add].
	Rules []Rule
	// OnOp, if not nil, is called at the beginning of every operation that is not after a kill, by the goroutine that
	// calls it. It may call methods of the store.
	OnOp func(op backend.Op, key string)
}

// Store is a store that fails on purpose. It implements [backend.Store].
type Store struct {
	inner backend.Store
	onOp  func(backend.Op, string)

	mu     sync.Mutex
	rand   *rand.Rand
	rules  []*activeRule
	ops    int // begun and not refused by a kill
	limit  int // of ops; negative means none
	killed bool
}

type activeRule struct {
	Rule
	seen, acted int
}

// New returns a store that makes inner fail as opts say. Closing it closes inner. Invalid rules are an error.
func New(inner backend.Store, opts *Options) (*Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	s := &Store{inner: inner, onOp: o.OnOp, rand: rand.New(rand.NewPCG(o.Seed, 0)), limit: -1}
	for _, r := range o.Rules {
		if err := s.Add(r); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Unwrap returns the store that is made to fail, for [backend.As]. What is found that way does not fail.
func (s *Store) Unwrap() backend.Store { return s.inner }

// Add adds a rule behind those there are.
func (s *Store) Add(r Rule) error {
	if err := r.validate(); err != nil {
		return err
	}
	r.Ops = slices.Clone(r.Ops)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &activeRule{Rule: r})
	return nil
}

// Clear removes all rules.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// Ops returns how many operations have begun, leaving out those refused by a kill. A List counts when its iteration
// begins.
func (s *Store) Ops() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops
}

// KillAfter lets n more operations through and then kills: every later operation, and reading on from earlier ones,
// fails with [ErrKilled] and does nothing. KillAfter(-1) undoes it.
func (s *Store) KillAfter(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killed = n == 0
	s.limit = -1
	if n >= 0 {
		s.limit = s.ops + n
	}
}

// begin counts an operation and returns the rule that acts on it, if any, after waiting as others say.
func (s *Store) begin(ctx context.Context, op backend.Op, key string) (*Rule, error) {
	if err := s.count(); err != nil {
		return nil, err
	}
	if s.onOp != nil {
		s.onOp(op, key)
	}
	rule, delay := s.choose(op, key)
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
	if rule != nil && (rule.Kind == Before || rule.Kind == Break && op != backend.OpGet && op != backend.OpList) {
		return nil, fmt.Errorf("%s %s: %w", op, key, rule.err())
	}
	return rule, nil
}

func (s *Store) count() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limit >= 0 && s.ops >= s.limit {
		s.killed = true
		return ErrKilled
	}
	s.ops++
	return nil
}

func (s *Store) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed {
		return ErrKilled
	}
	return nil
}

func (s *Store) choose(op backend.Op, key string) (*Rule, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var delay time.Duration
	for _, r := range s.rules {
		if !r.fits(op, key) || !s.turn(r) {
			continue
		}
		if r.Kind != Delay {
			rule := r.Rule
			return &rule, delay
		}
		delay += r.Rule.Delay
	}
	return nil, delay
}

// turn reports whether r acts on an operation that it fits; the caller holds mu.
func (s *Store) turn(r *activeRule) bool {
	r.seen++
	if r.seen <= r.After || r.Times > 0 && r.acted >= r.Times {
		return false
	}
	if r.Probability > 0 && s.rand.Float64() >= r.Probability {
		return false
	}
	r.acted++
	return true
}

// random returns a number in [0, n), or 0 if n is not positive.
func (s *Store) random(n int64) int64 {
	if n <= 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.Int64N(n)
}

// Put implements [backend.Store].
func (s *Store) Put(ctx context.Context, key string, src io.ReaderAt, size int64, opts *backend.PutOptions) error {
	rule, err := s.begin(ctx, backend.OpPut, key)
	if err != nil {
		return err
	}
	if rule != nil && rule.Kind == Flip && size > 0 {
		src = &flippedSource{src: src, bit: s.random(8 * size)}
	}
	return s.end(rule, backend.OpPut, key, s.inner.Put(ctx, key, src, size, opts))
}

// Get implements [backend.Store].
func (s *Store) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	rule, err := s.begin(ctx, backend.OpGet, key)
	if err != nil {
		return nil, err
	}
	if rule != nil && rule.Kind == After {
		return nil, fmt.Errorf("%s %s: %w", backend.OpGet, key, rule.err())
	}
	r, err := s.inner.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return s.reader(ctx, r, rule, key, off, n)
}

// Stat implements [backend.Store].
func (s *Store) Stat(ctx context.Context, key string) (backend.Info, error) {
	rule, err := s.begin(ctx, backend.OpStat, key)
	if err != nil {
		return backend.Info{}, err
	}
	info, err := s.inner.Stat(ctx, key)
	if err = s.end(rule, backend.OpStat, key, err); err != nil {
		return backend.Info{}, err
	}
	return info, nil
}

// List implements [backend.Store].
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Info, error] {
	return func(yield func(backend.Info, error) bool) {
		rule, err := s.begin(ctx, backend.OpList, prefix)
		if err != nil {
			yield(backend.Info{}, err)
			return
		}
		for info, err := range s.inner.List(ctx, prefix) {
			if err == nil {
				err = s.alive()
			}
			if err == nil && rule != nil && rule.Kind == Short && s.random(2) == 0 {
				continue
			}
			if err == nil && rule != nil && rule.Kind == Break && s.random(4) == 0 {
				break // to the error below
			}
			if err != nil {
				info = backend.Info{}
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
		if rule != nil && (rule.Kind == After || rule.Kind == Break) {
			yield(backend.Info{}, fmt.Errorf("%s %s: %w", backend.OpList, prefix, rule.err()))
		}
	}
}

// Delete implements [backend.Store].
func (s *Store) Delete(ctx context.Context, key string) error {
	rule, err := s.begin(ctx, backend.OpDelete, key)
	if err != nil {
		return err
	}
	return s.end(rule, backend.OpDelete, key, s.inner.Delete(ctx, key))
}

// Close closes the inner store; it never fails on purpose.
func (s *Store) Close() error { return s.inner.Close() }

// end returns the result of an operation that was done.
func (s *Store) end(rule *Rule, op backend.Op, key string, err error) error {
	if rule != nil && rule.Kind == After {
		return fmt.Errorf("%s %s: %w", op, key, rule.err())
	}
	return err
}
