package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/crypto"
	"github.com/holdfast-backup/holdfast/repo"
	"github.com/holdfast-backup/holdfast/repo/ledger"
	"github.com/holdfast-backup/holdfast/snapshot/source"
)

func visit(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, sub := range cmd.Commands() {
		visit(sub, fn)
	}
}

// TestVerbs holds for every verb: it has help with an example, and its flags mean the same kind of thing as those of the
// same name elsewhere, on which flags before the verb depend.
func TestVerbs(t *testing.T) {
	root, err := newApp().rootCommand()
	require.NoError(t, err)
	takesValue := map[string]bool{}
	n := 0
	visit(root, func(cmd *cobra.Command) {
		if cmd.Name() == "help" || strings.Contains(cmd.CommandPath(), "completion") {
			return
		}
		n++
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		require.NotEmpty(t, cmd.Long, cmd.CommandPath())
		require.Contains(t, cmd.Example, "holdfast ", cmd.CommandPath())
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			require.NotEmpty(t, f.Usage, f.Name)
			for _, v := range flagValues[f.Name] {
				require.Contains(t, f.Usage, v, "--%s of %s", f.Name, cmd.CommandPath())
			}
			value := f.NoOptDefVal == ""
			if was, ok := takesValue[f.Name]; ok {
				require.Equal(t, was, value, "--%s of %s", f.Name, cmd.CommandPath())
			}
			takesValue[f.Name] = value
		})
	})
	require.Equal(t, 34, n) // 23 verbs, 10 below key, repair and log, and the root
}

func TestVerbFirst(t *testing.T) {
	root, err := newApp().rootCommand()
	require.NoError(t, err)
	for _, c := range []struct{ in, want string }{
		{"backup -x /a", "backup -x /a"},
		{"-r repo backup /a", "backup -r repo /a"},
		{"--repo=repo -q backup /a --tag key", "backup --repo=repo -q /a --tag key"},
		{"--tag snapshots backup key", "backup --tag snapshots key"},
		{"-x -n backup /a", "backup -x -n /a"},
		{"-vxr repo backup /a", "backup -vxr repo /a"},
		{"-rrepo backup /a", "backup -rrepo /a"},
		{"key -r repo add --label list", "key add -r repo --label list"},
		{"-r repo key --role admin add", "key add -r repo --role admin"},
		{"backup -- snapshots -r x", "backup -- snapshots -r x"},
		{"-q -- backup", "-q -- backup"},
		{"key remove add", "key remove add"},
		{"-q frob --x", "-q frob --x"},
		{"--unknown backup /a", "backup --unknown /a"},
		{"help key add", "help key add"},
		{"-i find x", "find -i x"},
		{"-i *.c restore x", "restore -i *.c x"},
		{"", ""},
		{"-r", "-r"},
		{"-", "-"},
	} {
		require.Equal(t, strings.Fields(c.want), append([]string{}, verbFirst(root, strings.Fields(c.in))...), c.in)
	}
}

