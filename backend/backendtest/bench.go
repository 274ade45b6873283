package backendtest

import (
	"fmt"
	"testing"

	"github.com/holdfast-backup/holdfast/backend"
)

// Benchmark measures storing, reading and listing with the stores made by open, which are new and empty and which
// Benchmark closes.
func Benchmark(b *testing.B, open func(b *testing.B) backend.Store) {
	for _, size := range []int{4 << 10, 32 << 20} {
		b.Run(fmt.Sprintf("Put/%dKiB", size>>10), func(b *testing.B) { benchPut(b, start(b, open), size) })
	}
	for _, size := range []int{4 << 10, 1 << 20, 32 << 20} {
		b.Run(fmt.Sprintf("Get/%dKiB", size>>10), func(b *testing.B) { benchGet(b, start(b, open), size) })
	}
	b.Run("Stat", func(b *testing.B) { benchStat(b, start(b, open)) })
	b.Run("List/1000", func(b *testing.B) { benchList(b, start(b, open)) })
}

func start(b *testing.B, open func(b *testing.B) backend.Store) backend.Store {
	s := open(b)
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

func benchPut(b *testing.B, s backend.Store, size int) {
	p := data(size, 1)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key := fmt.Sprintf("packs/session/%d", i)
		if err := backend.PutBytes(b.Context(), s, key, p, ifAbsent); err != nil {
			b.Fatal(err)
		}
		if i >= 8 { // bounds the room it takes
			if err := s.Delete(b.Context(), fmt.Sprintf("packs/session/%d", i-8)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func benchGet(b *testing.B, s backend.Store, size int) {
	const object = 32 << 20
	if err := backend.PutBytes(b.Context(), s, "packs/session/pack", data(object, 1), nil); err != nil {
		b.Fatal(err)
	}
	p := make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		off := i % (object / size) * size
		if err := backend.ReadFull(b.Context(), s, "packs/session/pack", int64(off), p); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStat(b *testing.B, s backend.Store) {
	if err := backend.PutBytes(b.Context(), s, "packs/session/pack", nil, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Stat(b.Context(), "packs/session/pack"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchList(b *testing.B, s backend.Store) {
	for i := range 1000 {
		if err := backend.PutBytes(b.Context(), s, fmt.Sprintf("packs/%d/%d", i%10, i), nil, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for _, err := range s.List(b.Context(), "") {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 1000 {
			b.Fatalf("listed %d objects", n)
		}
	}
}
