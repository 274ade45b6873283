package zstdenc

// isNoise reports whether bytes are as good as evenly distributed, as in data that is compressed or encrypted already, by Pearson's test on a sample. Noise would have to be eight standard
// deviations off to fail; where coding saves 3 % the statistic is three times the bound.
func isNoise(b []byte) bool {
	const (
		sample  = 4 << 10
		window  = 512
		even    = sample / 256
		freedom = 255
		bound   = freedom + 8*23 // of which 23 is the standard deviation
	)
	if len(b) < sample {
		return false
	}
	var counts [256]int32
	for i := range sample / window {
		at := i * (len(b) - window) / (sample/window - 1)
		for _, c := range b[at : at+window] {
			counts[c]++
		}
	}
	statistic := int32(0) // times even
	for _, n := range counts {
		statistic += (n - even) * (n - even)
	}
	return statistic < bound*even
}
