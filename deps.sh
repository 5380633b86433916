#!/bin/sh
# Installs the Debian packages named as arguments, those that are missing only,
# so that a machine that has them all needs neither root nor a network.
set -eu

missing=
for package in "$@"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
fi
echo "installing:$missing" >&2
$as_root apt-get update -qq
# The list is split into words on purpose: it is package names.
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends $missing >/dev/null
