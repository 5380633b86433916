#!/bin/sh
# Makes sure that there is a Go to build with, the one that go.mod names. Where
# no Go of 1.21 or later is installed (Debian 12 has 1.19), it takes Debian's
# to fetch the toolchain as a module and keeps it in the cache, from where the
# Makefile puts it into PATH. A Go of 1.21 or later does that by itself.
set -eu

version=$(sed -n 's/^toolchain go//p' "$(dirname "$0")/go.mod")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dipper/go

modern() {
	command -v go >/dev/null && go version | awk '{ split(substr($3, 3), v, "."); exit !(v[1] > 1 || v[2] >= 21) }'
}
if modern; then
	exit 0
fi

"$(dirname "$0")/deps.sh" golang-1.19-go ca-certificates
case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) echo "toolchain.sh: no Go toolchain known for $(uname -m): install Go $version by hand" >&2 && exit 1 ;;
esac
module=golang.org/toolchain@v0.0.1-go$version.linux-$arch
echo "fetching Go $version" >&2
rm -rf "$cache.new"
(cd / && GOMODCACHE=$cache.new GOFLAGS=-modcacherw /usr/lib/go-1.19/bin/go mod download "$module")
# Module archives carry no execute permissions.
chmod -R +x "$cache.new/$module/bin" "$cache.new/$module/pkg/tool"
rm -rf "$cache"
mv "$cache.new/$module" "$cache"
rm -rf "$cache.new"
