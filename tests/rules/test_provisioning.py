"""The pool that a class takes from: the one that it names, or the only one that can be meant."""

import pytest

from mooring.model.pool import Pool
from mooring.rules.provisioning import pool_for
from tests.rules.test_placing import a_class, a_pool

OWN, OTHER = a_pool("here", name="own"), a_pool("here", name="other")
SHARED, THERE = a_pool("", name="shared"), a_pool("there")


@pytest.mark.parametrize(
    ("pools", "taken"),
    [
        ([OWN, THERE], OWN),
        ([SHARED, THERE], SHARED),
        ([OWN, SHARED], OWN),
        ([OWN, OTHER], "other, own"),
        ([OWN, OTHER, SHARED], "other, own, shared"),
        ([THERE], "none"),
    ],
)
def test_without_a_name_the_only_one_is_meant_before_a_shared_one(
    pools: list[Pool], taken: Pool | str
) -> None:
    found = pool_for(a_class(), pools, "here")
    if isinstance(taken, Pool):
        assert found == taken
    else:
        assert str(found).endswith(f"has not one pool on here but: {taken}")
