package reftree

import (
	"context"
	"errors"
	"fmt"
)

// ErrTooDeep is returned for a tree whose nodes nest so deeply that walking it would take unbounded memory.
var ErrTooDeep = errors.New("reference tree is too deep")

// maxPending bounds the targets that a walk holds: about 250 MiB, or 30,000 full directory nodes below one another.
const maxPending = 4 << 20

// Walk visits every chunk that the tree below root needs, depth first, in order, starting with root itself. It calls load for
// each node that it enters. Content maps are entered like reference nodes; chunks of class DATA and META are only visited.
//
// A chunk that is referred to several times is visited several times, so whoever walks more than a small tree lets visit return
// false for nodes seen before: a hostile tree of few nodes can hold billions of paths. The result of descend counts for nodes
// only. An error of visit or load ends the walk. Memory is bounded by the entries of one node for each level of depth.
func Walk(ctx context.Context, load func(ctx context.Context, id ID, length uint32) ([]byte, error), root Pair,
	visit func(class Class, id ID, length uint32) (descend bool, err error),
) error {
	return walk(ctx, load, root, visit, maxPending)
}

func walk(ctx context.Context, load func(context.Context, ID, uint32) ([]byte, error), root Pair,
	visit func(Class, ID, uint32) (bool, error), maxPending int,
) error {
	type frame struct {
		list []Target
		next int
	}
	stack := []frame{{list: root.Targets()}}
	pending := len(stack[0].list)
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(top.list) {
			pending -= len(top.list)
			stack = stack[:len(stack)-1]
			continue
		}
		t := &top.list[top.next]
		top.next++
		descend, err := visit(t.Class, t.ID, t.Length)
		if err != nil {
			return err
		}
		if !descend || !t.Node() {
			continue
		}
		list, err := enter(ctx, load, t)
		if err != nil {
			return err
		}
		if pending += len(list); pending > maxPending {
			return ErrTooDeep
		}
		stack = append(stack, frame{list: list})
	}
	return nil
}

func enter(ctx context.Context, load func(context.Context, ID, uint32) ([]byte, error), t *Target) ([]Target, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := load(ctx, t.ID, t.Length)
	if err != nil {
		return nil, fmt.Errorf("reading node %s: %w", t.ID, err)
	}
	list, err := t.References(p)
	if err != nil {
		return nil, fmt.Errorf("reading node %s: %w", t.ID, err)
	}
	return list, nil
}
