#!/bin/bash
# Runs the same steps with Holdfast and with restic, interleaved, on the corpus in HOLDFAST_CORPUS, and prints times and sizes. The
# corpus should be in the page cache. See docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/../.."
make -s build
holdfast=$PWD/holdfast
corpus=${HOLDFAST_CORPUS:?say where bench/corpus put the corpus}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/holdfast-versus.XXXXXX")
trap 'rm -rf "$work"' EXIT
export HOLDFAST_REPOSITORY=$work/h HOLDFAST_CACHE_DIR=$work/hc HOLDFAST_KEY_FILE=$work/key
export RESTIC_REPOSITORY=$work/r RESTIC_CACHE_DIR=$work/rc RESTIC_PASSWORD=x
stored() { du -s --block-size=1 --apparent-size "$1" | cut -f1; }
seconds() { local start=$EPOCHREALTIME; "$@" >/dev/null; echo "$start $EPOCHREALTIME" | awk '{printf "%.2f", $2 - $1}'; }
row() { # name, holdfast seconds, restic seconds, holdfast bytes, restic bytes
	awk -v n="$1" -v a="$2" -v b="$3" -v c="$4" -v d="$5" 'BEGIN {
		printf "| %-34s | %7.2f | %7.2f | %5.2f |", n, a, b, a / b
		if (d > 0) printf " %8.1f | %8.1f | %5.2f |\n", c / 1e6, d / 1e6, c / d; else printf "          |          |       |\n" }'
}
step() { # name, holdfast command, restic command
	local name=$1 h r hb rb
	hb=$(stored "$work/h") rb=$(stored "$work/r")
	h=$(seconds bash -c "$2") r=$(seconds bash -c "$3")
	hb=$(($(stored "$work/h") - hb)) rb=$(($(stored "$work/r") - rb))
	row "$name" "$h" "$r" "$hb" "$rb"
}
export holdfast disk=$work/disk.img corpus work
printf '| %-34s | %7s | %7s | %5s | %8s | %8s | %5s |\n' step holdfast restic ratio "h MB" "r MB" ratio
echo "|---|---|---|---|---|---|---|"
mkdir -p "$work/h" "$work/r"
step "init" "$holdfast init -q --new-key-file $work/key" "restic -q init --repository-version 2"
for day in vm-day0 vm-day1 vm2; do
	cp --sparse=always "$corpus/$day.img" "$disk"
	cat "$disk" >/dev/null
	step "$day" "$holdfast backup -q $disk" "restic -q backup $disk"
done
step "vm2 unchanged, re-read" "$holdfast backup -q --force $disk" "restic -q backup --force $disk"
for day in pg-day0 pg-day1; do
	step "$day by stdin" "$holdfast backup -q --stdin --stdin-filename d <$corpus/$day.sql" "restic -q backup --stdin --stdin-filename d <$corpus/$day.sql"
done
step "random" "$holdfast backup -q $corpus/rand.bin" "restic -q backup $corpus/rand.bin"
step "list snapshots" "$holdfast snapshots -q --json" "restic snapshots -q --json"
step "restore vm2" "$holdfast restore -q latest:$disk --path $disk --to-file $work/h.img" "restic -q restore latest --path $disk --target $work/r.dir"
cmp "$disk" "$work/h.img"
rm -rf "$work/h.img" "$work/r.dir"
step "check, every byte" "$holdfast check -q --read-data" "restic -q check --read-data"
