package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

const mb = 1e6

// print prints the results as tables.
func (r *results) print(w io.Writer) {
	table := func(head string, rows func(io.Writer)) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, head)
		rows(t)
		t.Flush()
		fmt.Fprintln(w)
	}
	if len(r.Index) > 0 {
		fmt.Fprintln(w, "Index. B: bytes for each chunk. Lookups are hot, asked before; read: one read of memory as large as the filters.")
		table("chunks\tcold s\tcold peak MB\twarm s\tread ns\tmiss ns\thit ns\tlocate ns\tprivate B\tcache B\trepository B\t", func(t io.Writer) {
			for _, x := range r.Index {
				fmt.Fprintf(t, "%.0e\t%.2f\t%.0f\t%.3f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.1f\t%.1f\t\n", float64(x.Chunks), x.Cold.Seconds, float64(x.Cold.Peak)/mb,
					x.Warm.Open, x.Warm.Memory, x.Warm.Miss, x.Warm.Hit, x.Warm.Locate, float64(x.Warm.Private)/float64(x.Chunks), x.Cache, x.Repository)
			}
		})
	}
	if len(r.Sessions) > 0 {
		fmt.Fprintln(w, "Sessions of 100 chunks, with an index file each")
		table("sessions\tcold s\tcold peak MB\twarm s\tcache MB\trepository MB\t", func(t io.Writer) {
			for _, x := range r.Sessions {
				n := float64(x.Chunks) / mb
				fmt.Fprintf(t, "%.0e\t%.2f\t%.0f\t%.3f\t%.1f\t%.1f\t\n", float64(x.Sessions), x.Cold.Seconds, float64(x.Cold.Peak)/mb, x.Warm.Open, n*x.Cache, n*x.Repository)
			}
		})
	}
	if len(r.Ledger) > 0 {
		fmt.Fprintln(w, "Ledger")
		table("entries\tsnapshots\treplay s\tcold s\twarm s\tlist s\tprivate MB\tstate MB\tB an entry\t", func(t io.Writer) {
			for _, x := range r.Ledger {
				fmt.Fprintf(t, "%.0e\t%d\t%.2f\t%.3f\t%.3f\t%.3f\t%.0f\t%.1f\t%.0f\t\n", float64(x.Entries), x.Snapshots, x.Replay, x.Cold, x.Warm, x.List, float64(x.Private)/mb, x.State/mb, x.Bytes)
			}
		})
	}
	if len(r.Disk) > 0 {
		fmt.Fprintln(w, "Content map of a disk, a sixteenth of it data")
		table("GiB\tchunks\tbuild s\tpeak MB\tstored B a chunk\tfirst lookup ms\tlookup us\tprivate MB\t", func(t io.Writer) {
			for _, x := range r.Disk {
				fmt.Fprintf(t, "%d\t%d\t%.2f\t%.0f\t%.1f\t%.1f\t%.0f\t%.0f\t\n", x.GiB, x.Chunks, x.Build, float64(x.Peak)/mb, x.Stored, x.First, x.Lookup, float64(x.Private)/mb)
			}
		})
	}
}
