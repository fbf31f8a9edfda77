"""What a server keeps in its memory, by class and attribute: where something piles up, it shows.

As a program it is `mooring` with one thing more: at SIGUSR1 it writes its census to a file.
    python tests/system/census.py FILE up …
"""

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from sortedcontainers import SortedList

from mooring.host.allocator import give_back

WEAK: Final = (WeakKeyDictionary, WeakValueDictionary, WeakSet)
KEEPERS: Final = (dict, set, list, deque, frozenset, tuple, SortedList, *WEAK)
OURS: Final = "mooring."


def census() -> dict[str, int]:
    """How many things each attribute of our classes and each name of our modules holds.

    Of all objects of a class together; what is held by what they hold is counted with it, one
    level down. And the number of tasks, threads, open files and objects of the collector; the
    resident bytes; and of them what is in use, as `malloc` (bytes) and `blocks` of Python's own
    allocator, of at most 512 bytes each: the rest lies free between those. Garbage that the
    collector has not come to, and free memory that the C library keeps for later, are left out:
    both have a limit, and are more or less by chance.
    """
    gc.collect()
    # What was there at the start is frozen. It stays thawed: the next collection looks at it too.
    gc.unfreeze()
    objects = gc.get_objects()
    counts: Counter[str] = Counter()
    for one in objects:
        if str(type(one).__module__).startswith(OURS):  # of a class of classes it is no text
            counts[f"objects {type(one).__qualname__}"] += 1
            for name, value in _attributes(one):
                counts[f"{type(one).__qualname__}.{name}"] += _held(value)
    for module in [m for name, m in list(sys.modules.items()) if name.startswith(OURS)]:
        for name, value in list(vars(module).items()):
            counts[f"{module.__name__}:{name}"] += _held(value)
    counts["objects"] = len(objects)
    del objects
    counts["resident"] = _resident_bytes()
    counts["malloc"] = _malloc_bytes()
    counts["blocks"] = sys.getallocatedblocks()
    counts["tasks"] = len(asyncio.all_tasks())
    counts["threads"] = threading.active_count()
    counts["files"] = len(os.listdir("/proc/self/fd"))
    return {name: count for name, count in counts.items() if count}


def _resident_bytes() -> int:
    give_back()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class _Mallinfo(ctypes.Structure):
    """As glibc's malloc.h has it, from 2.33 on."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def _malloc_bytes() -> int:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return int(found.uordblks + found.hblkhd)


def _attributes(one: Any) -> Iterator[tuple[str, Any]]:
    for class_ in type(one).__mro__:
        for name in _slots(class_):
            try:
                yield name, getattr(one, name)
            except AttributeError:  # not set yet
                continue
    try:
        yield from list(vars(one).items())
    except TypeError:  # it has slots alone
        return


def _slots(class_: type) -> tuple[str, ...]:
    slots = class_.__dict__.get("__slots__", ())
    slots = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(one for one in slots if one not in ("__dict__", "__weakref__"))


def _held(value: Any) -> int:
    if isinstance(value, asyncio.Queue):
        return value.qsize()
    if not isinstance(value, KEEPERS):
        return 0
    if isinstance(value, (tuple, *WEAK)):
        return len(value)
    inner = list(value.values() if isinstance(value, dict) else value)
    return len(value) + sum(len(one) for one in inner if isinstance(one, dict | set | list))


def _write(path: Path) -> None:
    half = path.with_suffix(".half")
    half.write_text(json.dumps(census()))
    half.rename(path)


def main() -> None:
    from mooring.cli.main import main as mooring

    path = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR1, lambda *_: _write(path))
    mooring()


if __name__ == "__main__":
    main()
