package protocol

import (
	"cmp"
	"slices"
)

// normal returns a state that behaves alike: numbers of entries are replaced by their ranks, since only their order matters, packs and snapshots are put
// in order, and what nobody looks at any more is cleared. Without that the same situation would be explored again and again.
func (s State) normal() State {
	s.clear()
	s.sortPacks()
	s.sortSnapshots()
	s.rankNumbers()
	return s
}

func (s *State) clear() {
	for i := range s.sessions {
		if s.sessions[i].state == ended {
			s.sessions[i].opened = 0
		}
	}
	for i := range s.snapshots {
		if snap := &s.snapshots[i]; snap.forgotten != 0 && s.unforgets == 0 {
			snap.opened, snap.since = 0, 0
			if snap.forgotten <= s.deleted {
				snap.forgotten = s.deleted // it cannot come back
			}
		}
	}
	for i := range s.writers {
		w := &s.writers[i]
		if w.phase == writerStored {
			w.view = 0
		}
		if w.phase == writerIdle && (w.runs == perWriter || w.runs > 0 && s.sessions[s.current(i)].state == ended) {
			w.own = 0
		}
	}
	for i := range s.collectors {
		if c := &s.collectors[i]; c.phase >= collectorSweeps || c.phase == collectorCondemned {
			c.marked, c.marks, c.retire, c.added = 0, 0, 0, -1
			if c.phase >= collectorSweeps {
				c.slot = 0
			}
		}
	}
	if s.repairer.phase == repairIdle || s.repairer.phase == repairDone {
		s.repairer.marked, s.repairer.lists = 0, 0
	}
	used := s.reader.view | s.repairer.lists
	for i := range s.writers {
		used |= s.writers[i].view | s.writers[i].own
	}
	for i := range s.collectors {
		used |= s.collectors[i].found | s.collectors[i].useful | s.collectors[i].retire
	}
	for i := range s.packs {
		p := &s.packs[i]
		if p.status != unlisted {
			p.session = 0
		}
		if p.status != condemned {
			p.by = 0
		}
		if !p.exists && (p.status == unlisted || p.status == gone) && !used.has(i) {
			*p = pack{}
		}
	}
}

// sortPacks puts packs in order, and renames them wherever somebody knows them.
func (s *State) sortPacks() {
	order := [maxPacks]int{}
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order[:], func(a, b int) int { return cmp.Compare(s.packs[a].key(), s.packs[b].key()) })
	var to [maxPacks]int
	packs := s.packs
	for place, i := range order {
		to[i], s.packs[place] = place, packs[i]
	}
	rename := func(of *set) {
		var renamed set
		for i := range to {
			if of.has(i) {
				renamed |= 1 << to[i]
			}
		}
		*of = renamed
	}
	rename(&s.reader.view)
	rename(&s.repairer.lists)
	for i := range s.writers {
		rename(&s.writers[i].view)
		rename(&s.writers[i].own)
	}
	for i := range s.collectors {
		c := &s.collectors[i]
		rename(&c.retire)
		rename(&c.found)
		rename(&c.useful)
		if c.added >= 0 {
			c.added = int8(to[c.added])
		}
	}
}

func (p *pack) key() uint32 {
	exists := uint32(0)
	if p.exists {
		exists = 1
	}
	if p.chunks == 0 {
		return 1 << 31 // at the end
	}
	return uint32(p.chunks)<<16 | uint32(p.status)<<12 | exists<<11 | uint32(p.session)<<4 | uint32(p.by)
}

func (s *State) sortSnapshots() {
	order := [maxSnapshots]int{}
	for i := range order {
		order[i] = i
	}
	key := func(i int) uint32 {
		v := &s.snapshots[i]
		if v.root == 0 {
			return 1 << 31
		}
		return uint32(v.root)<<24 | uint32(v.since)<<16 | uint32(v.opened)<<8 | uint32(v.forgotten)
	}
	slices.SortStableFunc(order[:], func(a, b int) int { return cmp.Compare(key(a), key(b)) })
	snapshots, reads := s.snapshots, s.reader.snapshot
	for place, i := range order {
		s.snapshots[place] = snapshots[i]
		if s.reader.phase == 1 && int(reads) == i {
			s.reader.snapshot = uint8(place)
		}
	}
}

func (s *State) rankNumbers() {
	numbers := s.numbers()
	var used [64]bool
	used[0] = true
	for _, n := range numbers {
		used[*n] = true
	}
	var rank [64]uint8
	next := uint8(0)
	for i := range used {
		if used[i] {
			rank[i] = next
			next++
		}
	}
	for _, n := range numbers {
		*n = rank[*n]
	}
}

// numbers returns where numbers of entries stand.
func (s *State) numbers() []*uint8 {
	list := make([]*uint8, 0, 32)
	list = append(list, &s.n, &s.collected, &s.needed, &s.deleted, &s.repairer.marked)
	for i := range s.sessions {
		list = append(list, &s.sessions[i].opened)
	}
	for i := range s.snapshots {
		list = append(list, &s.snapshots[i].opened, &s.snapshots[i].since, &s.snapshots[i].forgotten)
	}
	for i := range s.condemns {
		list = append(list, &s.condemns[i].n, &s.condemns[i].marked)
	}
	for i := range s.collectors {
		list = append(list, &s.collectors[i].marked)
	}
	return list
}
