// Package costs holds what backups, restores and checks cost, in everything that does not depend on how fast a machine is: allocations, bytes
// read, written and stored, objects, and requests to the store. It has only tests. Times are reported and never judged; for those, see
// bench/compare and `make bench-guard`.
package costs
