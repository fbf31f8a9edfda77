"""Starts a module of this very Mooring in a process of its own: `python -I child.py MODULE …`.

Where another version is installed as well, parent and child still speak the same language.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
