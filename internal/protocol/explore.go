package protocol

import (
	"fmt"
	"slices"
)

// Cast says who takes part, and how much may happen.
type Cast struct {
	Writers, Collectors int
	Again               bool // writers may open a second session
	Reader, Repair      bool
	NoSweep             bool // objects stay, and no collector dies
	SweepOnly           bool // collectors only delete objects
	Leftover            bool // only a snapshot that needs a pack of its own is there at first, beside a pack that a DELETE let go
	Forgets, Unforgets  uint8
	Single              bool // only the snapshot that needs all is there at first
}

// Result is what an exploration found.
type Result struct {
	States int
	Whole  bool // whether every state was seen
	// Broken says which invariant does not hold, and Trace by which steps, the fewest; empty if all hold.
	Broken string
	Trace  []string
}

type visited struct {
	parent int32
	action string
}

// Explore goes through every state that the cast can reach under the rules, nearest first, up to a number of states; 0 means all. It stops at the
// first that breaks an invariant.
func Explore(r Rules, c Cast, limit int) Result {
	first := start()
	first.forgets, first.unforgets = c.Forgets, c.Unforgets
	if c.Single {
		first.snapshots[1] = snapshot{}
	}
	if c.Leftover {
		first.snapshots[0] = snapshot{}
		first.packs[0].chunks, first.packs[1].chunks, first.packs[1].status = leafA, leafB, gone
	}
	first = first.normal()
	states, from := []State{first}, []visited{{parent: -1}}
	seen := map[State]struct{}{first: {}}
	for i := 0; i < len(states); i++ {
		if why := states[i].broken(); why != "" {
			return Result{States: len(states), Broken: why, Trace: trace(from, i)}
		}
		if limit > 0 && len(states) >= limit {
			break
		}
		here := states[i]
		here.steps(&r, &c, func(action string, next State) {
			next = next.normal()
			if _, again := seen[next]; !again {
				seen[next] = struct{}{}
				states, from = append(states, next), append(from, visited{int32(i), action})
			}
		})
	}
	return Result{States: len(states), Whole: limit == 0 || len(states) < limit}
}

// steps calls add with every step that somebody can take.
func (s *State) steps(r *Rules, c *Cast, add func(string, State)) {
	by := func(who string) func(string, State) {
		return func(action string, next State) { add(who+" "+action, next) }
	}
	for w := range c.Writers {
		s.writerSteps(r, c, w, by(fmt.Sprintf("writer %d", w+1)))
	}
	for k := range c.Collectors {
		s.collectorSteps(r, c, k, by(fmt.Sprintf("collector %d", k+1)))
	}
	if c.Reader {
		s.readerSteps(r, by("reader"))
	}
	if c.Repair {
		s.repairSteps(r, by("repair"))
	}
	s.retentionSteps(r, by("admin"))
}

func trace(from []visited, i int) (steps []string) {
	for ; from[i].parent >= 0; i = int(from[i].parent) {
		steps = append(steps, from[i].action)
	}
	slices.Reverse(steps)
	return steps
}
