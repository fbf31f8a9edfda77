#!/bin/sh
# Bring the programs that only tests use into .tools; the system's own kubectl stays as it is.
# What cannot be had is said here, and the tests that use it are skipped with the reason.
set -eu
cd "$(dirname "$0")/.."
old=.tools/kubectl-1.20

missing() {
    echo "test programs: $1; tests with kubectl 1.20 are skipped"
    exit 0
}

candidate() {
    apt-cache policy kubernetes-client 2>/dev/null | sed -n 's/^ *Candidate: *//p'
}

[ ! -x $old/usr/bin/kubectl ] || exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || missing "this is not Debian"
case "$(candidate)" in
'' | '(none)')
    [ "$(id -u)" = 0 ] || missing "no package lists; run as root: apt-get update"
    apt-get update -qq </dev/null || missing "apt-get update failed"
    ;;
esac
case "$(candidate)" in
1.20*) ;;
*) missing "the package kubernetes-client here is '$(candidate)', 1.20 is in Debian 12" ;;
esac

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
[ "$(id -u)" != 0 ] || chown _apt "$place" 2>/dev/null || true # apt downloads as this user
(cd "$place" && apt-get download -qq kubernetes-client </dev/null) || missing "the download failed"
mkdir -p .tools
rm -rf $old.part
dpkg -x "$place"/kubernetes-client_*.deb $old.part
rm -rf $old
mv $old.part $old # whole or not at all: an interrupted run leaves nothing that looks finished
