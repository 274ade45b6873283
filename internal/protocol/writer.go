package protocol

// writer is a host that backs up the node and its leaves.
type writer struct {
	phase  writerPhase
	runs   uint8 // sessions it opened
	view   set   // packs in its index
	own    set   // packs that it stored, or took over from its dead session
	parent bool  // it takes over a subtree unread
}

type writerPhase uint8

const (
	writerIdle writerPhase = iota
	writerRead             // has read the index, before OPEN: a weakening
	writerOpen
	writerReady // has read the index
	writerStored
)

func (s *State) writerSteps(r *Rules, c *Cast, w int, add func(string, State)) {
	me := &s.writers[w]
	switch me.phase {
	case writerIdle:
		if !r.OpenBeforeIndex {
			t := *s
			t.writers[w].phase, t.writers[w].view = writerRead, t.index(r)
			add("reads the index", t)
			return
		}
		s.writerOpens(c, w, add)
	case writerRead:
		s.writerOpens(c, w, add)
	case writerOpen:
		s.writerReads(r, w, add)
	case writerReady:
		s.writerStores(r, w, add)
	case writerStored:
		s.writerCommits(r, w, add)
	}
	if me.phase == writerStored { // before that it might as well stall
		t := *s
		t.writers[w] = writer{runs: me.runs, own: me.own}
		add("dies", t)
	}
}

// current is the number of a writer's newest session.
func (s *State) current(w int) int { return w*perWriter + int(s.writers[w].runs) - 1 }

// writerOpens appends OPEN, which adopts what a dead session of the same writer stored, if that is open still.
func (s *State) writerOpens(c *Cast, w int, add func(string, State)) {
	if runs := s.writers[w].runs; runs == perWriter || runs == 1 && !c.Again {
		return
	}
	t := *s
	me := &t.writers[w]
	if me.runs > 0 {
		before := &t.sessions[t.current(w)]
		if before.state != open {
			me.own = 0
		}
		before.state = ended
	}
	me.runs++
	t.sessions[t.current(w)] = session{opened: t.n, state: open}
	for i := range t.packs {
		if me.own.has(i) {
			t.packs[i].session = uint8(t.current(w))
		}
	}
	t.n++
	me.phase++
	if me.phase < writerOpen {
		me.phase = writerOpen
	}
	add("OPEN", t)
}

// index is what a writer takes for stored. A cache that does not follow the ledger has whatever was ever listed.
func (s *State) index(r *Rules) set {
	switch {
	case !r.CacheFollows:
		return s.listed(live, condemned, gone)
	case !r.CondemnedIsAbsent:
		return s.listed(live, condemned)
	}
	return s.listed(live)
}

func (s *State) writerReads(r *Rules, w int, add func(string, State)) {
	t := *s
	me := &t.writers[w]
	me.phase = writerReady
	if r.OpenBeforeIndex {
		me.view = t.index(r)
	}
	add("reads the index", t)
	opened := t.sessions[t.current(w)].opened
	for i := range s.snapshots {
		if s.snapshots[i].root == all && s.reusable(r, &s.snapshots[i], opened) {
			t.writers[w].parent = true
			add("reads the index and a parent", t)
			return
		}
	}
}

// reusable is the rule about parents.
func (s *State) reusable(r *Rules, p *snapshot, opened uint8) bool {
	if p.forgotten != 0 || p.since >= opened {
		return false
	}
	for i := range s.condemns {
		c := &s.condemns[i]
		if r.SafeParent && c.pending && c.n < opened && p.opened < c.n && p.since >= c.marked {
			return false
		}
	}
	return true
}

// writerStores stores what is missing, as far as the index tells.
func (s *State) writerStores(r *Rules, w int, add func(string, State)) {
	t := *s
	me := &t.writers[w]
	me.phase = writerStored
	known := s.chunksOf(me.view | me.own)
	if !r.LeavesAreChecked && known&node != 0 || me.parent {
		known = all
	}
	if missing := all &^ known; missing != 0 {
		i := t.store(missing, uint8(t.current(w)))
		if i < 0 {
			return
		}
		me.own |= 1 << i
	}
	add("stores what is missing", t)
}

func (s *State) writerCommits(r *Rules, w int, add func(string, State)) {
	t := *s
	me := &t.writers[w]
	mine := &t.sessions[t.current(w)]
	if mine.state != open && r.FencedCommit {
		*me = writer{runs: me.runs}
		add("finds its session ended", t)
		return
	}
	for i := range t.snapshots {
		if t.snapshots[i].root != 0 {
			continue
		}
		t.snapshots[i] = snapshot{root: all, opened: mine.opened, since: t.n}
		for p := range t.packs {
			if me.own.has(p) {
				t.packs[p].status = live
			}
		}
		t.n++
		t.needed = t.n
		mine.state = ended
		*me = writer{runs: me.runs}
		add("COMMIT", t)
		return
	}
}
