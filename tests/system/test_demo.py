"""`make demo` tells its story to the end, and the manual tells the same, typed by hand."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mooring.host import mounts
from tests.host.privileges import needs_mounts
from tests.system.server import OLD_KUBECTL, ROOT, eventually, free_port

pytestmark = pytest.mark.system
FIRST_STEPS = (ROOT / "docs/first-steps.md").read_text()
KUBECTL = shutil.which("kubectl") or (str(OLD_KUBECTL) if OLD_KUBECTL.exists() else "")
COMMAND = (sys.executable, "-m", "examples.demo")
# What a process without any rights of root is started through.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
DEADLINE_S = 120
KEY_LINES = (  # in this order
    r"persistentvolumeclaim/archive serverside-applied",
    r"archive +Bound +archive +5Gi",
    r"tiny +Bound +huge +1Ti",
    r"fitting +Bound +pvc-\S+ +1Gi",
    r"team +directory.mooring.dev +this-host +10Gi +1Gi +1",
    r"pvc default/shared is Pending: no volume fits",
    r"nearest is spare \(2Gi, RWO\)",
    r"waste: +1023Gi",
    r"kill -9",
    r"data +Bound +pvc-\S+ +1Gi",
    r"Hello from before the crash",
    r"data is no longer at",
    r"archive +5Gi +RWO +Retain +Released",
)


def told(directory: Path, *before: str) -> str:
    """What the demo prints, with all its temporary files below a directory."""
    done = subprocess.run(
        [*before, *COMMAND],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def commands(text: str, indent: int) -> list[str]:
    """Each line after a $, with those that continue it, up to its output."""
    found = re.findall(rf"^ {{{indent}}}\$ (.*(?:(?<= do)\n(?:.*\n)*? *done)?)", text, re.MULTILINE)
    return [re.sub(r"\n {4}", "\n", command) for command in found]


def assert_in_order(patterns: tuple[str, ...], text: str) -> None:
    place = 0
    for pattern in patterns:
        match = re.compile(pattern).search(text, place)
        assert match, f"{pattern} is not told, or not there: {text[place:]}"
        place = match.end()


def assert_nothing_is_left(directory: Path) -> None:
    assert mounts.mounts_below(str(directory)) == []
    assert os.listdir(directory) == []


def test_the_demo_tells_its_story_as_the_manual_does_and_leaves_nothing(tmp_path: Path) -> None:
    spacious = tmp_path / "a b"
    spacious.mkdir()
    text = told(spacious)
    assert_in_order(KEY_LINES, text)
    # What needs a Docker engine comes last, and is not in the manual.
    typed = commands(text.partition("A container writes, another reads")[0], indent=2)
    assert len(typed) >= 15
    assert commands(FIRST_STEPS, indent=4)[-len(typed) :] == typed
    assert_nothing_is_left(spacious)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give up its rights")
def test_without_any_right_of_root_it_tells_the_same_and_where_the_data_is(tmp_path: Path) -> None:
    text = told(tmp_path, *UNPRIVILEGED)
    assert_in_order(KEY_LINES, text)
    assert "note: this process may not mount" in text
    assert re.search(r"^ +\$DEMO/pool/pvc-", text, re.MULTILINE)
    assert_nothing_is_left(tmp_path)


@needs_mounts
def test_a_demo_that_is_stopped_half_way_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        eventually(lambda: mounts.mounts_below(str(tmp_path)) != [], "something is mounted")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 1
    assert_nothing_is_left(tmp_path)


# The commands of the manual stand in a shell as they are, but for the server: it is on a port of
# its own and in the background, and it alone may be killed. A person types slower than a claim
# binds, so a claim that is not bound yet is listed or mounted a moment later.
BY_HAND = r"""
set -eu -o pipefail
kubectl() {
    local said
    for try in 1 2 3 4 5 6 7 8 9 10; do
        said=$("$KUBECTL" "$@")
        { [ "$1" = get ] && grep -v ^shared <<< "$said" | grep -q Pending; } || break
        sleep 0.2
    done
    echo "$said"
}
pgrep() { echo "$server"; }
mooring() {
    case $1 in
    up)
        "$MOORING" "$@" --listen "127.0.0.1:$PORT" >> "$HOME/log" 2>&1 &
        server=$!
        until [ -e "$DEMO/data/kubeconfig" ] && KUBECONFIG=$DEMO/data/kubeconfig \
            "$MOORING" status > /dev/null 2>&1; do kill -0 $server; sleep 0.1; done ;;
    mount)
        for try in 1 2 3 4 5 6 7 8 9 10; do "$MOORING" "$@" && return || sleep 0.2; done
        return 1 ;;
    *) "$MOORING" "$@" ;;
    esac
}
trap 'kill "$server"; wait "$server"' EXIT
"""


@needs_mounts
@pytest.mark.skipif(not KUBECTL, reason="needs kubectl")
def test_the_manual_can_be_typed_as_it_stands(tmp_path: Path) -> None:
    lines = [line for line in commands(FIRST_STEPS, indent=4) if "export PATH" not in line]
    script = [BY_HAND, "export DEMO=$HOME/mooring-demo", *lines]
    mooring = Path(sys.executable).with_name("mooring")
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "KUBECTL": KUBECTL,
            "MOORING": str(mooring),
            "PORT": str(free_port()),
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert_in_order(tuple(line for line in KEY_LINES if line != "kill -9"), done.stdout)
    assert mounts.mounts_below(str(tmp_path)) == []
