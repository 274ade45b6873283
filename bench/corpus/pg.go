//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pgShape is the size of the database and of a day's work on it.
type pgShape struct{ branches, events, transactions int }

func (s pgShape) accounts() int { return s.branches * accountsPerBranch }

func shapeFor(scale int) pgShape {
	return pgShape{branches: max(1, fullBranches/scale), events: fullEvents / scale, transactions: fullTransactions / scale}
}

// span is a run of row numbers, from the first to the last.
type span struct{ first, last int }

// hot returns the hottest 1 % of n rows: a run that ends where the newest rows are.
func hot(n int) span { return span{n - max(1, n/100) + 1, n} }

// buildPG makes three plain dumps: day 0, day 1 after transactions spread evenly over all rows, and another day 1 after as many
// transactions on the hottest 1 %. Each transaction moves one row of the two big tables.
func (b *builder) buildPG(ctx context.Context) error {
	bin := findPostgres()
	method := "pg_dump"
	if bin == "" {
		method = "synthetic SQL of the same shape, no PostgreSQL"
		missing := "missing initdb, pgbench (apt-get install postgresql)"
		if err := b.fallBack("pg", missing, method); err != nil {
			return err
		}
	}
	wants := b.pgWants(method, bin == "")
	if ok, err := b.allKept(wants); ok || err != nil {
		return err
	}
	start := time.Now()
	shape := shapeFor(b.cfg.scale)
	var err error
	if bin == "" {
		err = writeSynthetic(ctx, b.cfg.seed, shape, b.temp(wants[0].name), b.temp(wants[1].name), b.temp(wants[2].name))
	} else {
		err = b.realDumps(ctx, bin, shape, wants)
	}
	if err != nil {
		return err
	}
	for _, w := range wants {
		if err := b.finish(w, b.temp(w.name), start); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) pgWants(method string, fallback bool) []want {
	wants := []want{b.want("pg", "pg-day0.sql", method), b.want("pg", "pg-day1.sql", method), b.want("pg", "pg-hot-day1.sql", method)}
	for i := range wants {
		wants[i].fallback = fallback
	}
	return wants
}

// allKept reports whether every file of a group may stay; if one may not, all are made again together.
func (b *builder) allKept(wants []want) (bool, error) {
	all := true
	for _, w := range wants {
		ok, err := b.kept(w)
		if err != nil {
			return false, err
		}
		all = all && ok
	}
	return all, nil
}

// realDumps fills a server, dumps it, copies its data folder, and works on each copy in its own way.
func (b *builder) realDumps(ctx context.Context, bin string, shape pgShape, wants []want) error {
	dir, err := b.pgFolder()
	if err != nil {
		return err
	}
	cred, err := pgUser()
	if err != nil {
		return err
	}
	pg := &postgres{run: b.run, bin: bin, data: filepath.Join(dir, "data"), sock: filepath.Join(dir, "s"), cred: cred}
	if err := makeOwned(pg.sock, cred); err != nil {
		return err
	}
	if err := b.pgDay0(ctx, pg, shape, b.temp(wants[0].name)); err != nil {
		return fmt.Errorf("day 0: %w", err)
	}
	hotData := filepath.Join(dir, "hot")
	if err := b.run.simple(ctx, "cp", "-a", "--reflink=auto", pg.data, hotData); err != nil {
		return err
	}
	even := []span{{1, shape.accounts()}, {1, shape.events}}
	if err := b.pgDay1(ctx, pg, shape, even, b.temp(wants[1].name)); err != nil {
		return fmt.Errorf("day 1: %w", err)
	}
	pg.data = hotData
	if err := b.pgDay1(ctx, pg, shape, []span{hot(shape.accounts()), hot(shape.events)}, b.temp(wants[2].name)); err != nil {
		return fmt.Errorf("hot day 1: %w", err)
	}
	return nil
}

// pgFolder makes a folder for data and socket: in the work folder, unless the server's user cannot get there or the path is too long
// for a socket.
func (b *builder) pgFolder() (string, error) {
	cred, err := pgUser()
	if err != nil {
		return "", err
	}
	dir := b.temp("pg")
	if len(dir) > 80 || (cred != nil && !openToAll(dir)) {
		dir, err = os.MkdirTemp("/var/tmp", "corpus-pg-")
	} else {
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("making the database folder: %w", err)
	}
	b.undo.add(func() error { return os.RemoveAll(dir) })
	return dir, own(dir, cred)
}

// openToAll reports whether everybody may pass through all folders above path.
func openToAll(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err != nil || fi.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
	}
}

