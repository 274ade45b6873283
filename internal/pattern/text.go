package pattern

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"
)

// ErrText is wrapped by the errors for text files in an encoding that is not understood.
var ErrText = errors.New("malformed text")

// MaxText is the largest pattern or path file read, in bytes.
const MaxText = 1 << 30

// ReadText reads a text file that people write: UTF-8, with or without a byte-order mark, or UTF-16 with one. Bytes that
// are not UTF-8 pass unchanged. A text longer than MaxText is an error, so an endless one does not fill the memory.
func ReadText(r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxText+1))
	if err != nil {
		return "", err
	}
	if len(raw) > MaxText {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrText, MaxText)
	}
	switch {
	case bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")):
		return string(raw[3:]), nil
	case bytes.HasPrefix(raw, []byte("\xff\xfe")):
		return decode16(raw[2:], binary.LittleEndian)
	case bytes.HasPrefix(raw, []byte("\xfe\xff")):
		return decode16(raw[2:], binary.BigEndian)
	}
	return string(raw), nil
}

func decode16(raw []byte, order binary.ByteOrder) (string, error) {
	if len(raw)%2 != 0 {
		return "", fmt.Errorf("%w: UTF-16 of an odd number of bytes", ErrText)
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = order.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units)), nil
}

// Lines yields the lines of a text without blanks around them, leaving out empty ones and those that start with "#".
func Lines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}

// Read reads a pattern file: one pattern a line, as Lines finds them, with $NAME and ${NAME} replaced by getenv (nil:
// os.Getenv) and "$$" by a dollar sign. The patterns are for Compile, which judges them; a line whose variables leave
// nothing is dropped.
func Read(r io.Reader, getenv func(string) string) ([]string, error) {
	if getenv == nil {
		getenv = os.Getenv
	}
	text, err := ReadText(r)
	if err != nil {
		return nil, err
	}
	var patterns []string
	for _, line := range Lines(text) {
		line = os.Expand(line, func(name string) string {
			if name == "$" {
				return "$"
			}
			return getenv(name)
		})
		if line != "" {
			patterns = append(patterns, line)
		}
	}
	return patterns, nil
}
