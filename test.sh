#!/usr/bin/env bash
# Runs the tests of the packages named as arguments, as `go test` does, with
# the lab. A test that is skipped here is one that nobody runs: it fails.
set -euo pipefail
cd "$(dirname "$0")"

log=build/test.log
mkdir -p build
status=0
DIPPER_LAB=require go test -v -timeout 60m -p 1 "$@" >"$log" 2>&1 || status=$?
grep -vE '^ *(=== |--- PASS|PASS$)' "$log" || true
if grep -E -- '^ *--- SKIP' "$log"; then
	echo "test.sh: tests were skipped; the reasons are in $log" >&2
	status=1
fi
exit "$status"
