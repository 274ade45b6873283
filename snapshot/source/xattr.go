package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/pkg/xattr"
)

// readXattrs returns the extended attributes of name at loc, sorted by name: raw, so access control lists, capabilities
// and labels are among them. A file system without attributes has none. The error tells which could not be read.
func readXattrs(loc location, name string, follow bool) ([]Xattr, error) {
	if !xattr.XATTR_SUPPORTED {
		return nil, nil
	}
	if noXattrs(loc, name, follow) {
		return nil, nil
	}
	list, get := xattr.LList, xattr.LGet
	if follow {
		list, get = xattr.List, xattr.Get
	}
	path, other := attrPaths(loc, name)
	names, err := list(path)
	if errors.Is(err, fs.ErrNotExist) && path != other && !procMounted() {
		path = other
		names, err = list(path)
	}
	if err != nil {
		return nil, attrError("listing extended attributes", err)
	}
	slices.Sort(names)
	var attrs []Xattr
	var errs []error
	for _, n := range slices.Compact(names) {
		value, err := get(path, n)
		if errors.Is(err, xattr.ENOATTR) {
			continue // removed since
		}
		if err != nil {
			errs = append(errs, attrError(fmt.Sprintf("reading extended attribute %q", n), err))
			continue
		}
		attrs = append(attrs, Xattr{Name: strings.Clone(n), Value: bytes.Clone(value)}) // value has room for 1 KiB
	}
	return attrs, errors.Join(errs...)
}

func procMounted() bool {
	_, err := os.Stat("/proc/self/fd")
	return err == nil
}

// attrError wraps err without the path, which may be one that means nothing to anyone.
func attrError(what string, err error) error {
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	var xe *xattr.Error
	if errors.As(err, &xe) {
		err = xe.Err
	}
	return fmt.Errorf("%s: %w", what, err)
}
