//go:build linux

package main

// demand is what a step must do with one of the machine's parts: seconds, if it did nothing else.
type demand struct {
	part    string
	seconds float64
	cpu     bool // done by the processors, which do one thing at a time
}

// demands lists what a run of Holdfast has to do at least; nothing for steps whose parts are not measured. How much of the source is new is not known, so it is taken from what was
// stored and the ratio of such data.
func (r *report) demands(st *step, s *sample) []demand {
	l := r.Limits
	var file corpusFile
	if f := r.file(st.file); f != nil {
		file = *f
	}
	z, data, stored := l.Zstd[file.Name], float64(file.data()), float64(s.Added)
	fresh := min(data, stored*z.Ratio)
	over := func(part string, bytes, speed float64, cpu bool) demand {
		if speed == 0 {
			return demand{part, 0, cpu}
		}
		return demand{part, bytes / speed, cpu}
	}
	read, ids := over("reading", data, l.Read, true), over("BLAKE3", data, l.BLAKE3, true)
	switch st.job {
	case jobBackup, jobStream:
		return []demand{read, ids, over("zstd", fresh, z.Encode, true), over("zstd back", fresh, z.Decode, true),
			over("AES", 2*stored, l.AES, true), over("disk", stored, l.Synced, false)}
	case jobReread, jobInPlace:
		return []demand{read, ids}
	case jobRestore:
		return []demand{over("AES", data/z.Ratio, l.AES, true), over("zstd back", data, z.Decode, true), ids, over("disk", data, l.Synced, false)}
	case jobCheck:
		all := float64(s.Repository)
		return []demand{over("reading", all, l.Read, true), over("AES", all, l.AES, true), over("zstd back", all*z.Ratio, z.Decode, true),
			over("BLAKE3", all*(1+z.Ratio), l.BLAKE3, true)}
	}
	return nil
}

// share says how near a run is to the machine's limits.
type share struct {
	part  string  // the one that is needed longest
	limit float64 // the part of the time for which it is needed
	work  float64 // the part of the time for which the processors would do all that must be done by them
}

func (r *report) share(st *step, s *sample) (share, bool) {
	var most demand
	work := 0.0
	for _, d := range r.demands(st, s) {
		if d.seconds > most.seconds {
			most = d
		}
		if d.cpu {
			work += d.seconds
		}
	}
	if most.seconds == 0 || s.Seconds == 0 {
		return share{}, false
	}
	return share{most.part, most.seconds / s.Seconds, work / s.Seconds}, true
}
