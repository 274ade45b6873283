package specreader

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// vector is a line of the document's appendix: words and a result.
type vector struct {
	words  []string
	result string
}

func (v *vector) number(t testing.TB, i int) uint64 {
	n, err := strconv.ParseUint(v.words[i], 10, 64)
	require.NoError(t, err)
	return n
}

// bytes decodes a word: hexadecimal digits, or a text in quotation marks.
func (v *vector) bytes(t testing.TB, i int) []byte { return wordBytes(t, v.words[i]) }

func wordBytes(t testing.TB, word string) []byte {
	if strings.HasPrefix(word, `"`) {
		s, err := strconv.Unquote(word)
		require.NoError(t, err)
		return []byte(s)
	}
	if digits, count, ok := strings.Cut(word, "*"); ok {
		n, err := strconv.Atoi(count)
		require.NoError(t, err)
		return bytes.Repeat(wordBytes(t, digits), n)
	}
	b, err := hex.DecodeString(word)
	require.NoError(t, err)
	return b
}

// vectors reads the appendix of docs/format.md.
func vectors(t testing.TB) []vector {
	doc, err := os.ReadFile("../../docs/format.md")
	require.NoError(t, err)
	_, appendix, ok := strings.Cut(string(doc), "## Appendix: test vectors")
	require.True(t, ok)
	word := regexp.MustCompile(`"[^"]*"|[^ ]+`)
	var all []vector
	for line := range strings.Lines(appendix) {
		left, right, ok := strings.Cut(line, " = ")
		if strings.HasPrefix(line, "    ") && ok {
			all = append(all, vector{word.FindAllString(left, -1), strings.TrimSpace(right)})
		}
	}
	return all
}

// TestVectors checks every line of the appendix.
func TestVectors(t *testing.T) {
	kinds := map[string]int{}
	for _, v := range vectors(t) {
		kinds[v.words[0]]++
		t.Run(strings.Join(v.words[:2], " "), func(t *testing.T) { v.check(t) })
	}
	for _, kind := range []string{"uv", "padme", "hash", "derive", "id", "box", "commitment", "actor", "keyfile", "recovery", "boundary", "s2"} {
		require.NotZero(t, kinds[kind], kind)
	}
}

func (v *vector) check(t *testing.T) {
	same := func(got []byte) { require.Equal(t, v.result, hex.EncodeToString(got)) }
	switch v.words[0] {
	case "uv":
		same(binary.AppendUvarint(nil, v.number(t, 1)))
		require.Equal(t, v.number(t, 1), whole(wordBytes(t, v.result), (*decoder).uv))
	case "padme":
		require.Equal(t, v.result, fmt.Sprint(padme(v.number(t, 1))))
	case "hash":
		h := hash(v.bytes(t, 1))
		same(h[:])
	case "derive":
		same(derive(string(v.bytes(t, 1)), len(v.result)/2, v.bytes(t, 2)))
	case "id":
		class := map[string]uint8{"DATA": classData, "META": classMeta, "MAP": classMap}[v.words[1]]
		k := &keys{tagID: {0: v.bytes(t, 2)}}
		id := k.chunkID(class, v.bytes(t, 3))
		same(id[:])
	case "box":
		box := append(v.bytes(t, 5), wordBytes(t, v.result)...)
		got := openBox(uint8(v.number(t, 1)), v.bytes(t, 2), string(v.bytes(t, 3)), v.bytes(t, 4), box)
		require.Equal(t, v.bytes(t, 6), got)
	case "commitment":
		same(derive("holdfast v1 key commitment", 32, v.bytes(t, 1)))
	case "s2":
		require.Equal(t, wordBytes(t, v.result), unpackS2(v.bytes(t, 1), uint64(len(wordBytes(t, v.result)))))
	case "actor":
		name := actorName(ID(v.bytes(t, 1)))
		same(name[:])
	case "keyfile":
		c, err := KeyFile("holdfast-key-1 " + v.words[1] + "\n")
		require.NoError(t, err)
		same(derive("holdfast v1 key file", 32, c.secret, v.bytes(t, 2)))
	case "recovery":
		c, err := Recovery(v.result)
		require.NoError(t, err)
		require.Equal(t, v.bytes(t, 1), c.secret)
		_, err = Recovery(strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(v.result, "0", "o"), "-", " ")))
		require.NoError(t, err)
	case "boundary":
		h := hash(v.bytes(t, 1))
		require.Equal(t, v.result, fmt.Sprint(h[v.number(t, 2)]&31 == 0))
	default:
		t.Fatalf("unknown kind of vector")
	}
}

func TestNumbersInOtherForms(t *testing.T) {
	for _, b := range [][]byte{{0x80, 0}, {0xff, 0x80, 0}, bytes.Repeat([]byte{0xff}, 10), {0x80}, {}, append(bytes.Repeat([]byte{0xff}, 9), 2)} {
		require.Error(t, failing(func() { whole(b, (*decoder).uv) }), "%x", b)
	}
}

func TestRecipientText(t *testing.T) {
	c, err := Identity("holdfast-identity-1 " + strings.Repeat("07", 32))
	require.NoError(t, err)
	public := c.private.PublicKey().Bytes()
	sum := hash(public)
	text := "holdfast-recipient-1 " + hex.EncodeToString(append(public, sum[:4]...)) + "\n"
	b := readText(text, "holdfast-recipient-1 ", publicSize+4)
	require.Equal(t, public, b[:publicSize])
	require.Equal(t, sum[:4], b[publicSize:])
}
