#!/bin/sh
# Runs the README's first command as it stands there, in a folder of its own, and checks what it made.
set -eu
command=$(sed -n '/<!-- demo -->/,/^$/s/^go run/go run/p' README.md)
[ -n "$command" ] || { echo "the README has no demo command"; exit 1; }
rm -rf demo-repo demo.key
trap 'rm -rf demo-repo demo.key' EXIT
echo "+ $command"
code=0
sh -c "$command" || code=$?
[ "$code" = 0 ] || [ "$code" = 3 ] || exit "$code" # 3: something in /etc changed or may not be read
go run ./cmd/holdfast --repo ./demo-repo --key-file ./demo.key snapshots
go run ./cmd/holdfast --repo ./demo-repo --key-file ./demo.key check
