#!/usr/bin/env bash
# Runs the tests of the packages named as arguments, as `go test` does, with
# the lab. A test that is skipped here is one that nobody runs: it fails. The
# exception is what the build machine's kernel refuses, or would be changed by:
# TestOnOwnKernel runs those tests on the image's kernel, where nothing may be
# skipped.
set -euo pipefail
cd "$(dirname "$0")"

log=build/test.log
mkdir -p build
status=0
DIPPER_LAB=require go test -v -count 1 -timeout 80m -p 1 "$@" >"$log" 2>&1 || status=$?
grep -vE '^ *(=== |--- PASS|PASS$)' "$log" || true

# The reason stands before the verdict.
skipped=$(awk '
	/^=== RUN/ { reason = "" }
	/this kernel (refuses|has no IPVS)|TestOnOwnKernel runs this test/ { reason = "kernel" }
	/^ *--- SKIP/ { if (reason != "kernel") print }
' "$log")
if [ -n "$skipped" ]; then
	printf 'test.sh: these tests were skipped; the reasons are in %s:\n%s\n' "$log" "$skipped" >&2
	status=1
fi
exit "$status"
