package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
)

func TestIsPermanent(t *testing.T) {
	transient := errors.New("connection reset")
	for _, err := range []error{
		fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, fs.ErrClosed, syscall.ENOSPC, syscall.EROFS, syscall.EACCES,
		backend.ErrLocked, backend.ErrConflict, backend.Permanent(transient), errors.ErrUnsupported,
		&backend.SourceError{Err: transient}, &backend.TooLargeError{}, &backend.RangeError{Key: "a"}, &backend.KeyError{},
	} {
		require.True(t, backend.IsPermanent(err), "%v", err)
		require.True(t, backend.IsPermanent(fmt.Errorf("storing: %w", err)), "%v", err)
	}
	for _, err := range []error{nil, transient, io.ErrUnexpectedEOF, syscall.EIO, context.DeadlineExceeded} {
		require.False(t, backend.IsPermanent(err), "%v", err)
	}
}

func TestPermanentKeepsTheError(t *testing.T) {
	cause := errors.New("quota exceeded")
	err := backend.Permanent(cause)
	require.ErrorIs(t, err, cause)
	require.Equal(t, cause.Error(), err.Error())
	require.NoError(t, backend.Permanent(nil))
}

func TestCheckRange(t *testing.T) {
	n, err := backend.CheckRange("a", 3, -1, 10)
	require.NoError(t, err)
	require.EqualValues(t, 7, n)
	for _, r := range [][2]int64{{-1, 1}, {11, -1}, {11, 0}, {10, 1}, {0, 11}, {1, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}} {
		_, err := backend.CheckRange("a", r[0], r[1], 10)
		var re *backend.RangeError
		require.ErrorAs(t, err, &re)
		require.Equal(t, backend.RangeError{Key: "a", Off: r[0], N: r[1], Size: 10}, *re)
		require.Equal(t, r[0] < 0, errors.Is(err, fs.ErrInvalid))
		require.Equal(t, r[0] >= 0, errors.Is(err, io.ErrUnexpectedEOF))
	}
}

func TestMessages(t *testing.T) {
	for want, err := range map[string]error{
		"object a: 5 bytes at offset 8 are not within its 10 bytes": &backend.RangeError{Key: "a", Off: 8, N: 5, Size: 10},
		"object a: offset 11 is outside its 10 bytes":               &backend.RangeError{Key: "a", Off: 11, N: -1, Size: 10},
		"object a: offset 11 is outside its end":                    &backend.RangeError{Key: "a", Off: 11, N: -1, Size: -1},
		"object a has 11 bytes, more than the 10 allowed":           &backend.TooLargeError{Key: "a", Size: 11, Max: 10},
		"object a has more than the 10 bytes allowed":               &backend.TooLargeError{Key: "a", Size: -1, Max: 10},
		"reading the data to store at offset 7: EOF":                &backend.SourceError{Off: 7, Err: io.EOF},
	} {
		require.EqualError(t, err, want)
	}
	require.Equal(t, "put get stat list delete op(5)", fmt.Sprint(
		backend.OpPut, " ", backend.OpGet, " ", backend.OpStat, " ", backend.OpList, " ", backend.OpDelete, " ", backend.NumOps))
	require.Equal(t, "none single-writer atomic primitive(9)", fmt.Sprint(
		backend.PrimitiveNone, " ", backend.PrimitiveSingleWriter, " ", backend.PrimitiveAtomic, " ", backend.Primitive(9)))
}
