"""What the tests in a machine need, and that they leave nothing in it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Killed = Callable[[str, str, dict[str, Any], str], None]


@pytest.fixture
def killed() -> Killed:
    """Makes a call in a process that dies at a crash point."""

    def at(point: str, kind: str, about: dict[str, Any], call: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.vm.child", kind, json.dumps(about), call],
            env={**os.environ, "MOORING_CRASH_AT": point},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr

    return at
