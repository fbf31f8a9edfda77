#!/bin/sh
# The tests with whole processes, in lanes beside each other, since all wait most of the time. As
# root each lane has mounts of its own: a host of tests that starts in one takes a copy of all
# mounts, and would keep the others' volumes in use. What each said is printed whole at the end.
set -u
# A shell has what it starts in the background ignore Ctrl-C, which some tests send.
own="env --default-signal=INT"
[ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null && own="$own unshare --mount"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

lane() { # NAME ARGUMENTS: of pytest
    log=$logs/$1
    shift
    $own .venv/bin/pytest -rs -m "system and not slow" "$@" >"$log" 2>&1 &
}

lane docker -n 2 --dist loadfile tests/docker
docker=$!
lane clients -n 2 --dist loadfile tests/system
clients=$!
lane backends tests/conformance tests/drivers
backends=$!
lane others --ignore tests/docker --ignore tests/system --ignore tests/conformance \
    --ignore tests/drivers
others=$!

failed=0
for one in "$docker" "$clients" "$backends" "$others"; do
    wait "$one" || failed=1
done
cat "$logs/docker" "$logs/clients" "$logs/backends" "$logs/others"
exit "$failed"