func makeOwned(dir string, cred *syscall.Credential) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("making a database folder: %w", err)
	}
	return own(dir, cred)
}

func own(path string, cred *syscall.Credential) error {
	if cred == nil {
		return nil
	}
	if err := unix.Chown(path, int(cred.Uid), int(cred.Gid)); err != nil {
		return fmt.Errorf("giving %s to the database user: %w", path, err)
	}
	return nil
}

func (b *builder) pgDay0(ctx context.Context, pg *postgres, shape pgShape, out string) error {
	if err := pg.initdb(ctx); err != nil {
		return err
	}
	stop, err := pg.start(ctx, b.undo)
	if err != nil {
		return err
	}
	err = fillDatabase(ctx, pg, b.cfg.seed, shape)
	if err == nil {
		err = pg.dump(ctx, out)
	}
	return errors.Join(err, stop())
}

// eventsTable is the second big table, as SQL.
const eventsTable = `CREATE TABLE events (
    id bigint NOT NULL,
    at timestamp without time zone NOT NULL,
    account integer NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    note text NOT NULL
)`

func fillDatabase(ctx context.Context, pg *postgres, seed uint64, shape pgShape) error {
	if err := pg.pgbenchInit(ctx, shape.branches); err != nil {
		return err
	}
	if err := pg.sql(ctx, eventsTable); err != nil {
		return err
	}
	err := pg.copyIn(ctx, "COPY events FROM STDIN", func(w io.Writer) error { return writeEvents(ctx, w, seed, shape) })
	if err != nil {
		return err
	}
	return pg.sql(ctx, "ALTER TABLE events ADD PRIMARY KEY (id)")
}

// writeEvents writes all rows of table events in COPY's text form.
func writeEvents(ctx context.Context, w io.Writer, seed uint64, shape pgShape) error {
	rows := newRowMaker(dice(seed, "events"))
	buf := make([]byte, 0, 1<<17)
	for id := 1; id <= shape.events; id++ {
		buf = rows.appendEvent(buf, id, shape.accounts())
		if len(buf) < 1<<16 && id < shape.events {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("writing events: %w", err)
		}
		buf = buf[:0]
	}
	return nil
}

// pgDay1 runs a day's transactions on the given rows of accounts and events, and dumps the result.
func (b *builder) pgDay1(ctx context.Context, pg *postgres, shape pgShape, rows []span, out string) error {
	stop, err := pg.start(ctx, b.undo)
	if err != nil {
		return err
	}
	scripts, err := benchScripts(filepath.Dir(pg.sock), shape, rows)
	if err == nil {
		err = pg.bench(ctx, shape.transactions, b.cfg.seed, scripts...)
	}
	if err == nil {
		err = pg.dump(ctx, out)
	}
	return errors.Join(err, stop())
}

// benchScripts writes the two kinds of transaction and returns pgbench's options for them; their weights make every row of the two big tables equally likely.
func benchScripts(dir string, shape pgShape, rows []span) ([]string, error) {
	account := fmt.Sprintf(`\set aid random(%d, %d)
\set bid random(1, %d)
\set tid random(1, %d)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, timestamp '2026-03-03' + :aid * interval '1 ms');
END;
`, rows[0].first, rows[0].last, shape.branches, shape.branches*tellersPerBranch)
	event := fmt.Sprintf(`\set id random(%d, %d)
\set status random(200, 599)
UPDATE events SET payload = jsonb_set(payload, '{status}', to_jsonb(:status::int)), note = 'reviewed ' || note WHERE id = :id;
`, rows[1].first, rows[1].last)
	var args []string
	for _, s := range []struct {
		name, text string
		weight     int
	}{{"account.sql", account, shape.accounts()}, {"event.sql", event, shape.events}} {
		path := filepath.Join(dir, s.name)
		if err := os.WriteFile(path, []byte(s.text), 0o644); err != nil {
			return nil, fmt.Errorf("writing a transaction script: %w", err)
		}
		args = append(args, "-f", fmt.Sprintf("%s@%d", path, max(1, s.weight/100)))
	}
	return args, nil
}
