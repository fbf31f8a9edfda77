"""ResourceQuota and LimitRange (v1): how much a namespace may ask for, in all and at once.

Source: storage semantics §16.
"""

from typing import ClassVar, Self

import msgspec

from mooring.model.metadata import Part, View

Amounts = dict[str, str | int | float]  # as stored: canonical text, by the name of the resource


class ScopeRequirement(Part, frozen=True):
    scope_name: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(Part, frozen=True):
    match_expressions: tuple[ScopeRequirement, ...] = ()


class QuotaSpec(Part, frozen=True):
    hard: Amounts = msgspec.field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None


class QuotaStatus(Part, frozen=True):
    hard: Amounts = msgspec.field(default_factory=dict)
    used: Amounts = msgspec.field(default_factory=dict)


class ResourceQuota(View, frozen=True):
    kind_name: ClassVar[str] = "ResourceQuota"
    resource: ClassVar[str] = "resourcequotas"

    spec: QuotaSpec = msgspec.field(default_factory=QuotaSpec)
    status: QuotaStatus = msgspec.field(default_factory=QuotaStatus)

    def with_used(self, used: Amounts) -> Self:
        """With this account, of the limits as its spec has them now."""
        status = QuotaStatus(hard=dict(self.spec.hard), used=used)
        if status == self.status:
            return self
        return msgspec.structs.replace(self, status=status)


class Limit(Part, frozen=True):
    """Of one object of a type."""

    type: str = ""
    min: Amounts = msgspec.field(default_factory=dict)
    max: Amounts = msgspec.field(default_factory=dict)


class LimitRangeSpec(Part, frozen=True):
    limits: tuple[Limit, ...] = ()


class LimitRange(View, frozen=True):
    kind_name: ClassVar[str] = "LimitRange"
    resource: ClassVar[str] = "limitranges"

    spec: LimitRangeSpec = msgspec.field(default_factory=LimitRangeSpec)
