"""Event: what a component told people about an object."""

from typing import ClassVar

import msgspec

from mooring.model.metadata import ObjectReference, Part, View


class EventSeries(Part, frozen=True):
    """The same again, in events of the newer form."""

    last_observed_time: str | None = None


class Event(View, frozen=True):
    kind_name: ClassVar[str] = "Event"
    resource: ClassVar[str] = "events"

    involved_object: ObjectReference = msgspec.field(default_factory=ObjectReference)
    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None
    series: EventSeries | None = None

    @property
    def last_time(self) -> str:
        """When it was told last, RFC 3339; "" if that was not said."""
        again = self.series.last_observed_time if self.series is not None else None
        return again or self.last_timestamp or self.event_time or ""
