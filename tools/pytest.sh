#!/bin/sh
# pytest, as root with mounts of its own: a host of tests that starts elsewhere takes a copy of all
# mounts that it finds, and would keep the volumes of tests that run here in use.
own=
[ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null && own="unshare --mount"
exec $own .venv/bin/pytest "$@"
