"""A writer for each container, whose records say who wrote them, and what these must be.

A record is a line, written by one write to a file that is open to append: its number among those of
its container, the host, the container, and when that container began and when it wrote this, by the
clock that all hosts of one machine have. Containers of one host may write side by side, as the mode
ReadWriteOnce has it, and a swarm does so when it replaces a task.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

LOG: Final = "log"
# It ends at the first write that fails.
WRITER: Final = (
    "read began rest </proc/uptime; n=0; "
    "while n=$((n+1)); read now rest </proc/uptime; "
    f'echo "$n $NODE $HOSTNAME $began $now" >>/data/{LOG}; do sleep 0.05; done'
)


class Writer(NamedTuple):
    host: str
    container: str
    began_s: float


class Record(NamedTuple):
    number: int
    writer: Writer
    now_s: float


def records(text: str) -> list[Record]:
    """Raises ValueError at a line that is none, as two hosts or a half one leave."""
    found = []
    for line in text.splitlines():
        number, host, container, began, now = line.split(" ")
        found.append(Record(int(number), Writer(host, container, float(began)), float(now)))
    return found


def disorder(text: str) -> list[str]:
    """What shows that two hosts have written at once, or that something was lost: none if all is
    well."""
    try:
        found = records(text)
    except ValueError as error:
        return [f"a line is no record: {error}"]
    return [*_numbers(found), *_hosts(found)]


def _numbers(found: list[Record]) -> Iterable[str]:
    """Of each container from 1 on, each once: else a record was lost, or went elsewhere."""
    last: dict[Writer, int] = defaultdict(int)
    for one in found:
        if one.number != last[one.writer] + 1:
            yield f"{one} is after number {last[one.writer]}"
        last[one.writer] = one.number


def _hosts(found: list[Record]) -> Iterable[str]:
    """Who wrote before another host did never writes again; that began after the last of these."""
    now: set[Writer] = set()  # of the host that writes
    gone: set[Writer] = set()
    for before, one in zip([None, *found], found, strict=False):
        if before is not None and before.writer.host != one.writer.host:
            gone, now = gone | now, set()
            if one.now_s < before.now_s or one.writer.began_s < before.now_s:
                yield f"{one} is of another host than {before}, and not later"
        if one.writer in gone:
            yield f"{one} is of one that another host followed: {before}"
        now.add(one.writer)
