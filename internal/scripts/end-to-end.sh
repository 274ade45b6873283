#!/bin/bash
# Backs up, restores and compares real input: a disk and the same disk a day later, a second disk with the same files, a dump by
# standard input, and parts of /usr with all their metadata (HOLDFAST_TREES: others). Sizes are compared with restic's where it is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
holdfast=$PWD/holdfast
work=$(mktemp -d "${TMPDIR:-/var/tmp}/holdfast-e2e.XXXXXX")
trap 'rm -rf "$work"' EXIT
corpus=${HOLDFAST_CORPUS:-$work/corpus}
scale=${HOLDFAST_CORPUS_SCALE:-16}
[ -f "$corpus/manifest.json" ] || go run ./bench/corpus -out "$corpus" --scale "$scale"

export HOLDFAST_REPOSITORY=$work/repo HOLDFAST_CACHE_DIR=$work/cache
say() { echo "-- $*"; }
blocks() { stat -c %b "$1"; }
size() { du -s --block-size=1 "$1" | cut -f1; }
fail() { echo "FAILED: $*" >&2; exit 1; }
json() { sed -n "s/.*\"message_type\":\"summary\".*\"$1\":\([0-9]*\).*/\1/p"; }

$holdfast init -q --new-key-file "$work/key"
export HOLDFAST_KEY_FILE=$work/key

say "disks"
disk=$work/disk.img
added=()
for day in vm-day0 vm-day1 vm2; do
	cp --sparse=always "$corpus/$day.img" "$disk"
	before=$(size "$work/repo")
	$holdfast backup -q "$disk" --tag "$day"
	added+=($(($(size "$work/repo") - before)))
	$holdfast restore -q "latest:$disk" --to-file "$work/back.img"
	cmp "$corpus/$day.img" "$work/back.img" || fail "$day is not what was backed up"
	[ "$(blocks "$work/back.img")" -le $(($(blocks "$disk") * 101 / 100 + 16)) ] ||
		fail "$day takes $(blocks "$work/back.img") blocks, its source $(blocks "$disk")"
	rm "$work/back.img"
done
before=$(size "$work/repo")
$holdfast backup -q --force "$disk" --tag again
again=$(($(size "$work/repo") - before))
[ "$(du -s --apparent-size --block-size=1 "$work/repo" | cut -f1)" -gt 0 ]
say "day 0: ${added[0]} bytes, day 1: +${added[1]}, second disk: +${added[2]}, the same again: +$again"
stored=$($holdfast backup --json --force "$disk" | json data_added_packed)
[ "$stored" -lt 65536 ] || fail "a full of an unchanged disk stored $stored bytes"

if command -v restic >/dev/null; then
	say "the same with restic"
	export RESTIC_PASSWORD=x RESTIC_REPOSITORY=$work/restic RESTIC_CACHE_DIR=$work/restic-cache
	restic -q init --repository-version 2 >/dev/null
	last=0
	theirs=()
	for day in vm-day0 vm-day1; do
		cp --sparse=always "$corpus/$day.img" "$disk"
		restic -q backup "$disk" >/dev/null
		now=$(size "$work/restic")
		theirs+=($((now - last)))
		last=$now
	done
	say "restic day 0: ${theirs[0]} bytes, day 1: +${theirs[1]}"
	rm -rf "$work/restic" "$work/restic-cache"
fi

say "the second disk with fixed chunks"
fixed() { $holdfast -r "$work/fixed" --key-file "$work/key" "$@"; }
$holdfast init -q -r "$work/fixed" --key-file "$work/key"
for day in vm-day0 vm2; do
	cp --sparse=always "$corpus/$day.img" "$disk"
	before=$(size "$work/fixed")
	fixed backup -q --chunker fixed "$disk"
	grew=$(($(size "$work/fixed") - before))
done
say "fixed chunks: +$grew, aligned: +${added[2]}"
[ "$scale" != 1 ] || [ $((2 * added[2])) -le "$grew" ] || fail "aligned chunks find less than twice what fixed ones do"
rm -rf "$work/fixed" "$disk"

say "a dump by standard input"
for day in pg-day0 pg-day1; do
	$holdfast backup -q --stdin --stdin-filename dump.sql <"$corpus/$day.sql"
	$holdfast dump latest dump.sql | cmp - "$corpus/$day.sql" || fail "$day is not what was backed up"
done

say "killed at 60 %, the next run uploads at most 45 %"
total=$((${HOLDFAST_RESUME_MIB:-3072} << 20))
head -c "$total" /dev/urandom >"$work/random"
$holdfast backup --json "$work/random" >"$work/status" &
pid=$!
reached=0
while [ "$reached" -lt $((total * 60 / 100)) ]; do
	kill -0 "$pid" 2>/dev/null || fail "the backup ended before it could be killed"
	sleep 0.05
	reached=$(sed -n 's/.*"message_type":"status".*"bytes_done":\([0-9]*\).*/\1/p' "$work/status" | tail -n 1)
	reached=${reached:-0}
done
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
stored=$($holdfast backup --json "$work/random" | json data_added_packed)
say "killed at $((reached * 100 / total)) %, the next run stored $((stored * 100 / total)) %"
[ "$stored" -le $((total - reached + total * 5 / 100)) ] || fail "the next run stored $stored of $total bytes"
$holdfast dump latest "$work/random" | cmp - "$work/random" || fail "the continued backup is not what was backed up"
rm "$work/random"

say "trees"
tree() {
	$holdfast backup -q "$1"
	$holdfast restore -q "latest:$1" --target "$work/tree"
	if command -v rsync >/dev/null; then
		rsync -aHAXn --delete --itemize-changes --checksum "$1/" "$work/tree/" >"$work/differences"
		# Sockets are not stored, and what is written below it while this runs is not a difference of the restore.
		if grep -v '\.sock\|^.S\| \./$' "$work/differences" | grep -q .; then
			cat "$work/differences" >&2
			fail "$1 differs after the restore"
		fi
	else
		diff -rq --no-dereference "$1" "$work/tree" 2>&1 | grep -v 'fifo\|special file\|socket' | grep . && fail "$1 differs after the restore"
	fi
	chmod -R u+w "$work/tree" && rm -rf "$work/tree"
}
tree "$corpus/tree"
for folder in ${HOLDFAST_TREES:-/usr/bin /usr/share}; do
	tree "$folder"
done

say "check of every byte"
$holdfast check -q --read-data
say "end to end: all is well"
