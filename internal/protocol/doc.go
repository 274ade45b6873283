// Package protocol is a model of how writers, collectors and readers share a repository. It goes through the orders in which their steps can happen,
// with actors that stall for ever, die, are revoked and come back: within bounds, and in full for a few actors only. In what was explored no
// order breaks the invariants that docs/design.md lists. Each weakening of a rule gives an order that does, so the search would have found one.
//
// The model knows three chunks: a node that refers to two leaves. A pack is a set of chunks and its own index file. Appending to the ledger is one
// step, decided against the state at that step, as creating an entry if absent is. Everything else that an actor knows is as old as when it looked.
package protocol
