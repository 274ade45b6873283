package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/crypto"
)

// TestSweeps: what was announced is left until somebody says that nothing of it is there, and nothing is announced beside a repair.
func TestSweeps(t *testing.T) {
	c := newChain(t)
	one, other := c.join(crypto.Collector, 1), c.join(crypto.Collector, 2)
	c.ok(one, &Open{Session: sid(1), Purpose: Collecting})
	c.ok(other, &Open{Session: sid(2), Purpose: Collecting})
	n, _ := c.state.Head()
	c.ok(one, &Sweep{Session: sid(1), List: snap(1), Packs: 3})
	require.Equal(t, []Sweeping{{N: n, Session: sid(1), List: snap(1), Packs: 3}}, c.state.Sweeps())
	require.Contains(t, c.put(other, &Sweep{Session: sid(2), Ended: []uint64{n}}), "is live")
	c.ok(other, &Open{Session: sid(3), Purpose: Repairing})
	require.Contains(t, c.put(one, &Sweep{Session: sid(1), List: snap(2), Packs: 1}), "may list packs again")
	require.Contains(t, c.put(other, &Sweep{Session: sid(3), List: snap(2), Packs: 1}), "may list packs again")
	require.Len(t, c.state.Repairs(), 1)
	c.ok(other, &Revoke{Session: sid(1)})
	require.Len(t, c.state.Sweeps(), 1, "it may be deleting still")
	require.Contains(t, c.put(one, &Sweep{Session: sid(1), Ended: []uint64{n}}), "is revoked")
	c.ok(other, &Sweep{Session: sid(2), Ended: []uint64{n}})
	require.Empty(t, c.state.Sweeps())
	require.Contains(t, c.put(other, &Sweep{Session: sid(2), Ended: []uint64{n}}), "nothing that is left")
	c.ok(other, &Close{Session: sid(3)})
	require.Empty(t, c.state.Repairs())
	c.ok(other, &Sweep{Session: sid(2), List: snap(2), Packs: 1})
}
