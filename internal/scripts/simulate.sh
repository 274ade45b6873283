#!/bin/sh
# Runs the simulation with two times so many seeds, in two processes: each history is played on one processor. The first seed is SEED, or by the clock.
set -eu
seed=${SEED:-$(date +%s)}
go=${GO:-go}
$go test -c -o repo/simulate.test ./repo
trap 'rm -f repo/simulate.test' EXIT
cd repo
./simulate.test -test.run 'TestSimulation$' -simulations "$1" -seed "${seed}00000" &
./simulate.test -test.run 'TestSimulation' -simulations "$1" -seed "${seed}50000" || { wait $! || true; exit 1; }
wait $!
