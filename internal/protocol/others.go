package protocol

// reader reads one snapshot with the ledger as it was when it began.
type reader struct {
	phase    uint8
	snapshot uint8
	view     set // packs
	failed   bool
}

func (s *State) readerSteps(r *Rules, add func(string, State)) {
	switch s.reader.phase {
	case 0:
		for i := range s.snapshots {
			if s.snapshots[i].root == 0 || s.snapshots[i].forgotten != 0 {
				continue
			}
			t := *s
			t.reader = reader{phase: 1, snapshot: uint8(i), view: t.readerIndex(r)}
			add("opens a snapshot", t)
		}
	case 1:
		t := *s
		t.reader.phase = 2
		wanted := &s.snapshots[s.reader.snapshot]
		there := s.readable(s.reader.view)
		if wanted.root&^there != 0 && r.LookAgain {
			there = s.readable(s.readerIndex(r))
		}
		t.reader.failed = wanted.root&^there != 0 && wanted.forgotten == 0
		t.reader.view = 0
		add("reads it", t)
	}
}

func (s *State) readerIndex(r *Rules) set {
	if r.ReadCondemned {
		return s.listed(live, condemned)
	}
	return s.listed(live)
}

// retentionSteps forgets snapshots and takes them back.
func (s *State) retentionSteps(r *Rules, add func(string, State)) {
	for i := range s.snapshots {
		snap := &s.snapshots[i]
		switch {
		case snap.root == 0:
		case snap.forgotten == 0 && s.forgets > 0:
			t := *s
			t.n++
			t.snapshots[i].forgotten = t.n
			t.forgets--
			add("FORGET", t)
		case snap.forgotten != 0 && s.unforgets > 0 && (!r.UndoUntilDelete || snap.forgotten > s.deleted):
			t := *s
			t.snapshots[i].forgotten, t.snapshots[i].since = 0, t.n
			t.n++
			t.needed = t.n
			t.unforgets--
			add("UNFORGET", t)
		}
	}
}
