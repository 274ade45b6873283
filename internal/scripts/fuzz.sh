#!/bin/sh
# Runs every native fuzzer for the number of inputs given (such as 5000x), one after the other. The first failure ends the run. A number, not a time: the
# end of a time makes go test fail now and then with "context deadline exceeded", and a number is the same work on every machine.
set -eu
inputs=${1:-5000x}
for file in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | sort); do
	dir=./$(dirname "$file")
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$inputs" -fuzzminimizetime 1x "$dir" >/tmp/holdfast-fuzz.$$ 2>&1 || { cat /tmp/holdfast-fuzz.$$; exit 1; }
		echo "fuzz $dir $name: $(grep -o 'execs: [0-9]*' /tmp/holdfast-fuzz.$$ | tail -n 1)"
	done
done
rm -f /tmp/holdfast-fuzz.$$
