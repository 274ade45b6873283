package chunk_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/holdfast-backup/holdfast/chunk"
)

// A backup of data that has since moved by some bytes finds most chunks again.
func Example() {
	secret := [32]byte{1, 2, 3} // in earnest: from the key of a repository
	c, err := chunk.New(chunk.Gear, chunk.Params{Mean: 4 << 10}, &secret)
	if err != nil {
		log.Fatal(err)
	}
	var table bytes.Buffer
	for i := range 10_000 {
		fmt.Fprintf(&table, "INSERT INTO squares VALUES (%d, %d);\n", i, i*i)
	}
	before := table.Bytes()
	after := append([]byte("-- a dump of today\n"), before...)

	known := map[string]bool{}
	start := 0
	for _, cut := range chunk.AppendCuts(nil, c, before, true) {
		known[string(before[start:cut])] = true
		start = cut
	}
	start = 0
	found, fresh := 0, 0
	for _, cut := range chunk.AppendCuts(nil, c, after, true) {
		if known[string(after[start:cut])] {
			found++
		} else {
			fresh++
		}
		start = cut
	}
	fmt.Println("found", found, "new", fresh)
	// Output: found 107 new 1
}

// A stream is read into a buffer of at least Max bytes; what Next leaves moves to
// the front before the next read.
func ExampleChunker() {
	c, err := chunk.New(chunk.Fixed, chunk.Params{Mean: 4 << 10}, nil)
	if err != nil {
		log.Fatal(err)
	}
	src := bytes.NewReader(make([]byte, 10_000))
	buf := make([]byte, 0, 2*c.Params().Max())
	for final := false; !final || len(buf) > 0; {
		n, err := src.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		final = err != nil
		for n := c.Next(buf, final); n > 0; n = c.Next(buf, final) {
			fmt.Println("chunk of", n)
			buf = buf[:copy(buf, buf[n:])]
		}
	}
	// Output:
	// chunk of 4096
	// chunk of 4096
	// chunk of 1808
}
