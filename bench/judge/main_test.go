package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// table is what benchstat prints for two packages, with the given times (in units of the old) and verdicts.
func table(rows ...string) string {
	var b strings.Builder
	for i, row := range rows {
		f := strings.Fields(row)
		fmt.Fprintf(&b, "goos: linux\npkg: example.com/p%d\ncpu: Some CPU @ 2GHz\n,base.txt,,new.txt,,,\n,sec/op,CI,sec/op,CI,vs base,P\n", i)
		for j := 0; j < len(f); j += 2 {
			fmt.Fprintf(&b, "B%d-2,1e-06,1%%,%se-06,2%%,%s,p=0.000 n=10\n", j/2, f[j], f[j+1])
		}
		b.WriteString("geomean,1e-06,,1e-06,,+0.00%\n\n,base.txt,,new.txt,,,\n,B/op,CI,B/op,CI,vs base,P\nB0-2,1,0%,900,0%,+89900%,p=0.000 n=10\n\n")
	}
	return b.String()
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		code int
		says string
	}{
		{"unchanged", table("1.00 ~"), 0, "mean of 1 benchmarks +0.0 %"},
		{"noise", table("1.90 ~ 1.50 ~"), 0, "+0.0 %"},
		{"faster", table("0.50 -50%"), 0, "-50.0 %"},
		{"slower", table("1.10 +10%"), 1, "FAIL example.com/p0: geometric mean of 1 benchmarks +10.0 %"},
		{"within", table("1.04 +4%"), 0, "+4.0 %"},
		{"one of many", table("1.20 +20% 1.00 ~ 1.00 ~ 1.00 ~ 1.00 ~"), 0, "+3.7 %"},
		{"one much", table("1.30 +30% 1.00 ~ 1.00 ~ 1.00 ~ 1.00 ~ 1.00 ~ 1.00 ~"), 1, "FAIL example.com/p0 B0-2 is 30.0 % slower"},
		{"packages apart", table("0.50 -50%", "1.10 +10%"), 1, "FAIL example.com/p1"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, c.code, realMain(nil, strings.NewReader(c.in), &out, &errs), c.name)
		require.Contains(t, out.String(), c.says, c.name)
		require.Empty(t, errs.String())
	}
	var out, errs bytes.Buffer
	require.Zero(t, realMain([]string{"-mean", "15"}, strings.NewReader(table("1.10 +10%")), &out, &errs))
	for _, in := range []string{"", "nothing\n", table("x +1%"), table("0 ~"), ",base.txt\n,sec/op,CI\nB0,1e-6,1%\n"} {
		require.Equal(t, 1, realMain(nil, strings.NewReader(in), &out, &errs), in)
	}
	require.Equal(t, 2, realMain([]string{"-no-such"}, strings.NewReader(""), &out, &errs))
}
