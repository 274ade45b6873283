package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/internal/wire"
	"github.com/holdfast-backup/holdfast/repo/pack"
)

// word decodes a word of the appendix.
func word(t *testing.T, w string) []byte {
	if s, err := strconv.Unquote(w); err == nil {
		return []byte(s)
	}
	digits, count, _ := strings.Cut(w, "*")
	b, err := hex.DecodeString(digits)
	require.NoError(t, err)
	if n, err := strconv.Atoi(count); err == nil {
		return bytes.Repeat(b, n)
	}
	return b
}

// TestVectors: programs agree with the appendix of the document, wherever one can ask them.
func TestVectors(t *testing.T) {
	doc, err := os.ReadFile("../../docs/format.md")
	require.NoError(t, err)
	_, appendix, _ := strings.Cut(string(doc), "## Appendix: test vectors")
	words := regexp.MustCompile(`"[^"]*"|[^ ]+`)
	kinds := map[string]int{}
	for line := range strings.Lines(appendix) {
		left, want, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok || !strings.HasPrefix(line, "    ") {
			continue
		}
		w := words.FindAllString(left, -1)
		if got, ok := answer(t, w, want); ok {
			kinds[w[0]]++
			require.Equal(t, want, got, line)
		}
	}
	for _, kind := range []string{"uv", "padme", "hash", "derive", "box", "commitment", "actor", "recovery", "s2"} {
		require.NotZero(t, kinds[kind], kind)
	}
}

// answer says what programs make of a line.
func answer(t *testing.T, w []string, want string) (string, bool) {
	number, _ := strconv.ParseUint(w[1], 10, 64)
	switch w[0] {
	case "uv":
		return hex.EncodeToString(wire.AppendUvarint(nil, number)), true
	case "padme":
		return fmt.Sprint(pack.Padme(number)), true
	case "hash":
		return crypto.Hash(word(t, w[1])).String(), true
	case "derive":
		k := crypto.Derive(string(word(t, w[1])), word(t, w[2]))
		return hex.EncodeToString(k[:]), true
	case "commitment":
		k := crypto.Derive("holdfast v1 key commitment", word(t, w[1]))
		return hex.EncodeToString(k[:]), true
	case "actor":
		return crypto.Actor{Public: [32]byte(word(t, w[1]))}.ID().String(), true
	case "box":
		k := crypto.Key(word(t, w[2]))
		plain, err := crypto.OpenBox(nil, crypto.Suite(number), &k, string(word(t, w[3])), append(word(t, w[5]), word(t, want)...), word(t, w[4]))
		require.NoError(t, err)
		require.Equal(t, word(t, w[6]), plain)
		return want, true
	case "s2":
		d, err := pack.NewDecompressor()
		require.NoError(t, err)
		plain, err := d.Decompress(nil, pack.S2, uint32(len(word(t, want))), word(t, w[1]))
		require.NoError(t, err)
		return strconv.Quote(string(plain)), true
	case "recovery":
		_, err := crypto.ParseRecovery(want)
		require.NoError(t, err)
		return want, true
	}
	return "", false
}
