#!/bin/sh
# Runs every native fuzzer for the number of inputs given (such as 5000x), one after the other. The first failure ends the run. A number, not a time: the
# end of a time makes go test fail now and then with "context deadline exceeded", and a number is the same work on every machine. Each package is built once.
set -eu
inputs=${1:-5000x}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for dir in $(git ls-files '*_test.go' | xargs grep -l '^func Fuzz' | xargs -n 1 dirname | sort -u); do
	go test -c -fuzz . -o "$tmp/fuzz.test" "./$dir"
	for name in $(git ls-files "$dir/*_test.go" | grep "^$dir/[^/]*$" | xargs sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p'); do
		(cd "$dir" && "$tmp/fuzz.test" -test.run '^$' -test.fuzz "^$name\$" -test.fuzztime "$inputs" -test.fuzzminimizetime 1x -test.fuzzcachedir "$tmp/corpus") >"$tmp/log" 2>&1 || {
			cat "$tmp/log"
			exit 1
		}
		echo "fuzz ./$dir $name: $(grep -o 'execs: [0-9]*' "$tmp/log" | tail -n 1)"
	done
done
