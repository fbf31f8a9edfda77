#!/bin/sh
# The tests with whole processes, in lanes beside each other, since all wait most of the time. What
# each said is printed whole at the end.
set -u
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

lane() { # NAME ARGUMENTS: of pytest
    log=$logs/$1
    shift
    # A shell has what it starts in the background ignore Ctrl-C, which some tests send.
    env --default-signal=INT tools/pytest.sh -rs -m "system and not slow" "$@" >"$log" 2>&1 &
}

lane docker -n 2 --dist loadfile tests/docker
docker=$!
lane clients -n 2 --dist loadfile tests/system
clients=$!
lane backends tests/conformance tests/drivers
backends=$!
lane edge -n 2 --dist loadfile tests/edge
edge=$!
lane others --ignore tests/docker --ignore tests/system --ignore tests/conformance \
    --ignore tests/drivers --ignore tests/edge
others=$!

failed=0
for one in "$docker" "$clients" "$backends" "$edge" "$others"; do
    wait "$one" || failed=1
done
cat "$logs/docker" "$logs/clients" "$logs/backends" "$logs/edge" "$logs/others"
exit "$failed"
