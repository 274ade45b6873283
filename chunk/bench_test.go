package chunk

import "testing"

func BenchmarkNext(b *testing.B) {
	const size = 16 << 20
	inputs := []struct {
		name string
		data []byte
	}{
		{"random", randomBytes(1, size)},
		{"text", textBytes(1, size)},
	}
	for _, kind := range allKinds {
		for _, in := range inputs {
			b.Run(kind.String()+"/"+in.name, func(b *testing.B) {
				benchCuts(b, mustNew(b, kind, DefaultMean, testSecret()), in.data)
			})
		}
	}
}

func BenchmarkMean(b *testing.B) {
	data := randomBytes(1, 16<<20)
	for _, kind := range contentDefined {
		for mean := MinAlignedMean; mean <= MaxMean; mean *= 4 {
			b.Run(kind.String()+"/"+meanName(mean), func(b *testing.B) {
				benchCuts(b, mustNew(b, kind, mean, testSecret()), data)
			})
		}
	}
}

func benchCuts(b *testing.B, c Chunker, data []byte) {
	cuts := AppendCuts(nil, c, data, true)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		cuts = AppendCuts(cuts[:0], c, data, true)
	}
	b.ReportMetric(float64(len(data))/float64(len(cuts)), "mean-bytes")
}
