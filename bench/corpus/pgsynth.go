//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
)

// dayPlan says which rows a synthetic day moved: a moved row is gone from its place and stands at the end, changed.
type dayPlan struct {
	accounts map[int]int
	events   map[int]bool
	order    []moved
}

type moved struct {
	event      bool
	id, change int
}

// planDay draws transactions as benchScripts does: each moves one row of the two big tables.
func planDay(rng *rand.Rand, shape pgShape, n int, accounts, events span) dayPlan {
	plan := dayPlan{accounts: map[int]int{}, events: map[int]bool{}}
	total := shape.accounts() + shape.events
	for range n {
		if rng.IntN(total) < shape.accounts() {
			id, change := accounts.first+rng.IntN(accounts.last-accounts.first+1), rng.IntN(10_001)-5000
			plan.accounts[id] += change
			plan.order = append(plan.order, moved{id: id, change: change})
			continue
		}
		id := events.first + rng.IntN(events.last-events.first+1)
		plan.events[id] = true
		plan.order = append(plan.order, moved{event: true, id: id})
	}
	return plan
}

// writeSynthetic writes three dumps of the same shape as PostgreSQL's, from the seed alone.
func writeSynthetic(ctx context.Context, seed uint64, shape pgShape, day0, day1, hotDay string) error {
	even := planDay(dice(seed, "day1"), shape, shape.transactions, span{1, shape.accounts()}, span{1, shape.events})
	hottest := planDay(dice(seed, "hot"), shape, shape.transactions, hot(shape.accounts()), hot(shape.events))
	for _, d := range []struct {
		path string
		plan dayPlan
	}{{day0, dayPlan{}}, {day1, even}, {hotDay, hottest}} {
		err := writeFile(d.path, func(w io.Writer) error { return writeDump(ctx, w, seed, shape, d.plan) })
		if err != nil {
			return err
		}
	}
	return nil
}

// writeDump writes one dump: the tables in the order of their names, as pg_dump has them, then the keys.
func writeDump(ctx context.Context, w io.Writer, seed uint64, shape pgShape, plan dayPlan) error {
	d := &dumper{ctx: ctx, w: w}
	d.text("--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\n" + eventsTable + ";\n\n")
	d.text("CREATE TABLE pgbench_accounts (aid integer NOT NULL, bid integer, abalance integer, filler character(84));\n\n")
	d.text("CREATE TABLE pgbench_branches (bid integer NOT NULL, bbalance integer, filler character(88));\n\n")
	d.text("CREATE TABLE pgbench_history (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler character(22));\n\n")
	d.text("CREATE TABLE pgbench_tellers (tid integer NOT NULL, bid integer, tbalance integer, filler character(84));\n\n")
	d.events(seed, shape, plan)
	d.accounts(shape, plan)
	d.small(shape, plan)
	d.text("ALTER TABLE ONLY events ADD CONSTRAINT events_pkey PRIMARY KEY (id);\n")
	d.text("ALTER TABLE ONLY pgbench_accounts ADD CONSTRAINT pgbench_accounts_pkey PRIMARY KEY (aid);\n\n--\n-- PostgreSQL database dump complete\n--\n")
	return d.err
}

// dumper writes until its first error.
type dumper struct {
	ctx context.Context
	w   io.Writer
	buf []byte
	err error
}

func (d *dumper) text(s string) {
	d.buf = append(d.buf, s...)
	d.flush()
}

func (d *dumper) flush() {
	if d.err == nil {
		d.err = d.ctx.Err()
	}
	if d.err == nil {
		if _, err := d.w.Write(d.buf); err != nil {
			d.err = fmt.Errorf("writing a dump: %w", err)
		}
	}
	d.buf = d.buf[:0]
}

func (d *dumper) full() {
	if len(d.buf) > 1<<16 {
		d.flush()
	}
}

func (d *dumper) events(seed uint64, shape pgShape, plan dayPlan) {
	d.text("COPY events (id, at, account, kind, payload, note) FROM stdin;\n")
	rows := newRowMaker(dice(seed, "events"))
	changed := map[int][]byte{}
	var line []byte
	for id := 1; id <= shape.events && d.err == nil; id++ {
		line = rows.appendEvent(line[:0], id, shape.accounts())
		if plan.events[id] {
			changed[id] = bytes.Clone(line)
			continue
		}
		d.buf = append(d.buf, line...)
		d.full()
	}
	last := lastMoves(plan.order, true)
	for i, m := range plan.order {
		if m.event && last[m.id] == i {
			tab := bytes.LastIndexByte(changed[m.id], '\t') + 1
			d.buf = append(append(append(d.buf, changed[m.id][:tab]...), "reviewed "...), changed[m.id][tab:]...)
			d.full()
		}
	}
	d.text("\\.\n\n\n")
}

func (d *dumper) accounts(shape pgShape, plan dayPlan) {
	d.text("COPY pgbench_accounts (aid, bid, abalance, filler) FROM stdin;\n")
	for aid := 1; aid <= shape.accounts() && d.err == nil; aid++ {
		if _, gone := plan.accounts[aid]; !gone {
			d.buf = appendAccount(d.buf, aid, 0)
			d.full()
		}
	}
	last := lastMoves(plan.order, false)
	for i, m := range plan.order {
		if !m.event && last[m.id] == i {
			d.buf = appendAccount(d.buf, m.id, plan.accounts[m.id])
			d.full()
		}
	}
	d.text("\\.\n\n\n")
}

// lastMoves returns the position of each row's last move: an older version of a row is no longer there.
func lastMoves(order []moved, event bool) map[int]int {
	last := map[int]int{}
	for i, m := range order {
		if m.event == event {
			last[m.id] = i
		}
	}
	return last
}

func (d *dumper) small(shape pgShape, plan dayPlan) {
	balances := make([]int, shape.branches+1)
	d.text("COPY pgbench_history (tid, bid, aid, delta, mtime, filler) FROM stdin;\n")
	for _, m := range plan.order {
		if !m.event {
			bid := m.id%shape.branches + 1
			balances[bid] += m.change
			d.buf = fmt.Appendf(d.buf, "%d\t%d\t%d\t%d\t2026-03-03 00:00:00\t\\N\n", bid*tellersPerBranch, bid, m.id, m.change)
			d.full()
		}
	}
	d.text("\\.\n\n\nCOPY pgbench_branches (bid, bbalance, filler) FROM stdin;\n")
	for bid := 1; bid <= shape.branches; bid++ {
		d.buf = fmt.Appendf(d.buf, "%d\t%d\t\\N\n", bid, balances[bid])
	}
	d.text("\\.\n\n\nCOPY pgbench_tellers (tid, bid, tbalance, filler) FROM stdin;\n")
	for tid := 1; tid <= shape.branches*tellersPerBranch; tid++ {
		bid := (tid-1)/tellersPerBranch + 1
		balance := 0
		if tid%tellersPerBranch == 0 {
			balance = balances[bid]
		}
		d.buf = fmt.Appendf(d.buf, "%d\t%d\t%d\t%s\n", tid, bid, balance, spaces84)
	}
	d.text("\\.\n\n\n")
}
