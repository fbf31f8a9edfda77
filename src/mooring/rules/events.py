"""Events as data: what a decision wants people to be told. Storage semantics §11."""

from typing import NamedTuple

from mooring.model.metadata import ObjectReference
from mooring.model.names import BINDER_COMPONENT

NORMAL, WARNING = "Normal", "Warning"


class EventNote(NamedTuple):
    """One event. Written, and aggregated with its like, by the recorder."""

    about: ObjectReference
    type: str
    reason: str
    message: str
    component: str = BINDER_COMPONENT
