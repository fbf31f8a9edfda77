#!/bin/sh
# The tests with whole processes: those with Docker beside all others, since both wait most of the
# time. As root each half has mounts of its own: a host of tests that starts in one takes a copy of
# all mounts, and would keep the other's volumes in use.
set -u
# A shell has what it starts in the background ignore Ctrl-C, which some tests send.
own="env --default-signal=INT"
[ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null && own="$own unshare --mount"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
$own .venv/bin/pytest -n 2 --dist loadfile -rs -m "system and not slow" tests/docker >"$log" 2>&1 &
docker=$!
$own .venv/bin/pytest -rs -m "system and not slow" --ignore tests/docker
others=$?
wait "$docker"
ended=$?
cat "$log"
[ "$others" = 0 ] && exit "$ended"
exit "$others"
