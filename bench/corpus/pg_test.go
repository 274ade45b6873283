//go:build linux

package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRealDumps(t *testing.T) {
	bin := findPostgres()
	if bin == "" {
		t.Skip("missing initdb, pgbench (apt-get install postgresql)")
	}
	t.Parallel()
	b := newTestBuilder(t, config{seed: 1})
	shape := pgShape{branches: 1, events: 500, transactions: 300}
	wants := b.pgWants("pg_dump", false)
	require.NoError(t, b.realDumps(context.Background(), bin, shape, wants))
	var texts []string
	for _, w := range wants {
		data, err := os.ReadFile(b.temp(w.name))
		require.NoError(t, err)
		texts = append(texts, string(data))
		require.Equal(t, 500, strings.Count(texts[len(texts)-1], `"trace": `))
		require.True(t, strings.Contains(texts[len(texts)-1], "dump complete"))
	}
	var rows strings.Builder
	require.NoError(t, writeEvents(context.Background(), &rows, 1, shape))
	first, _, _ := strings.Cut(rows.String(), "\n")
	_, payload, ok := strings.Cut(first, "{")
	require.True(t, ok)
	require.True(t, strings.Contains(texts[0], payload), "jsonb comes out as it was made")
	require.Zero(t, strings.Count(texts[0], "\treviewed "))
	_, history, ok := strings.Cut(texts[1], "COPY public.pgbench_history")
	require.True(t, ok)
	history, _, _ = strings.Cut(history, "\\.")
	require.InDelta(t, 300, strings.Count(history, "\n"), 10)
}

func TestServerThatCannotStart(t *testing.T) {
	bin := findPostgres()
	if bin == "" {
		t.Skip("missing initdb, pgbench (apt-get install postgresql)")
	}
	b := newTestBuilder(t, config{})
	cred, err := pgUser()
	require.NoError(t, err)
	pg := &postgres{run: b.run, bin: bin, data: "/no/such/folder", sock: b.work, cred: cred}
	_, err = pg.start(context.Background(), b.undo)
	require.ErrorContains(t, err, "/no/such/folder")
	b.undo = &cleanups{}
}
