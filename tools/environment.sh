#!/bin/sh
# Make .venv hold what requirements.lock says, and this project, editable.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

stop() {
    echo "setup: $1" >&2
    exit 1
}

can_make_environments() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

command -v "$python" >/dev/null || stop "there is no $python; install Python 3.11 or later"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old; name a newer one: make setup PYTHON=/path/to/python3"

if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    if ! can_make_environments; then # Debian ships python3 without ensurepip
        [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null ||
            stop "$python cannot make environments; on Debian: sudo apt-get install python3-venv"
        echo "setup: installing python3-venv"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq </dev/null || echo "setup: apt-get update failed, going on" >&2
        apt-get install -y -qq python3-venv </dev/null >/dev/null
        can_make_environments || stop "$python still lacks ensurepip; PYTHON=/usr/bin/python3 has it"
    fi
    "$python" -m venv --clear .venv
fi

echo "setup: bringing .venv to requirements.lock (the first time takes a minute)"
pip() {
    .venv/bin/python -m pip --disable-pip-version-check --quiet "$@" </dev/null
}
pip install --require-hashes -r requirements.lock
# The build backend is in the lock too, so nothing is fetched that has no hash.
pip install --no-deps --no-build-isolation --editable .
