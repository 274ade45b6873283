package crypto

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecoveryRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	keys := []Key{{}, {0: 0xff, 31: 0xff}, {31: 1}, {0: 0x80}}
	for range 500 {
		var k Key
		for i := range k {
			k[i] = byte(r.Uint32())
		}
		keys = append(keys, k)
	}
	for _, k := range keys {
		text := formatRecovery(&k)
		got, err := parseRecovery(text)
		require.NoError(t, err)
		require.True(t, k == *got)
		require.Equal(t, text, formatRecovery(got))
	}
}