func TestSplitCommand(t *testing.T) {
	for in, want := range map[string][]string{
		"cat file":              {"cat", "file"},
		" a\tb\n":               {"a", "b"},
		`a 'b c' "d \" e" f\ g`: {"a", "b c", `d " e`, "f g"},
		`'\' ""`:                {`\`, ""},
		`x'y'z`:                 {"xyz"},
	} {
		got, err := splitCommand(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "  ", `a "b`, `a \`, "'"} {
		_, err := splitCommand(in)
		require.True(t, isUsage(err), in)
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "17": 17, "64k": 64 << 10, "64KiB": 64 << 10, "1M": 1 << 20, "1MiB": 1 << 20, "3g": 3 << 30, "2TiB": 2 << 40} {
		got, err := parseSize(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "x", "-1", "1.5M", "64KB", "64iB", "iB", "1 M", "99999999999999999999", "9999999999T"} {
		_, err := parseSize(in)
		require.True(t, isUsage(err), in)
	}
	require.Equal(t, "0:00", durationText(0))
	require.Equal(t, "1:05", durationText(65*time.Second))
	require.Equal(t, "27:46:40", durationText(100000*time.Second))
	require.Equal(t, "1 file", count(1, "file"))
	require.Equal(t, "0 files", count(0, "file"))
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.FixedZone("", 3600))
	text, err := jsonTime(at).MarshalText()
	require.NoError(t, err)
	require.Equal(t, "2026-01-02T02:04:05.000006000Z", string(text))
	for _, in := range []string{string(text), "2026-01-02", "2026-01-02 03:04", "2026-01-02 03:04:05", "2026-01-02T03:04:05+01:00"} {
		_, err := parseTime(in)
		require.NoError(t, err, in)
	}
	for _, in := range []string{"", "now-ish", "2026-13-01", "1/2/2026"} {
		_, err := parseTime(in)
		require.True(t, isUsage(err), in)
	}
}

// unJSONName reads what jsonName writes, as its documentation says.
func unJSONName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if looksEscaped(s[i:]) && s[i] == '\\' {
			n, _ := strconv.ParseUint(s[i+2:i+4], 16, 8)
			b.WriteByte(byte(n))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// TestJSONName makes names of the pieces that matter and gets each back, through JSON.
func TestJSONName(t *testing.T) {
	require.Equal(t, `café\n`, jsonName(`café\n`))
	require.Equal(t, `a\xffb`, jsonName("a\xffb"))
	require.Equal(t, `\x5cxff`, jsonName(`\xff`))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	pieces := []string{`\`, "x", "f", "5c", "\xff", "\xc3", "é", "\xed\xa0\x80", "\ufffd", "G", "\n"}
	for range 20000 {
		name := ""
		for range rng.IntN(12) {
			name += pieces[rng.IntN(len(pieces))]
		}
		j := jsonName(name)
		require.Equal(t, name, unJSONName(j), "%q", name)
		b, err := marshal(j)
		require.NoError(t, err)
		back, err := strconv.Unquote(string(b))
		require.NoError(t, err)
		require.Equal(t, j, back)
	}
}

func TestPrintable(t *testing.T) {
	require.Equal(t, "plain é ☃", printable("plain é ☃"))
	require.Equal(t, `\x1b[31m\x0a\xff`, printable("\x1b[31m\n\xff"))
	require.Equal(t, `a; b`, oneLine("a\nb\n"))
}

func TestExplain(t *testing.T) {
	corrupt := &repo.CorruptError{Key: "packs/x", Offset: -1, Err: errors.New("missing")}
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("other"), exitFailed},
		{usagef("x"), exitUsage},
		{fmt.Errorf("at: %w", repo.ErrNoRepository), exitNoRepository},
		{backend.ErrLocked, exitBusy},
		{repo.ErrWrongCredential, exitWrongPassword},
		{repo.ErrNoSlot, exitWrongPassword},
		{fmt.Errorf("no key slot opens: %w", corrupt), exitFailed},
		{errIncomplete, exitIncomplete},
		{&source.InUseError{Path: "/dev/x", Why: "mounted"}, exitFailed},
		{syscall.ENOSPC, exitFailed},
		{&fs.PathError{Op: "open", Path: "/dev/x", Err: syscall.EBUSY}, exitFailed},
		{&stoppedError{"x"}, exitInterrupted},
	} {
		f := explain(t.Context(), c.err)
		require.Equal(t, c.code, f.code, c.err)
		require.Contains(t, f.message, c.err.Error())
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	require.Equal(t, exitInterrupted, explain(ctx, corrupt).code)
}

func TestStatusText(t *testing.T) {
	s := state{Files: 3, Bytes: 512 << 20, TotalBytes: 1 << 30, Errors: 2}
	require.Equal(t, "[0:10] #####.....  50.0%, 0:10 to go, 51 MiB/s, restored 512 MiB of 1.0 GiB, 3 files, 2 errors",
		statusText("restored", s, 10*time.Second, 512<<20/10.0))
	require.Equal(t, "[0:10] 0 B/s, backed up 512 MiB", statusText("backed up", state{Bytes: 512 << 20}, 10*time.Second, 0))
	over := newStatusJSON(state{Bytes: 3, TotalBytes: 2}, time.Second, 3)
	require.EqualValues(t, 1, over.PercentDone)
	require.Zero(t, over.SecondsRemaining)
}

func TestSubset(t *testing.T) {
	s, err := parseSubset("2/7")
	require.NoError(t, err)
	require.Equal(t, repo.Subset{Part: 2, Of: 7}, s.Subset)
	s, err = parseSubset("2.5%")
	require.NoError(t, err)
	require.InDelta(t, 0.025, s.Share, 1e-9)
	s, err = parseSubset("10G")
	require.NoError(t, err)
	require.EqualValues(t, 10<<30, s.bytes)
}

// TestVoidEntriesAreNotes: neither faults nor unseen.
func TestVoidEntriesAreNotes(t *testing.T) {
	list := []ledger.VoidEntry{{N: 12, Type: ledger.TypeForget, Actor: crypto.ActorID{0xab}, Why: "a writer may not write FORGET here"}}
	var out, notes bytes.Buffer
	a := &app{out: &output{out: bufio.NewWriter(&out), errOut: &notes}}
	a.printVoid(list)
	require.Equal(t, "holdfast: note: ledger entry 12 is void, and changes nothing: FORGET by actor ab000000000000000000000000000000: a writer may not write FORGET here\n", notes.String())
	a.out.json = true
	a.printVoid(list)
	require.JSONEq(t, `{"message_type":"void_entry","number":12,"type":"FORGET","actor":"ab000000000000000000000000000000","reason":"a writer may not write FORGET here"}`, out.String())
}
