"""Docker volumes §3: the kernel, Docker and the IDs, and what they decide together."""

from itertools import product

import pytest

from mooring.rules.use import KEPT_S, Verdict, verdict

YOUNG, OLD = KEPT_S - 0.1, KEPT_S
RUNNING = (True, False, None)  # None: Docker cannot be asked
IDS: tuple[tuple[float, ...], ...] = ((), (OLD,), (YOUNG,), (OLD, YOUNG, OLD))


@pytest.mark.parametrize(("running", "ages_s"), list(product(RUNNING, IDS)))
def test_what_the_kernel_holds_is_in_use_whatever_the_others_say(
    running: bool | None, ages_s: tuple[float, ...]
) -> None:
    assert verdict(True, running, ages_s) is Verdict.IN_USE


@pytest.mark.parametrize("ages_s", IDS)
def test_what_docker_runs_and_the_kernel_does_not_hold_yet_is_looked_at_again(
    ages_s: tuple[float, ...],
) -> None:
    assert verdict(False, True, ages_s) is Verdict.LOOK_AGAIN


@pytest.mark.parametrize("running", [False, None])
@pytest.mark.parametrize(
    ("ages_s", "wanted"),
    [
        ((YOUNG,), Verdict.KEEP),
        ((0.0,), Verdict.KEEP),
        ((OLD, YOUNG, OLD), Verdict.KEEP),
        ((OLD,), Verdict.FREE),
        ((OLD, OLD + 1e9), Verdict.FREE),
        ((), Verdict.FREE),
    ],
)
def test_what_nobody_has_is_kept_while_an_id_is_young_and_free_then(
    running: bool | None, ages_s: tuple[float, ...], wanted: Verdict
) -> None:
    assert verdict(False, running, ages_s) is wanted


def test_an_id_is_young_for_longer_than_docker_waits_for_its_mount() -> None:
    assert KEPT_S == 150 > 120
