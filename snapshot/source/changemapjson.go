package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"
)

// ErrChangeMap is wrapped by the errors about a change map that makes no sense.
var ErrChangeMap = errors.New("not a change map")

// The kinds of maps that ParseChangeMap knows.
const (
	KindDirtyBitmap = "nbd dirty bitmap" // nbdinfo --map=qemu:dirty-bitmap:NAME --json
	KindAllocation  = "nbd allocation"   // nbdinfo --map --json: nothing in it is unchanged
	KindLayers      = "qemu layers"      // qemu-img map --output=json
)

// mapEntry has the members of the entries of all forms.
type mapEntry struct {
	Start, Offset, Length, Depth, Type *int64
	Description                        *string
	Zero, Data                         *bool
}

// ParseChangeMap reads a change map as nbdinfo and qemu-img print them: an array of extents. They mean, whatever else they say:
//
//	nbdinfo --map=qemu:dirty-bitmap:NAME --json    {"offset", "length", "type", "description"}
//	    type 0, "clean"                            unchanged
//	    type 1, "dirty"                            changed
//	nbdinfo --map --json                           the same members
//	    type 0, "data" and type 1, "hole"          changed
//	    type 2, "zero" and type 3, "hole,zero"     a hole
//	qemu-img map --output=json                     {"start", "length", "depth", "zero", "data"}
//	    depth 0, zero                              a hole
//	    depth 0, not zero                          changed
//	    depth 1 or more                            unchanged: from the backing file, which must be what the older snapshot is of
//
// All extents are of one form; any other description, number or kind is an error, since what is taken for unchanged by
// mistake would be lost. Errors wrap [ErrChangeMap], or are those of reading. Whether the map fits an image is for
// [ChangeMap.Fit] to say.
func ParseChangeMap(r io.Reader) (*ChangeMap, error) {
	h := blake3.New()
	limited := &io.LimitedReader{R: io.TeeReader(r, h), N: MaxChangeMap + 1}
	m := &ChangeMap{}
	err := m.parse(json.NewDecoder(limited))
	if err == nil {
		_, err = io.Copy(io.Discard, limited) // the decoder may have left white space
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrChangeMap, MaxChangeMap)
	}
	if err != nil {
		return nil, err
	}
	h.Sum(m.hash[:0])
	return m, nil
}

func (m *ChangeMap) parse(d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return badMap(err, "it is no array of extents")
	}
	for i := 0; d.More(); i++ {
		var e mapEntry
		if err := d.Decode(&e); err != nil {
			return badMap(err, fmt.Sprintf("extent %d is none", i))
		}
		kind, x, err := e.extent()
		if err == nil && m.kind != "" && kind != m.kind {
			err = fmt.Errorf("it is one of a map of %s, those before it of %s", kind, m.kind)
		}
		if err == nil {
			m.kind = kind
			err = m.add(x)
		}
		if err != nil {
			return fmt.Errorf("%w: extent %d: %w", ErrChangeMap, i, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return badMap(err, "it ends too early")
	}
	if _, err := d.Token(); err != io.EOF {
		return badMap(nil, "something follows it")
	}
	return nil
}

// badMap makes an error of one of the decoder, which may be nil, unless that is one of reading.
func badMap(err error, what string) error {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	_, kind := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s", ErrChangeMap, what)
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return fmt.Errorf("%w: it ends too early", ErrChangeMap)
	case syntax || kind:
		return fmt.Errorf("%w: %s: %w", ErrChangeMap, what, err)
	}
	return err
}

// extent returns what an entry says, and the kind of map that it is of.
func (e *mapEntry) extent() (string, Extent, error) {
	var missing error = errors.New("offset, length, type and description are needed, or start, length, depth, zero and data")
	switch {
	case e.Length == nil:
	case e.Start != nil && e.Depth != nil && e.Zero != nil && e.Data != nil:
		x := Extent{Off: *e.Start, Len: *e.Length, Kind: Data}
		switch {
		case *e.Depth < 0:
			return "", x, fmt.Errorf("depth %d", *e.Depth)
		case *e.Depth > 0:
			x.Kind = Unchanged
		case *e.Zero:
			x.Kind = Hole
		}
		return KindLayers, x, nil
	case e.Start == nil && e.Offset != nil && e.Type != nil && e.Description != nil:
		x := Extent{Off: *e.Offset, Len: *e.Length}
		for _, k := range nbdKinds {
			if k.number == *e.Type && k.description == *e.Description {
				x.Kind = k.kind
				return k.of, x, nil
			}
		}
		return "", x, fmt.Errorf("type %d with the description %.40q is none that is known", *e.Type, *e.Description)
	}
	return "", Extent{}, missing
}

// nbdKinds are the types of extents that nbdinfo prints. Type 1 alone may be a dirty block or an unallocated one, which
// need not read as zeros.
var nbdKinds = [...]struct {
	number      int64
	description string
	of          string
	kind        Kind
}{
	{0, "clean", KindDirtyBitmap, Unchanged},
	{1, "dirty", KindDirtyBitmap, Data},
	{0, "data", KindAllocation, Data},
	{1, "hole", KindAllocation, Data},
	{2, "zero", KindAllocation, Hole},
	{3, "hole,zero", KindAllocation, Hole},
}
