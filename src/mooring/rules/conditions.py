"""Conditions of a claim, of which some exclude others."""

from mooring.model.claim import Claim, ClaimCondition


def with_condition(
    claim: Claim, type_: str, message: str, now: str, *, instead_of: frozenset[str]
) -> tuple[ClaimCondition, ...]:
    """All conditions of a claim, without those of `instead_of`, and this one, which is True.

    It is True since `now`, or for as long as it is that already.
    """
    had = {one.type: one for one in claim.status.conditions}
    old = had.pop(type_, None)
    since = old.last_transition_time if old is not None and old.status == "True" else now
    made = ClaimCondition(type=type_, status="True", last_transition_time=since, message=message)
    return (*(one for one in had.values() if one.type not in instead_of), made)
