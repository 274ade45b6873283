// Package arch holds the tests that keep the shape of the project: who may import whom, what must be documented, and which
// libraries must not reach the core. It has no code of its own.
package arch
