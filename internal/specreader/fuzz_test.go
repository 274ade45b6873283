package specreader

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parsers are all that read bytes which anybody may have written.
var parsers = []struct {
	name  string
	parse func(r *Repository, b []byte)
}{
	{"slot", func(_ *Repository, b []byte) {
		sum := hash(b)
		parseSlot(append(bytes.Clone(b), sum[:]...))
	}},
	{"keys", func(_ *Repository, b []byte) { (&slot{role: roleAdmin}).readKeys(b) }},
	{"entry", func(_ *Repository, b []byte) { parseEntry(b) }},
	{"genesis", func(_ *Repository, b []byte) { whole(b, readGenesis) }},
	{"body", func(_ *Repository, b []byte) {
		if len(b) > 0 {
			whole(b[1:], (&entry{kind: b[0]}).readBody)
		}
	}},
	{"pack", func(r *Repository, b []byte) {
		r.checkPack(b, &pack{size: uint32(len(b)), hash: hash(b)})
	}},
	{"index", func(r *Repository, b []byte) { r.parseIndex(b) }},
	{"indexed", func(_ *Repository, b []byte) {
		entries := []keyEntry{{kind: classMap, wrapped: string(make([]byte, wrappedSize[classMap]))}}
		whole(b, func(d *decoder) any {
			(&pack{class: classMap, size: 1 << 20}).readIndexed(d, entries)
			return nil
		})
	}},
	{"key entries", func(_ *Repository, b []byte) {
		whole(b, func(d *decoder) any { return list(d, unlimited, readKeyEntry) })
	}},
	{"manifest", func(_ *Repository, b []byte) { whole(b, readManifest) }},
	{"map node", func(_ *Repository, b []byte) {
		n := whole(b, readMapNode)
		check(n.size > 0 && n.size <= maxSize && len(n.spans) <= mostNode, "size %d", n.size)
	}},
	{"directory node", func(_ *Repository, b []byte) {
		n := whole(b, readDirNode)
		check(n.entries <= maxSize, "entries %d", n.entries)
	}},
	{"attributes", func(_ *Repository, b []byte) { whole(b, readXAttrList) }},
	{"number", func(_ *Repository, b []byte) {
		v := whole(b, (*decoder).uv)
		if !bytes.Equal(binary.AppendUvarint(nil, v), b) {
			panic("a second form of a number was read")
		}
	}},
	{"key file", func(_ *Repository, b []byte) { must(KeyFile(string(b))) }},
	{"identity", func(_ *Repository, b []byte) { must(Identity(string(b))) }},
	{"recovery", func(_ *Repository, b []byte) { must(Recovery(string(b))) }},
}

func parserNamed(name string) uint8 {
	for i, p := range parsers {
		if p.name == name {
			return uint8(i)
		}
	}
	panic("no parser " + name)
}

// seeds calls add for what the parsers get to read from the frozen repository.
func seeds(t testing.TB, r *Repository, add func(parser uint8, b []byte)) {
	for name, f := range memory(t) {
		switch strings.SplitN(name, "/", 2)[0] {
		case "keys":
			add(parserNamed("slot"), f.Data[:len(f.Data)-32])
		case "log", "sessions":
			add(parserNamed("entry"), f.Data)
			e := parseEntry(f.Data)
			add(parserNamed("body"), append([]byte{e.kind}, e.clear...))
			if e.kind == typeGenesis {
				add(parserNamed("genesis"), e.clear)
			}
		case "index":
			add(parserNamed("index"), f.Data)
		}
	}
	for class, parser := range map[uint8]string{classMap: "map node", classMeta: "directory node"} {
		for id, l := range r.chunks[class] {
			add(parserNamed(parser), r.chunk(class, chunkRef{id, l.length}))
		}
	}
	for _, c := range wanted(t).Credentials {
		if c.Kind != "password" {
			add(parserNamed(strings.Replace(c.Kind, "keyfile", "key file", 1)), []byte(c.Secret))
		}
	}
	for _, s := range r.ledger.snapshots {
		d := &decoder{b: []byte(s.facts)}
		readPair(d)
		add(parserNamed("manifest"), d.bytes())
	}
}

// FuzzParsers: whatever is read, the parsers succeed or fail in the one way that becomes an error.
func FuzzParsers(f *testing.F) {
	r, err := Open(frozen, Password("frozen"))
	require.NoError(f, err)
	seeds(f, r, func(parser uint8, b []byte) { f.Add(parser, b) })
	for i := range parsers {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), []byte{1, 0, 0})
	}
	f.Fuzz(func(t *testing.T, parser uint8, b []byte) {
		_ = failing(func() { parsers[int(parser)%len(parsers)].parse(r, b) })
	})
}

// TestParsersReadSeeds: what is stored is read; so the fuzzer starts from inputs that get far.
func TestParsersReadSeeds(t *testing.T) {
	r, err := Open(frozen, Password("frozen"))
	require.NoError(t, err)
	read := map[string]int{}
	seeds(t, r, func(parser uint8, b []byte) {
		if failing(func() { parsers[parser].parse(r, b) }) == nil {
			read[parsers[parser].name]++
		}
	})
	for _, name := range []string{"slot", "entry", "genesis", "body", "index", "manifest", "map node", "directory node", "key file", "identity", "recovery"} {
		require.NotZero(t, read[name], name)
	}
}
