#!/bin/bash
# Compares the benchmarks of this tree with those of BASE (a commit; default: where this branch left main, or on main the commit before),
# on this machine, in RUNS interleaved runs, and fails when this tree is slower than noise explains: see bench/judge. PACKAGES and BENCH
# (a pattern) narrow it down; BENCHTIME is how long each benchmark runs each time.
set -euo pipefail
cd "$(dirname "$0")/../.."
packages=${PACKAGES:-chunk crypto repo/pack repo/index snapshot/content snapshot}
bench=${BENCH:-.} runs=${RUNS:-10} benchtime=${BENCHTIME:-100ms}
benchstat=golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
base=${BASE:-$(git merge-base HEAD main 2>/dev/null || true)}
if [ -z "$base" ] || { [ -z "${BASE:-}" ] && [ "$base" = "$(git rev-parse HEAD)" ] && git diff --quiet HEAD; }; then
	base=$(git rev-parse HEAD~1)
fi
work=$(mktemp -d "${TMPDIR:-/var/tmp}/holdfast-bench.XXXXXX")
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/tree" "$base"
echo "base: $(git log -1 --format='%h %s' "$base")"

build() { # tree, folder for the test programs
	mkdir -p "$2"
	for p in $packages; do
		[ ! -d "$1/$p" ] || (cd "$1" && go test -c -o "$2/${p//\//_}" "./$p")
	done
}
run() { # tree, folder of the test programs, file to append to
	for p in $packages; do
		[ ! -x "$2/${p//\//_}" ] || (cd "$1/$p" && "$2/${p//\//_}" -test.run '^$' -test.short -test.benchmem -test.bench "$bench" -test.benchtime "$benchtime" >>"$3")
	done
}
build "$work/tree" "$work/base"
build "$PWD" "$work/new"
for i in $(seq "$runs"); do
	echo "run $i of $runs"
	run "$work/tree" "$work/base" "$work/base.txt"
	run "$PWD" "$work/new" "$work/new.txt"
done
cd "$work" # so that the tables are named by short paths
go run "$benchstat" base.txt new.txt
go run "$benchstat" -format csv base.txt new.txt 2>/dev/null >table.csv
cd "$OLDPWD"
go run ./bench/judge ${JUDGE:-} <"$work/table.csv"
