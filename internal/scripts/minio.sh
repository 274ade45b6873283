#!/bin/sh
# Runs the tests of backend/s3 with a MinIO server, a second opinion beside versitygw. It is run, never linked.
set -eu
[ -x .tools/minio ] || GOBIN=$PWD/.tools go install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
data=$(mktemp -d)
address=127.0.0.1:${MINIO_PORT:-17071}
export AWS_ACCESS_KEY_ID=holdfast AWS_SECRET_ACCESS_KEY=holdfast-secret
MINIO_ROOT_USER=$AWS_ACCESS_KEY_ID MINIO_ROOT_PASSWORD=$AWS_SECRET_ACCESS_KEY MINIO_UPDATE=off .tools/minio server --address "$address" --quiet "$data" >"$data.log" 2>&1 &
server=$!
trap 'kill $server; wait $server 2>/dev/null || true; rm -rf "$data" "$data.log"' EXIT
for _ in $(seq 100); do
	curl -sf "http://$address/minio/health/ready" >/dev/null && break
	sleep 0.2
done
HOLDFAST_TEST_S3=http://$address go test -count 1 ./backend/s3
