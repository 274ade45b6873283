package backend

import "fmt"

// Op names an operation of a [Store], for wrappers that treat or count operations apart.
type Op uint8

// The operations of a store.
const (
	OpPut Op = iota
	OpGet
	OpStat
	OpList
	OpDelete
	// NumOps is the number of operations.
	NumOps
)

// String returns the operation's name in lower case.
func (o Op) String() string {
	switch o {
	case OpPut:
		return "put"
	case OpGet:
		return "get"
	case OpStat:
		return "stat"
	case OpList:
		return "list"
	case OpDelete:
		return "delete"
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}
