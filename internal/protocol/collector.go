package protocol

// collector is one run after the other of collecting.
type collector struct {
	phase  collectorPhase
	runs   uint8
	marked uint8
	marks  set
	retire set // packs
	added  int8
	slot   uint8 // of its CONDEMN
	found  set   // objects that it listed
	useful set   // objects that the ledger it read names, or that open sessions may name
}

type collectorPhase uint8

const (
	collectorIdle collectorPhase = iota
	collectorOpen
	collectorPlanned
	collectorCondemned
	collectorDecided
	collectorSweeps
	collectorListed
	collectorHalfJudged // a weakening
	collectorJudged
)

// collectorRuns is how often each collector may run.
const collectorRuns = 1

func (s *State) collectorSession(c int) int { return maxWriters*perWriter + c }

func (s *State) collectorSteps(r *Rules, cast *Cast, c int, add func(string, State)) {
	me := &s.collectors[c]
	if cast.NoSweep && me.phase >= collectorSweeps {
		return
	}
	if cast.SweepOnly && me.phase == collectorOpen {
		t := *s
		t.collectors[c].phase = collectorSweeps
		add("has nothing to condemn", t)
		return
	}
	switch me.phase {
	case collectorIdle:
		if me.runs < collectorRuns {
			t := *s
			t.collectors[c] = collector{phase: collectorOpen, runs: me.runs + 1, added: -1}
			t.sessions[t.collectorSession(c)] = session{opened: t.n, state: open}
			t.n++
			add("OPEN", t)
		}
	case collectorOpen:
		s.collectorPlans(c, add)
	case collectorPlanned:
		s.collectorCondemns(r, c, add)
	case collectorCondemned:
		s.collectorDecides(r, c, add)
		s.collectorRevokes(c, add)
	case collectorDecided:
		s.collectorDeletes(r, c, add)
	case collectorSweeps:
		s.collectorLists(r, c, add)
	case collectorListed:
		s.collectorJudges(r, c, add)
	case collectorHalfJudged:
		t := *s
		me := &t.collectors[c]
		me.useful |= t.maybeNamed(r)
		t.collectorAnnounces(r, c, "looks which sessions are open", add)
	case collectorJudged:
		s.collectorSweeps(r, c, add)
	}
	if !cast.NoSweep && (me.phase == collectorPlanned || me.phase == collectorCondemned) {
		t := *s
		t.collectors[c].phase = collectorSweeps
		add("goes on to sweep", t) // as the next run does after this one died
	}
}

// collectorPlans marks, and chooses packs to retire: any one, since full ones of small size are put together, too, or all that have something unneeded.
// It goes on with what another began, if there is anything.
func (s *State) collectorPlans(c int, add func(string, State)) {
	for i := range s.condemns {
		if s.condemns[i].pending {
			t := *s
			t.collectors[c].phase, t.collectors[c].slot = collectorCondemned, uint8(i)
			add("finds what another condemned", t)
		}
	}
	marks, packs := s.marks(), s.listed(live)
	every := set(0)
	for i := range s.packs {
		if !packs.has(i) {
			continue
		}
		s.collectorRetires(c, marks, 1<<i, add)
		if s.packs[i].chunks&^marks != 0 {
			every |= 1 << i
		}
	}
	if every&(every-1) != 0 {
		s.collectorRetires(c, marks, every, add)
	}
}

// collectorRetires stores anew what is needed of packs and nowhere else.
func (s *State) collectorRetires(c int, marks, retire set, add func(string, State)) {
	t := *s
	me := &t.collectors[c]
	me.phase, me.marks, me.marked, me.retire = collectorPlanned, marks, t.n, retire
	if move := t.chunksOf(retire) & marks &^ t.chunksOf(t.listed(live)&^retire); move != 0 {
		if me.added = int8(t.store(move, uint8(t.collectorSession(c)))); me.added < 0 {
			return
		}
	}
	add("marks and moves", t)
}

func (s *State) collectorCondemns(r *Rules, c int, add func(string, State)) {
	t := *s
	me := &t.collectors[c]
	if t.collected > me.marked && r.FencedCondemn || me.retire&^t.listed(live) != 0 {
		me.phase = collectorSweeps
		add("finds that another collection came first", t)
		return
	}
	for i := range t.condemns {
		if t.condemns[i].pending {
			continue
		}
		t.condemns[i] = condemn{n: t.n, marked: me.marked, pending: true}
		me.slot, me.phase = uint8(i), collectorCondemned
		for p := range t.packs {
			if me.retire.has(p) {
				t.packs[p].status, t.packs[p].by = condemned, uint8(i)
			}
		}
		if me.added >= 0 {
			t.packs[me.added].status = live
		}
		t.n++
		t.collected, t.needed = t.n, t.n
		add("CONDEMN", t)
		return
	}
}

