"""Namespace: a name below which objects have theirs, and what holds for all in it."""

from fractions import Fraction
from typing import ClassVar

from mooring.model.factor import factor
from mooring.model.metadata import View
from mooring.model.names import MAX_WASTE


class Namespace(View, frozen=True):
    kind_name: ClassVar[str] = "Namespace"
    resource: ClassVar[str] = "namespaces"

    @property
    def max_waste(self) -> Fraction | None:
        """How many times as large as its claims ask their volumes may be; None: any."""
        return factor(self.annotations.get(MAX_WASTE))
