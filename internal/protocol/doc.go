// Package protocol is a model of how writers, collectors and readers share a repository, small enough to be explored: within bounds, and for a few actors in full, every order in which
// their steps can happen, with actors that stall for ever, die, are revoked and come back. What was explored holds the invariants that
// docs/design.md lists, and, since each weakening of a rule gives an order that does, that the search would have found one.
//
// The model knows three chunks: a node that refers to two leaves. A pack is a set of chunks and its own index file. Appending to the ledger is one
// step, decided against the state at that step, as creating an entry if absent is. Everything else that an actor knows is as old as when it looked.
package protocol
