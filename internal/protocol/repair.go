package protocol

// repairer lists packs again that no index file names, because one of those that did is lost: whether they were let go, it cannot tell.
type repairer struct {
	phase  repairPhase
	marked uint8
	lists  set // packs
}

type repairPhase uint8

const (
	repairIdle repairPhase = iota
	repairOpen
	repairListed
	repairDone
)

const repairSession = maxWriters*perWriter + maxCollectors

func (s *State) repairSteps(r *Rules, add func(string, State)) {
	me := &s.repairer
	switch me.phase {
	case repairIdle:
		t := *s
		t.repairer.phase = repairOpen
		t.sessions[repairSession] = session{opened: t.n, state: open}
		t.n++
		add("OPEN", t)
	case repairOpen:
		s.repairLists(r, add)
	case repairListed:
		s.repairCondemns(r, add)
		if s.sessions[repairSession].state == open {
			t := *s
			t.sessions[repairSession].state = ended
			add("is revoked", t)
		}
	}
}

// repairLists chooses what to list: packs as they are, or stored anew if somebody may be deleting them.
func (s *State) repairLists(r *Rules, add func(string, State)) {
	t := *s
	me := &t.repairer
	me.phase, me.marked = repairListed, t.n
	doomed := s.doomed()
	for i := range s.packs {
		p := &s.packs[i]
		switch {
		case p.status != gone || !p.exists:
		case r.RepairCopies && doomed.has(i):
			at := t.store(p.chunks, repairSession)
			if at < 0 {
				return
			}
			me.lists |= 1 << at
		default:
			me.lists |= 1 << i
		}
	}
	add("lists what no index file names", t)
}

// doomed are the packs that somebody said that he is about to delete.
func (s *State) doomed() (packs set) {
	for i := range s.collectors {
		if c := &s.collectors[i]; c.phase == collectorJudged {
			packs |= c.found &^ c.useful
		}
	}
	return packs
}

func (s *State) repairCondemns(r *Rules, add func(string, State)) {
	t := *s
	me := t.repairer
	open := t.sessions[repairSession].state == open
	t.sessions[repairSession].state = ended
	t.repairer = repairer{phase: repairDone}
	if t.collected > me.marked && r.FencedCondemn || !open && r.FencedCommit {
		add("finds that it was ended, or that a collection came first", t)
		return
	}
	for i := range t.packs {
		if me.lists.has(i) {
			t.packs[i].status = live
		}
	}
	t.n++
	t.collected, t.needed = t.n, t.n
	add("CONDEMN", t)
}
