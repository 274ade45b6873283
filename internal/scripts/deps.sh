#!/bin/sh
# Installs the packages named, or the tools that tests use beside Go, when root on a Debian-like system; otherwise says what is missing.
set -eu
tests="acl attr btrfs-progs dosfstools e2fsprogs exfatprogs f2fs-tools fdisk fuse3 libcap2-bin libnbd-bin make nbdkit ntfs-3g postgresql qemu-utils restic rsync xfsprogs zstd"
# The S3 server that tests run, at an exact version, beside the sources.
if [ -z "$*" ] && [ ! -x .tools/versitygw ] && ! command -v versitygw >/dev/null; then
	GOBIN=$PWD/.tools go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 || echo "versitygw could not be built: what needs an S3 server is left out"
fi
missing=""
for p in ${*:-$tests}; do
	dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	apt-get update -qq
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
	echo "not root, or no apt-get: what needs one of these is left out:$missing"
fi
