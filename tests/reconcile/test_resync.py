"""The safety net looks at everything, evenly."""

import pytest

from mooring.objects.cache import Shelf
from mooring.objects.kinds.core import CONFIG_MAP
from mooring.reconcile.resync import AT_ONCE, EVERY_S, Resync
from mooring.store.interface import Change


@pytest.mark.parametrize("count", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 7])
def test_each_object_is_looked_at_once_a_round(count: int) -> None:
    shelf = Shelf(CONFIG_MAP)
    for number in range(count):
        shelf.fill(f"configmaps/default/c{number:04}", _stored(number), number + 1)
    seen: list[str] = []
    resync = Resync(shelf, lambda entry: seen.append(entry.key))
    waited_s = 0.0
    while waited_s < EVERY_S - 0.001:
        waited_s += resync.look_at_slice()
    assert seen == [f"default/c{number:04}" for number in range(count)]
    resync.look_at_slice()
    assert seen[count:] == seen[: min(count, AT_ONCE)]


def test_what_is_deleted_meanwhile_is_not_missed() -> None:
    shelf = Shelf(CONFIG_MAP)
    for number in range(AT_ONCE + 1):
        shelf.fill(f"configmaps/default/c{number:04}", _stored(number), number + 1)
    seen: list[str] = []
    resync = Resync(shelf, lambda entry: seen.append(entry.key))
    resync.look_at_slice()
    last = AT_ONCE - 1
    shelf.apply(Change(f"configmaps/{seen[-1]}", _stored(last), None, AT_ONCE + 2, last + 1))
    resync.look_at_slice()
    assert seen[-1] == f"default/c{AT_ONCE:04}"


def _stored(number: int) -> bytes:
    name = f"c{number:04}".encode()
    return b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"%b"}}' % name