// collectorRevokes ends a writer that it would have to wait for.
func (s *State) collectorRevokes(c int, add func(string, State)) {
	n := s.condemns[s.collectors[c].slot].n
	for i := range maxWriters * perWriter {
		if s.sessions[i].state == open && s.sessions[i].opened < n {
			t := *s
			t.sessions[i].state = ended
			t.n++
			add("REVOKE", t)
		}
	}
}

// collectorDecides decides what to rescue: condemned packs with something needed that no live pack has.
func (s *State) collectorDecides(r *Rules, c int, add func(string, State)) {
	me := &s.collectors[c]
	k := &s.condemns[me.slot]
	if !k.pending {
		t := *s
		t.collectors[c].phase = collectorSweeps
		add("finds that another deleted", t)
		return
	}
	if r.WaitForOlder && s.olderWriters(k.n) {
		return
	}
	t := *s
	me = &t.collectors[c]
	me.phase, me.marked, me.retire = collectorDecided, t.n, 0
	if r.Recheck {
		missing := s.marks() &^ s.chunksOf(s.listed(live))
		for p := range s.packs {
			if s.packs[p].status == condemned && s.packs[p].by == me.slot && s.packs[p].chunks&missing != 0 {
				me.retire |= 1 << p // to be listed again
			}
		}
	}
	add("decides", t)
}

func (s *State) collectorDeletes(r *Rules, c int, add func(string, State)) {
	t := *s
	me := &t.collectors[c]
	k := &t.condemns[me.slot]
	if !k.pending || r.FencedDelete && t.needed > me.marked || r.WaitForOlder && t.olderWriters(k.n) {
		me.phase = collectorCondemned
		add("finds that more may be needed", t)
		return
	}
	for p := range t.packs {
		if t.packs[p].status != condemned || t.packs[p].by != me.slot {
			continue
		}
		t.packs[p].status = gone
		if me.retire.has(p) {
			t.packs[p].status = live
		}
	}
	*k = condemn{}
	t.n++
	t.collected, t.needed, t.deleted = t.n, t.n, t.n
	me.phase = collectorSweeps
	add("DELETE", t)
}

// objects are those that exist.
func (s *State) objects() (found set) {
	for p := range s.packs {
		if s.packs[p].exists {
			found |= 1 << p
		}
	}
	return found
}

// mayBeNeeded are objects that the ledger names, or that an open session may name.
func (s *State) mayBeNeeded(r *Rules) set { return s.named() | s.maybeNamed(r) }

// named are objects that the ledger names.
func (s *State) named() set { return s.listed(live) | s.listed(condemned) }

// maybeNamed are objects that an open session may name.
func (s *State) maybeNamed(r *Rules) (useful set) {
	for p := range s.packs {
		owner := s.sessions[s.packs[p].session]
		if s.packs[p].status == unlisted && owner.state == open && r.SessionsKnown {
			useful |= 1 << p
		}
	}
	return useful
}

func (s *State) collectorLists(r *Rules, c int, add func(string, State)) {
	t := *s
	me := &t.collectors[c]
	me.phase = collectorListed
	if r.ListThenReplay {
		me.found = t.objects()
		add("lists objects", t)
		return
	}
	me.useful = t.mayBeNeeded(r)
	add("reads the ledger", t)
}

func (s *State) collectorJudges(r *Rules, c int, add func(string, State)) {
	t := *s
	me := &t.collectors[c]
	if !r.OneState {
		me.phase, me.useful = collectorHalfJudged, t.named()
		add("reads what the ledger names", t)
		return
	}
	if r.ListThenReplay {
		me.useful = t.mayBeNeeded(r)
		t.collectorAnnounces(r, c, "reads the ledger", add)
		return
	}
	me.found = t.objects()
	t.collectorAnnounces(r, c, "lists objects", add)
}

// collectorAnnounces says in the ledger what it will delete, in the state by which it decided that.
func (s State) collectorAnnounces(r *Rules, c int, how string, add func(string, State)) {
	me := &s.collectors[c]
	if s.sessions[repairSession].state == open && r.RepairFences {
		s.sessions[s.collectorSession(c)].state = ended
		*me = collector{runs: me.runs}
		add(how+", and finds a repair", s)
		return
	}
	me.phase = collectorJudged
	add(how+", SWEEP", s)
}

func (s *State) collectorSweeps(r *Rules, c int, add func(string, State)) {
	t := *s
	me := &t.collectors[c]
	for p := range t.packs {
		if me.found.has(p) && !me.useful.has(p) {
			t.packs[p].exists = false
			if t.packs[p].status == gone && !r.NamesNeverRecur {
				t.packs[p] = pack{}
			}
		}
	}
	t.sessions[t.collectorSession(c)].state = ended
	t.collectors[c] = collector{runs: me.runs}
	add("deletes objects and closes", t)
}
