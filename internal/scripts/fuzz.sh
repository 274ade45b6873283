#!/bin/sh
# Runs every native fuzzer for the time given, one after the other. The first failure ends the run.
set -eu
time=${1:-5s}
for file in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | sort); do
	dir=./$(dirname "$file")
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 1x "$dir" >/tmp/holdfast-fuzz.$$ 2>&1 || { cat /tmp/holdfast-fuzz.$$; exit 1; }
		echo "fuzz $dir $name: $(grep -o 'execs: [0-9]*' /tmp/holdfast-fuzz.$$ | tail -n 1)"
	done
done
rm -f /tmp/holdfast-fuzz.$$
